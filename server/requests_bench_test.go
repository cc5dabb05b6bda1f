package server

import (
	"fmt"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/amqp/frames"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
)

// What it costs a fresh request to be known again, from its begin to its forgetting,
// while 256 others are open.
func BenchmarkRequestIsKnown(b *testing.B) {
	for name, plain := range map[string]bool{"warren": false, "plain": true} {
		b.Run(name, func(b *testing.B) {
			m := &method{s: &Server{}, requests: newRequests(256)}
			ids := make([]string, 512)
			for i := range ids {
				ids[i] = fmt.Sprintf("6ba7b810-9dad-11d1-80b4-%012d", i)
			}
			issued, body := time.Now(), make([]byte, 1024)
			open := make([]*exchange, 256)
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				req := &wire.Request{Request: warren.Request{CallID: ids[i%512], Attempt: 1, Issued: issued, Body: body, Plain: plain}}
				if !plain {
					req.Nonce = wire.Nonce{'1'}
				}
				ex := m.receive(broker.Delivery{Delivery: &frames.Delivery{Delivery: amqp.Delivery{ReplyTo: "warren:6ba7b810"}}}, req, "")
				m.requests.begin(ex)
				if last := open[i%256]; last != nil {
					if last.ack.ended = issued; plain {
						m.requests.forget(last)
					} else {
						m.requests.remember(last, retainedAtLeast)
					}
				}
				open[i%256] = ex
			}
		})
	}
}
