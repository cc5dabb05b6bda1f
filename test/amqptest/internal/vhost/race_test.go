package vhost

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// worker consumes and says which deliveries it is to acknowledge.
type worker struct {
	*client
	inbox chan uint64
}

func (w *worker) Deliver(m *codec.BasicDeliver, _ *Message) {
	defer w.entered()()
	w.inbox <- m.DeliveryTag // never full: the prefetch is as much
}

func TestManyGoroutinesUseOneHost(t *testing.T) {
	t.Parallel()
	const publishers, workers, messages, prefetch = 4, 4, 2000, 10
	h := New("/")
	t.Cleanup(h.Close)
	setup := newClient(t, h.Connect(User{}))
	setup.queue("dead")
	setup.queue("q", argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead")
	var acked, rejected atomic.Int64
	done := make(chan struct{})
	var producing, consuming sync.WaitGroup
	for i := range workers {
		w := &worker{client: &client{t: t}, inbox: make(chan uint64, prefetch)}
		w.Channel = h.Connect(User{}).Channel(w)
		w.limit(prefetch)
		w.consume("q", "c")
		consuming.Go(func() {
			for n := 0; ; n++ {
				var tag uint64
				select {
				case tag = <-w.inbox:
				case <-done:
					return
				}
				switch {
				case n%5 == i:
					w.nack(tag, false, true)
				case n%7 == i:
					rejected.Add(1)
					w.nack(tag, false, false)
				default:
					acked.Add(1)
					w.ack(tag)
				}
				if acked.Load()+rejected.Load() == publishers*messages {
					close(done)
				}
			}
		})
	}
	for i := range publishers {
		producing.Go(func() {
			c := newClient(t, h.Connect(User{}))
			own := fmt.Sprint("own", i)
			for n := range messages {
				c.fill("q", "m")
				if n%100 == 0 {
					c.queue(own, argExpires, int32(1), argMessageTTL, int32(1))
					_, err := c.Publish(&codec.BasicPublish{RoutingKey: own}, codec.Properties{}, nil)
					c.ok(err)
					h.Queues()
					h.Bytes()
				}
			}
			c.conn.Close()
		})
	}
	producing.Wait()
	consuming.Wait()
	same(t, "dead letters", int64(setup.info("dead").Ready), rejected.Load())
	h.Close()
	same(t, "bytes", h.Bytes(), 0)
}
