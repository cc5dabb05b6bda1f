package vhost

import (
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

type acker struct {
	*client
	last uint64
}

func (a *acker) Deliver(m *codec.BasicDeliver, _ *Message) { a.last = m.DeliveryTag }
func (a *acker) Writable() bool                            { return true }

func BenchmarkPublishDeliverAck(b *testing.B) {
	h := New("/")
	defer h.Close()
	out := &acker{client: &client{t: b}}
	out.Channel = h.Connect(User{Name: "guest"}).Channel(out)
	out.queue("q")
	out.limit(10)
	out.consume("q", "c")
	props := codec.Properties{
		Present: codec.HasCorrelationID | codec.HasReplyTo | codec.HasHeaders, CorrelationID: "1", ReplyTo: "replies",
		Headers: table("a", "b"),
	}
	body := make([]byte, 100)
	publish := &codec.BasicPublish{RoutingKey: "q"}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := out.Publish(publish, props, body); err != nil {
			b.Fatal(err)
		}
		if err := out.Ack(&codec.BasicAck{DeliveryTag: out.last}); err != nil {
			b.Fatal(err)
		}
	}
}
