package client_test

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m, stopExamples) }

// wait is the option of a client whose calls wait for servers.
func wait(cfg *client.Config) { cfg.NoServer = client.Wait }

// requests are the publishes to a queue, as the broker saw them.
func requests(b *amqptest.Broker, queue string) []amqptest.Event {
	return b.Events(amqptest.When{Method: "basic.publish", RoutingKey: queue})
}

// publishesTo says which events a fault of requests meets.
func publishesTo(queue string) amqptest.When {
	return amqptest.When{Method: "basic.publish", RoutingKey: queue}
}

// replyQueue is the one reply queue that there is.
func replyQueue(r *rig.Rig) string {
	r.T.Helper()
	queues := replyQueues(r.Broker)
	if len(queues) != 1 {
		r.T.Fatalf("the reply queues are %v", queues)
	}
	return queues[0].Name
}

func replyQueues(b *amqptest.Broker) []amqptest.Queue {
	var found []amqptest.Queue
	for _, q := range b.Queues("/") {
		if strings.HasPrefix(q.Name, "warren:") {
			found = append(found, q)
		}
	}
	return found
}

// plainServer is a server that does not speak Warren's metadata. Each request
// waits in the channel until the test answers it.
func plainServer(r *rig.Rig, queue string) (*rig.Peer, <-chan amqp.Delivery) {
	r.T.Helper()
	p := r.Peer()
	p.Declare(queue, nil)
	return p, p.Consume(queue)
}

// mustCall makes a call that must be answered.
func mustCall(r *rig.Rig, c *client.Client, method, body string, opts ...client.CallOption) *warren.Reply {
	r.T.Helper()
	reply, err := c.Call(r.T.Context(), method, []byte(body), opts...)
	if err != nil {
		r.T.Fatal(err)
	}
	return reply
}

// withPolicy gives a client that policy for all methods.
func withPolicy(spec reliability.Policy) func(*client.Config) {
	return func(cfg *client.Config) { cfg.Policies.Methods = map[string]reliability.Policy{"*": spec} }
}
