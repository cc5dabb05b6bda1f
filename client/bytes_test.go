package client_test

import (
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// What a call of 64 bytes moves in its four hops, frames included, with a method's name
// of 20 bytes. The consumers' tags are counted apart: the application's own choice.
func TestCallMovesFewBytes(t *testing.T) {
	const method, most = "warehouse.stock.find", 780
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named(method), rig.Echo)
		mustCall(r, r.Ready(), method, strings.Repeat("x", 64))
		queue, sum := replyQueue(r), 0
		for _, hop := range []amqptest.When{
			publishesTo(method), {Method: "basic.deliver", RoutingKey: method},
			publishesTo(queue), {Method: "basic.deliver", RoutingKey: queue},
		} {
			events := r.Broker.Events(hop)
			if len(events) != 1 {
				r.T.Fatalf("%+v: %v", hop, events)
			}
			n := events[0].Size - len(events[0].ConsumerTag)
			r.T.Logf("%s: %d bytes and %d of the consumer's tag", events[0].Method, n, len(events[0].ConsumerTag))
			sum += n
		}
		if sum > most {
			r.T.Errorf("%d bytes; want %d at most", sum, most)
		}
	})
}
