package client_test

import (
	"strings"
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// What a call of 64 bytes moves in its four hops, frames included, with a method's name
// of 20 bytes and its reply in a message of its own: 0.95 of what the best by hand moves.
func TestCallMovesFewBytes(t *testing.T) {
	const method, most = "warehouse.stock.find", 784
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named(method), rig.Echo)
		c := r.Ready(func(cfg *client.Config) { cfg.RepliesOneByOne = true })
		mustCall(r, c, method, strings.Repeat("x", 64))
		queue, sum := replyQueue(r), 0
		for _, hop := range []amqptest.When{
			publishesTo(method), {Method: "basic.deliver", RoutingKey: method},
			publishesTo(queue), {Method: "basic.deliver", RoutingKey: queue},
		} {
			events := r.Broker.Events(hop)
			if len(events) != 1 {
				r.T.Fatalf("%+v: %v", hop, events)
			}
			r.T.Logf("%s: %d bytes", events[0].Method, events[0].Size)
			sum += events[0].Size
		}
		if sum > most {
			r.T.Errorf("%d bytes; want %d at most", sum, most)
		}
	})
}
