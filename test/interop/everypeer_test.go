package interop

import (
	"bytes"
	"testing"

	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// These tests put every library, in processes of its own, before and behind the
// tool's processes.

// inUTF8 is longer in bytes than in characters, and not only in Latin letters.
const inUTF8 = "grüße, Ĝis! 兔子の巣穴 🐇"

func TestEveryPlainClientIsServedByTheTool(t *testing.T) {
	t.Parallel()
	url := serveByTool(t)
	for _, client := range everyPlainClient() {
		t.Run(client.name, func(t *testing.T) {
			t.Parallel()
			score(t, client.name, asClient)
			for name, c := range map[string]struct {
				in            column
				request       plainRequest
				answer, typed string
			}{
				"Fibonacci": {
					asClient, plainRequest{queue: "rpc_queue", body: []byte("30")}, "832040", "warren/1;k=reply;n=1",
				},
				"look-up": {
					inLookUps, plainRequest{queue: "users.email", body: []byte("1"), direct: true},
					"ada@example.org", "warren/1;k=reply;n=1",
				},
				"error": {
					inErrors, plainRequest{queue: "users.email", body: []byte("9")},
					"not_found/no_such_user: there is no user 9", "warren/1;k=reply;n=1;c=not_found;r=no_such_user;o=executed",
				},
				"text": {
					inBodies, plainRequest{queue: "sample.echo", body: []byte(inUTF8), direct: true}, inUTF8, "warren/1;k=reply;n=1",
				},
				"large": {
					inBodies, plainRequest{queue: "sample.echo", body: largeBody()}, string(largeBody()), "warren/1;k=reply;n=1",
				},
			} {
				t.Run(name, func(t *testing.T) {
					score(t, client.name, c.in)
					reply := client.call(t, url, c.request)
					if string(reply.Body) != c.answer || reply.Type != c.typed {
						t.Errorf("reply of %d bytes, %.60q, of type %q; want %.60q of type %q",
							len(reply.Body), reply.Body, reply.Type, c.answer, c.typed)
					}
				})
			}
		})
	}
}

func TestEveryPlainServerServesTheTool(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	for _, kind := range everyPlainServerKind() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			score(t, kind.name, asServer, inBodies)
			queue := "echo." + kind.name
			peer := kind.start(t, url, serverOptions{queue: queue, mode: "echo"})
			for _, body := range [][]byte{[]byte(inUTF8), largeBody()} {
				if got := callByTool(t, url, queue, body); !bytes.Equal(got, body) {
					t.Errorf("%d bytes, %.60q, came back as %d, %.60q", len(body), body, len(got), got)
				}
			}
			peer.await(t, "acked", 2)
		})
	}
}

// The worker of the user look-up service dies after its reply and before it
// acknowledges; another one does its work again. It is the same with any
// library, and to any caller.
func TestEveryPlainWorkerLooksUpAgainWhatItDiedWith(t *testing.T) {
	t.Parallel()
	clients := everyPlainClient()
	for i, kind := range everyPlainServerKind() {
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			score(t, kind.name, inRepeats, inLookUps)
			url := rabbit.VHost(t)
			worker := serverOptions{queue: "users.email", mode: "email"}
			if kind.name == anyEventRabbitMQ.name {
				// It dies of the 64-bit number by which quorum queues count deliveries.
				worker.queueType = "classic"
			}
			dying := worker
			dying.hold = "before-ack"
			first := kind.start(t, url, dying)
			caller := newClient(t, url)
			reply, err := caller.Call(withPatience(t), "users.email", []byte("1"))
			if err != nil {
				t.Fatal(err)
			}
			if string(reply.Body) != addresses[1] || !reply.Plain {
				t.Errorf("reply %+v, want the plain reply %s", reply, addresses[1])
			}
			first.await(t, "replied", 1)
			first.kill()

			second := kind.start(t, url, worker)
			if again := second.await(t, "request", 1); !again.Redelivered || again.CorrelationID != reply.CallID {
				t.Errorf("the other worker got %+v, want the redelivered call %s", again, reply.CallID)
			}
			second.await(t, "acked", 1)
			patience.Eventually(t, "the second reply is counted as late", func() bool { return caller.Stats().LateReplies == 1 })

			if got := string(callByTool(t, url, "users.email", []byte("2"))); got != addresses[2] {
				t.Errorf("the tool printed %q, want %s", got, addresses[2])
			}
			if got := clients[i].call(t, url, plainRequest{queue: "users.email", body: []byte("3")}); string(got.Body) != addresses[3] {
				t.Errorf("%s got %q, want %s", clients[i].name, got.Body, addresses[3])
			}
		})
	}
}

func TestEveryPairMeetsOverTheBrokerForTests(t *testing.T) {
	t.Parallel()
	clients := everyPlainClient()
	for i, kind := range everyPlainServerKind() {
		if kind.name == anyEventRabbitMQ.name {
			continue // it opens with the header of AMQP 0-9, which RabbitMQ takes for 0-9-1 and amqptest refuses
		}
		t.Run(kind.name, func(t *testing.T) {
			t.Parallel()
			score(t, kind.name, onAmqptest)
			url := brokerForTests(t)
			peer := kind.start(t, url, serverOptions{queue: "rpc_queue"})
			reply := clients[i].call(t, url, plainRequest{queue: "rpc_queue", body: []byte("30"), direct: true})
			if string(reply.Body) != "832040" {
				t.Errorf("reply %q, want 832040", reply.Body)
			}
			peer.await(t, "acked", 1)
		})
	}
}

// amqp-tools cannot say to what a reply belongs, so that each call has a reply
// queue of its own; and cannot serve, since a consumer of theirs is not told
// where to reply.
func TestCallsOfAmqpToolsAreServedByTheTool(t *testing.T) {
	t.Parallel()
	score(t, amqpTools.name, asClient, inErrors, inBodies, inLookUps)
	url := serveByTool(t)
	large := largeBody()
	for _, c := range []struct{ queue, body, answer string }{
		{"rpc_queue", "30", "832040"},
		{"users.email", "1", addresses[1]},
		{"users.email", "9", "not_found/no_such_user: there is no user 9"},
		{"sample.echo", inUTF8, inUTF8},
		{"sample.echo", string(large), string(large)},
	} {
		out, err := amqpTools.start(t, "call", url, c.queue, bodyFile(t, []byte(c.body))).wait(t)
		if err != nil || string(out) != c.answer {
			t.Errorf("%s of %.60q: %d bytes, %.60q, and it ended: %v", c.queue, c.body, len(out), out, err)
		}
	}
}
