package client

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
)

// callAllocations is how often a call may allocate between the program that makes it and
// the connections, and back.
const callAllocations = 6

// A call costs little memory. No connection is made: what the test counts is the call's
// own, and nothing else runs.
func TestCallAllocatesLittle(t *testing.T) {
	table, err := policy.NewTable(reliability.Rules{}.Methods)
	if err != nil {
		t.Fatal(err)
	}
	c := &Client{
		cfg: Config{Broker: warren.Broker{}}.withDefaults(), limits: wire.DefaultLimits(), nonces: wire.NewNonces(),
		pending: newPending(10, 1<<20), policies: policy.NewSet(table, nil),
		publisher: broker.NewPublisher(broker.PublisherConfig{Held: true}),
	}
	c.replies = newReplyQueue(c)
	c.replies.arriving.Store(&callstate.Replies{})
	body, now := make([]byte, 64), time.Now()
	made := testing.AllocsPerRun(1000, func() {
		cl := c.newCall("m", body, nil)
		cl.req.Issued, cl.req.Version, cl.req.Bundles = now, wire.V2, true
		cl.method, cl.deadline = c.policies.Method("m"), now.Add(10*time.Second)
		if _, err := cl.begin(now, cl.method.Policy()); err != nil {
			t.Fatal(err)
		}
		cl.ask(now)
		if !cl.first.Writing(now, &cl.first.publish.Msg) {
			t.Fatal("it is not written")
		}
		c.replies.take(now, &amqp.Delivery{CorrelationId: cl.req.CallID, Type: "warren/2r", Body: body})
		<-cl.done
		if reply, err := cl.result(cl); err != nil || len(reply.Body) != 64 {
			t.Fatal(reply, err)
		}
	})
	t.Logf("%v allocations", made)
	if made > callAllocations {
		t.Errorf("a call allocates %v times; at most %d are meant", made, callAllocations)
	}
}
