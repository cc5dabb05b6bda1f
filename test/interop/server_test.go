package interop

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
)

// These tests put a Warren server behind plain clients.

func TestPlainClientGetsTheResult(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		serveWarren(t, url)
		eachPlainClient(t, func(t *testing.T, client plainClient, direct bool) {
			reply := client.call(t, url, plainRequest{queue: "rpc_queue", body: []byte("30"), direct: direct})
			if string(reply.Body) != "832040" {
				t.Errorf("reply %q, want 832040", reply.Body)
			}
			// The type keeps other servers from running it, should it reach one.
			if reply.Type != "warren/1;k=reply;n=1" || len(reply.Headers) != 0 {
				t.Errorf("the reply has type %q and headers %v", reply.Type, reply.Headers)
			}
		})
	})
}

func TestTutorialClientIsServedCallAfterCall(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		serveWarren(t, url)
		if got := callByTutorial(t, url, "rpc_queue", "0", "1", "30", "92")(); got != "0\n1\n832040\n7540113804746346429\n" {
			t.Errorf("the client printed %q", got)
		}
	})
}

func TestPlainClientGetsAnErrorAsOneLineOfTextWithAType(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		serveWarren(t, url)
		for name, c := range map[string]struct{ queue, body, text, meta string }{
			"chosen by the handler": {"rpc_queue", "93", "out_of_range: n is 93; it must be from 0 to 92", ";c=out_of_range;"},
			"not a number":          {"rpc_queue", "thirty", `invalid_argument: "thirty" is not a decimal number`, ";c=invalid_argument;"},
			"panic":                 {"panics", "", "internal/panic", ";c=internal;r=panic;"},
		} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				eachPlainClient(t, func(t *testing.T, client plainClient, direct bool) {
					reply := client.call(t, url, plainRequest{queue: c.queue, body: []byte(c.body), direct: direct})
					text := string(reply.Body)
					if !strings.HasPrefix(text, c.text) || strings.Contains(text, "\n") || len(text) > 200 {
						t.Errorf("body %q, want one short line that begins with %q", text, c.text)
					}
					if strings.Contains(text, "secret") {
						t.Errorf("body %q tells what the handler panicked with", text)
					}
					if !strings.HasPrefix(reply.Type, "warren/1;") || !strings.Contains(reply.Type, c.meta) {
						t.Errorf("type %q, want warren/1;…%s…", reply.Type, c.meta)
					}
				})
			})
		}
	})
}

func TestPlainClientGetsALargeBodyBack(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		serveWarren(t, url)
		body := largeBody()
		eachPlainClient(t, func(t *testing.T, client plainClient, direct bool) {
			reply := client.call(t, url, plainRequest{queue: "echo", body: body, direct: direct})
			if !bytes.Equal(reply.Body, body) {
				t.Errorf("%d bytes came back changed as %d", len(body), len(reply.Body))
			}
		})
	})
}

// Recipes number their calls from 1, each client on its own.
func TestSameCorrelationIDOfSeveralClientsAtOnceDoesNotMixThem(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		clients := plainClients()
		const perClient = 4
		serveWarren(t, url, method{server.Method{Name: "together"}, together(perClient*len(clients), handleFib)})
		awaiting := map[int64]func() plainReply{}
		for i := range int64(perClient * len(clients)) {
			n := 40 + i
			awaiting[n] = clients[int(i)%len(clients)].begin(t, url, plainRequest{
				queue: "together", body: strconv.AppendInt(nil, n, 10), correlationID: "1", direct: i%2 == 0,
			})
		}
		for n, await := range awaiting {
			if reply, want := await(), fib(n).String(); string(reply.Body) != want {
				t.Errorf("fib(%d) is answered with %q, want %s", n, reply.Body, want)
			}
		}
	})
}

func TestCorrelationIDOverTheBoundIsEchoedWithTheError(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		serveWarren(t, url)
		eachPlainClient(t, func(t *testing.T, client plainClient, direct bool) {
			id := strings.Repeat("x", 255)
			reply := client.call(t, url, plainRequest{queue: "rpc_queue", body: []byte("30"), correlationID: id, direct: direct})
			if !strings.HasPrefix(string(reply.Body), "invalid_argument/bad_request") {
				t.Errorf("body %q, want invalid_argument/bad_request", reply.Body)
			}
		})
	})
}

func TestQueueDeclaredByAPlainPeerIsUsedAsItIs(t *testing.T) {
	t.Parallel()
	for _, queueType := range []string{"quorum", "classic", "transient"} {
		t.Run(queueType, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, url string) {
				ch := dialPlain(t, url)
				declarePlain(t, ch, "rpc_queue", queueType)
				serveWarren(t, url)
				if got := callByTutorial(t, url, "rpc_queue", "30")(); got != "832040\n" {
					t.Errorf("the client printed %q", got)
				}
				// The peer may still declare it as it did.
				declarePlain(t, ch, "rpc_queue", queueType)
			})
		})
	}
}

func TestPlainServersJoinTheQueueThatWarrenDeclared(t *testing.T) {
	t.Parallel()
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		stop := serveWarren(t, url)
		peer := kind.start(t, url, serverOptions{queue: "rpc_queue"})
		stop()
		if got := callByTutorial(t, url, "rpc_queue", "30")(); got != "832040\n" {
			t.Errorf("the client printed %q", got)
		}
		peer.await(t, "acked", 1)
	})
}

func TestPlainClientIsSentNothingItDidNotAskFor(t *testing.T) {
	t.Parallel()
	for name, direct := range map[string]bool{"exclusive queue": false, "direct reply-to": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, url string) {
				stop := serveWarren(t, url)
				caller := newGoCaller(t, url, direct)
				awaited := map[string]bool{}
				for i, body := range []string{"30", "93", "thirty", ""} {
					id := strconv.Itoa(i)
					caller.send(t, "rpc_queue", amqp.Publishing{CorrelationId: id, Body: []byte(body)})
					awaited[id] = true
				}
				for range len(awaited) {
					reply := caller.receive(t)
					if !awaited[reply.CorrelationId] {
						t.Errorf("a reply to %q that nobody awaits: %q", reply.CorrelationId, reply.Body)
					}
					delete(awaited, reply.CorrelationId)
				}
				// A stopped server has sent everything; what comes next is the peer's own.
				stop()
				peer := serveByGo(t, url, serverOptions{queue: "rpc_queue", mode: "echo"})
				caller.send(t, "rpc_queue", amqp.Publishing{CorrelationId: "last", Body: []byte("last")})
				peer.await(t, "acked", 1)
				if reply := caller.receive(t); reply.CorrelationId != "last" {
					t.Errorf("an unasked reply to %q of type %q: %q", reply.CorrelationId, reply.Type, reply.Body)
				}
			})
		})
	}
}

func TestPlainClientThatHasGoneBeforeItsReplyDoesNotStopTheServer(t *testing.T) {
	t.Parallel()
	for name, direct := range map[string]bool{"exclusive queue": false, "direct reply-to": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			onEachBroker(t, func(t *testing.T, url string) {
				started, gone := make(chan struct{}), make(chan struct{})
				serveWarren(t, url, method{server.Method{Name: "slow"}, func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
					close(started)
					select {
					case <-gone:
					case <-ctx.Done():
					}
					return &warren.Reply{Body: []byte("unheard")}, nil
				}})
				caller := newGoCaller(t, url, direct)
				caller.send(t, "slow", amqp.Publishing{CorrelationId: "1"})
				waitClosed(t, started, "the handler runs")
				if err := caller.conn.Close(); err != nil {
					t.Fatal(err)
				}
				close(gone)
				if got := callByTutorial(t, url, "rpc_queue", "30")(); got != "832040\n" {
					t.Errorf("the client printed %q", got)
				}
			})
		})
	}
}

func TestPlainRequestWithoutReplyToIsServedOnce(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		var ran atomic.Int32
		done := make(chan struct{})
		stop := serveWarren(t, url, method{server.Method{Name: "noted"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			if ran.Add(1) == 1 {
				close(done)
			}
			if !req.Plain || !req.OneWay {
				t.Errorf("plain %v, one-way %v; want both", req.Plain, req.OneWay)
			}
			return &warren.Reply{Body: []byte("unheard")}, nil
		}})
		ch := dialPlain(t, url)
		if err := ch.PublishWithContext(t.Context(), "", "noted", false, false, amqp.Publishing{Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
		waitClosed(t, done, "the handler runs")
		stop()
		left, err := ch.QueueDeclarePassive("noted", true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if left.Messages != 0 || ran.Load() != 1 {
			t.Errorf("%d messages are left and the handler ran %d times, want 0 and 1", left.Messages, ran.Load())
		}
	})
}

func TestPlainClientIsToldThatItsBodyIsTooLarge(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		serveWarren(t, url)
		eachPlainClient(t, func(t *testing.T, client plainClient, direct bool) {
			reply := client.call(t, url, plainRequest{queue: "echo", body: make([]byte, 1<<20+1), direct: direct})
			if !strings.HasPrefix(string(reply.Body), "resource_exhausted/request_too_large") {
				t.Errorf("%d bytes: %.100q, want resource_exhausted/request_too_large", len(reply.Body), reply.Body)
			}
		})
	})
}

// A reply to such an address would be the next request, and so on without end.
func TestReplyToThatNamesAServedMethodIsNotAnswered(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		var ran atomic.Int32
		stop := serveWarren(t, url, method{server.Method{Name: "mirror"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			ran.Add(1)
			return &warren.Reply{Body: bytes.Clone(req.Body)}, nil
		}})
		caller := newGoCaller(t, url, false)
		own := amqp.Publishing{CorrelationId: "1", ReplyTo: "mirror", Body: []byte("x")}
		if err := caller.ch.PublishWithContext(t.Context(), "", "mirror", false, false, own); err != nil {
			t.Fatal(err)
		}
		caller.send(t, "mirror", amqp.Publishing{CorrelationId: "2", Body: []byte("y")})
		if reply := caller.receive(t); string(reply.Body) != "y" {
			t.Errorf("reply %q, want y", reply.Body)
		}
		stop()
		left, err := caller.ch.QueueDeclarePassive("mirror", true, false, false, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		if left.Messages != 0 || ran.Load() != 1 {
			t.Errorf("%d messages are left and the handler ran %d times, want 0 and 1", left.Messages, ran.Load())
		}
	})
}

func TestTwentyPlainClientsAtOnceGetTheirOwnResults(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		const clients = 20
		serveWarren(t, url, method{server.Method{Name: "together"}, together(clients, handleFib)})
		var awaiting [clients]func() string
		var want [clients]strings.Builder
		for i := range awaiting {
			var numbers []string
			for n := int64(i); n < 60; n += 6 {
				numbers = append(numbers, strconv.FormatInt(n, 10))
				want[i].WriteString(fib(n).String() + "\n")
			}
			awaiting[i] = callByTutorial(t, url, "together", numbers...)
		}
		for i, await := range awaiting {
			if got := await(); got != want[i].String() {
				t.Errorf("client %d printed %q, want %q", i, got, want[i].String())
			}
		}
	})
}

// eachPlainClient runs a subtest for every plain client and both kinds of reply
// address.
func eachPlainClient(t *testing.T, test func(t *testing.T, client plainClient, direct bool)) {
	t.Helper()
	for _, client := range plainClients() {
		for kind, direct := range map[string]bool{"exclusive queue": false, "direct reply-to": true} {
			t.Run(client.name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				test(t, client, direct)
			})
		}
	}
}
