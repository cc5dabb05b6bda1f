package amqptest

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestBlockStopsPublishersAndNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(t, Options{Listen: "none"})
		publisher, other := login(t, b), login(t, b)
		other.send(1, &codec.QueueDeclare{Queue: "q"})
		expect[*codec.QueueDeclareOk](other, 1)
		publisher.send(1, &codec.ConfirmSelect{})
		expect[*codec.ConfirmSelectOk](publisher, 1)

		b.Block("low on disk")
		go publisher.raw(publishFrames(1, &codec.BasicPublish{RoutingKey: "q"}, []byte("body"))) // a pipe holds it up
		if m := expect[*codec.ConnectionBlocked](publisher, 0); m.Reason != "low on disk" {
			t.Errorf("blocked for %q", m.Reason)
		}
		time.Sleep(time.Hour)
		other.send(1, &codec.QueueDeclare{Queue: "q", Passive: true})
		if ok := expect[*codec.QueueDeclareOk](other, 1); ok.MessageCount != 0 {
			t.Errorf("%d messages came through", ok.MessageCount)
		}
		if list := b.Connections(); !list[0].Blocked || list[1].Blocked {
			t.Errorf("connections: %+v", list)
		}
		b.Unblock()
		expect[*codec.ConnectionUnblocked](publisher, 0)
		expect[*codec.BasicAck](publisher, 1)
		if q, _ := b.Queue("/", "q"); q.Ready != 1 {
			t.Errorf("%d messages are in the queue", q.Ready)
		}
	})
}

func TestBlockedConnectionCanBeClosedByTheBroker(t *testing.T) {
	t.Parallel()
	b := New(t, Options{})
	p := login(t, b)
	b.Block("")
	p.raw(publishFrames(1, &codec.BasicPublish{RoutingKey: "q"}, []byte("body")))
	expect[*codec.ConnectionBlocked](p, 0)
	go b.CloseConnections("enough")
	p.closed(codec.ConnectionForced)
}

func TestPublishersAreBlockedWhileMemoryIsLow(t *testing.T) {
	t.Parallel()
	const limit = 4 << 20
	b := New(t, Options{MemoryLimit: limit})
	publisher, consumer := login(t, b), login(t, b)
	consumer.send(1, &codec.QueueDeclare{Queue: "q"})
	expect[*codec.QueueDeclareOk](consumer, 1)
	const messages, size = 100, 100 << 10
	go func() {
		for range messages {
			if _, err := publisher.nc.Write(publishFrames(1, &codec.BasicPublish{RoutingKey: "q"}, make([]byte, size))); err != nil {
				return
			}
		}
	}()
	if m := expect[*codec.ConnectionBlocked](publisher, 0); m.Reason != "low on memory" {
		t.Errorf("blocked for %q", m.Reason)
	}
	if held := b.host("/").Bytes(); held > limit+2*measureEvery {
		t.Errorf("%d bytes are held", held)
	}
	for range messages {
		consumer.send(1, &codec.BasicGet{Queue: "q", NoAck: true})
		for {
			f, err := consumer.next()
			if err != nil {
				t.Fatal(err)
			}
			m, err := codec.DecodeMethod(f.Payload)
			if err != nil {
				t.Fatal(err)
			}
			if _, empty := m.(*codec.BasicGetEmpty); !empty {
				break
			}
			time.Sleep(time.Millisecond)
			consumer.send(1, &codec.BasicGet{Queue: "q", NoAck: true})
		}
		consumer.content()
	}
	expect[*codec.ConnectionUnblocked](publisher, 0)
}
