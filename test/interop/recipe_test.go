package interop

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// These tests have no Warren in them: they prove that the peers follow the
// recipe, and that the unguarded pair is as unguarded as it is said to be.

func TestPlainClientsAreAnsweredByPlainServers(t *testing.T) {
	t.Parallel()
	for _, server := range plainServerKinds() {
		for queueType, direct := range map[string]bool{"quorum": false, "classic": true} {
			t.Run(server.name+"/"+queueType, func(t *testing.T) {
				t.Parallel()
				onEachBroker(t, func(t *testing.T, url string) {
					server.start(t, url, serverOptions{queue: "rpc_queue", queueType: queueType})
					for _, client := range plainClients() {
						t.Run(client.name, func(t *testing.T) {
							t.Parallel()
							reply := client.call(t, url, plainRequest{queue: "rpc_queue", body: []byte("30"), direct: direct})
							if string(reply.Body) != "832040" || reply.Type != "" {
								t.Errorf("reply %q of type %q, want 832040 without a type", reply.Body, reply.Type)
							}
						})
					}
				})
			})
		}
	}
}

func TestPlainPeersCarryLargeBodies(t *testing.T) {
	t.Parallel()
	body := largeBody()
	clients := plainClients()
	for i, server := range plainServerKinds() {
		client := clients[(i+1)%len(clients)]
		t.Run(client.name+" to "+server.name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, url string) {
				server.start(t, url, serverOptions{queue: "echo", mode: "echo"})
				reply := client.call(t, url, plainRequest{queue: "echo", body: body})
				if !bytes.Equal(reply.Body, body) {
					t.Errorf("%d bytes came back changed as %d", len(body), len(reply.Body))
				}
			})
		})
	}
}

func TestTutorialPairServesItself(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		startTutorial(t, url, "rpc_queue")
		if got := callByTutorial(t, url, "rpc_queue", "0", "1", "30", "92")(); got != "0\n1\n832040\n7540113804746346429\n" {
			t.Errorf("the client printed %q", got)
		}
	})
}

func TestTutorialClientEndsOnWhatItDoesNotExpect(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]struct{ id, body, exception string }{
		"foreign correlation ID": {"another", "832040", "TypeError"},
		"body not a number":      {"", "out of range", "ValueError"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, url string) {
				ch := dialPlain(t, url)
				declarePlain(t, ch, "rpc_queue", "quorum")
				requests, err := ch.Consume("rpc_queue", "", true, false, false, false, nil)
				if err != nil {
					t.Fatal(err)
				}
				p := pika.start(t, "tutorial_client", url, "rpc_queue", "30")
				request := <-requests
				answer := amqp.Publishing{CorrelationId: request.CorrelationId, Body: []byte(reply.body)}
				if reply.id != "" {
					answer.CorrelationId = reply.id
				}
				if err := ch.PublishWithContext(t.Context(), "", request.ReplyTo, false, false, answer); err != nil {
					t.Fatal(err)
				}
				_, err = p.wait(t)
				if err == nil || !strings.Contains(string(p.stderr.bytes()), reply.exception) {
					t.Errorf("ended with %v and not with a %s:\n%s", err, reply.exception, p.stderr.bytes())
				}
			})
		})
	}
}

func TestTutorialServerEndsOnABodyThatIsNotANumber(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		server := startTutorial(t, url, "rpc_queue")
		caller := newGoCaller(t, url, false)
		caller.send(t, "rpc_queue", amqp.Publishing{CorrelationId: "1", Body: []byte("thirty")})
		waitClosed(t, server.ended, "the server has ended")

		// It has not acknowledged: the request is there for the next server.
		next := pika.serve(t, url, serverOptions{queue: "rpc_queue", mode: "echo"})
		if request := next.await(t, "request", 1); !request.Redelivered {
			t.Errorf("the request came back without the redelivered flag: %+v", request)
		}
		if reply := caller.receive(t); string(reply.Body) != "thirty" {
			t.Errorf("reply %q", reply.Body)
		}
	})
}

// largeBody returns 900 KiB of bytes that no text handling leaves unchanged.
func largeBody() []byte {
	body := make([]byte, 900<<10)
	random := rand.New(rand.NewPCG(900, 10))
	for i := range body {
		body[i] = byte(random.Uint32())
	}
	return body
}
