package rig

import (
	"context"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/test/patience"
)

// Peer is a program that knows AMQP and nothing of Warren.
type Peer struct {
	Channel *amqp.Channel
	Queue   string               // its own, where its replies come
	Replies <-chan amqp.Delivery // acknowledged already

	t testing.TB
}

// Peer returns a peer on the broker.
func (r *Rig) Peer() *Peer { return NewPeer(r.T, r.Settings()) }

// NewPeer returns a peer that is closed with the test.
func NewPeer(t testing.TB, settings warren.Broker) *Peer {
	t.Helper()
	settings = settings.WithDefaults()
	conn, err := amqp.DialConfig(settings.URLs[0], amqp.Config{
		Heartbeat: settings.Heartbeat,
		Dial: func(network, addr string) (net.Conn, error) {
			return settings.Dial(context.Background(), network, addr)
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	p := &Peer{Channel: ch, t: t}
	p.Queue = p.Declare("", nil)
	p.Replies = p.Consume(p.Queue)
	return p
}

// Declare declares a queue that is deleted with its last consumer.
func (p *Peer) Declare(name string, args amqp.Table) string {
	p.t.Helper()
	q, err := p.Channel.QueueDeclare(name, false, true, name == "", false, args)
	if err != nil {
		p.t.Fatal(err)
	}
	return q.Name
}

// Consume returns what comes to a queue. It is acknowledged already.
func (p *Peer) Consume(queue string) <-chan amqp.Delivery {
	p.t.Helper()
	deliveries, err := p.Channel.Consume(queue, "", true, false, false, false, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	return deliveries
}

// Publish publishes to a queue.
func (p *Peer) Publish(queue string, msg amqp.Publishing) {
	p.t.Helper()
	if err := p.Channel.PublishWithContext(p.t.Context(), "", queue, true, false, msg); err != nil {
		p.t.Fatal(err)
	}
}

// Next returns the next reply.
func (p *Peer) Next() amqp.Delivery {
	p.t.Helper()
	select {
	case d, ok := <-p.Replies:
		if !ok {
			p.t.Fatal("the peer's channel has ended")
		}
		return d
	case <-time.After(patience.Soon):
		p.t.Fatal("the peer got no reply")
	}
	panic("unreachable")
}

// NoMore demands that no reply is there, or the channel has ended. Those that are still
// under way are not seen.
func (p *Peer) NoMore() {
	p.t.Helper()
	select {
	case d, ok := <-p.Replies:
		if ok {
			p.t.Errorf("the peer got one more reply: %q, %q", d.Type, d.Body)
		}
	default:
	}
}
