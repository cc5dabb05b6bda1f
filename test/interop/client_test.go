package interop

import (
	"bytes"
	"context"
	"strconv"
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// These tests put a Warren client before plain servers.

func TestWarrenClientGetsTheResultOfAPlainServer(t *testing.T) {
	t.Parallel()
	for _, kind := range plainServerKinds() {
		for _, queueType := range []string{"quorum", "classic", "transient"} {
			t.Run(kind.name+"/"+queueType, func(t *testing.T) {
				t.Parallel()
				onEachBroker(t, func(t *testing.T, url string) {
					peer := kind.start(t, url, serverOptions{queue: "rpc_queue", queueType: queueType})
					reply, err := newClient(t, url).Call(withPatience(t), "rpc_queue", []byte("30"))
					if err != nil {
						t.Fatal(err)
					}
					if string(reply.Body) != "832040" || !reply.Plain || reply.Replayed || reply.Attempts != 1 {
						t.Errorf("reply %+v, want the plain reply 832040 of one attempt", reply)
					}
					request := peer.await(t, "request", 1)
					if request.CorrelationID != reply.CallID || len(reply.CallID) != 22 {
						t.Errorf("call ID %q, correlation ID %q; want one of 22 characters", reply.CallID, request.CorrelationID)
					}
					peer.await(t, "acked", 1)
				})
			})
		}
	}
}

func TestUnguardedPlainServerServesTwentyCallsAtOnceFromSeveralClients(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		startTutorial(t, url, "rpc_queue")
		callers := [4]*client.Client{}
		for i := range callers {
			callers[i] = newClient(t, url)
		}
		calls := map[int64]*client.Future{}
		for n := range int64(20) {
			calls[n] = callers[n%4].Go(withPatience(t), "rpc_queue", strconv.AppendInt(nil, n, 10))
		}
		for n, call := range calls {
			reply, err := call.Result()
			if err != nil {
				t.Errorf("fib(%d): %v", n, err)
			} else if want := fib(n).String(); string(reply.Body) != want {
				t.Errorf("fib(%d) is answered with %q, want %s", n, reply.Body, want)
			}
		}
	})
}

func TestPlainServerSeesWhatTheApplicationSent(t *testing.T) {
	t.Parallel()
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		peer := kind.start(t, url, serverOptions{queue: "echo", mode: "echo"})
		_, err := newClient(t, url).Call(withPatience(t), "echo", []byte(`{"n":1}`),
			client.WithCallID("order 17"), client.WithContentType("application/json"), client.WithHeader("tenant", "blue"))
		if err != nil {
			t.Fatal(err)
		}
		request := peer.await(t, "request", 1)
		if request.CorrelationID != "order 17" || request.ContentType != "application/json" || request.Size != 7 {
			t.Errorf("request %+v", request)
		}
		if len(request.Headers) != 1 || request.Headers["tenant"] != "blue" {
			t.Errorf("headers %v, want tenant alone", request.Headers)
		}
		if !strings.HasPrefix(request.Type, "warren/1;k=call;") {
			t.Errorf("type %q", request.Type)
		}
		if ms, err := strconv.Atoi(request.Expiration); err != nil || ms < 1 || ms > int(patience.Soon.Milliseconds()) {
			t.Errorf("expiration %q, want what is left of %v in milliseconds", request.Expiration, patience.Soon)
		}
	})
}

func TestWarrenClientGetsALargeBodyBackFromAPlainServer(t *testing.T) {
	t.Parallel()
	body := largeBody()
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		kind.start(t, url, serverOptions{queue: "echo", mode: "echo"})
		reply, err := newClient(t, url).Call(withPatience(t), "echo", body)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(reply.Body, body) {
			t.Errorf("%d bytes came back changed as %d", len(body), len(reply.Body))
		}
	})
}

func TestQueueOfAPlainServerThatHasGoneIsNoServer(t *testing.T) {
	t.Parallel()
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		peer := kind.start(t, url, serverOptions{queue: "rpc_queue"})
		peer.kill()
		ch := dialPlain(t, url)
		patience.Eventually(t, "the broker has noticed", func() bool {
			queue, err := ch.QueueDeclarePassive("rpc_queue", true, false, false, false, nil)
			if err != nil {
				t.Fatal(err)
			}
			return queue.Consumers == 0
		})
		_, err := newClient(t, url).Call(withPatience(t), "rpc_queue", []byte("30"))
		rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNoServer, warren.NotExecuted)
	})
}

func TestQueueThatNoPlainServerDeclaredIsNoRoute(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		_, err := newClient(t, url).Call(withPatience(t), "rpc_queue", []byte("30"))
		rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
	})
}

func TestSecondReplyOfAPlainServerIsCountedAndDropped(t *testing.T) {
	t.Parallel()
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		kind.start(t, url, serverOptions{queue: "rpc_queue", replies: 2})
		caller := newClient(t, url)
		for n := range int64(5) {
			reply, err := caller.Call(withPatience(t), "rpc_queue", strconv.AppendInt(nil, n+40, 10))
			if err != nil {
				t.Fatal(err)
			}
			if want := fib(n + 40).String(); string(reply.Body) != want {
				t.Errorf("fib(%d) is answered with %q, want %s", n+40, reply.Body, want)
			}
		}
		patience.Eventually(t, "each second reply is counted as late", func() bool { return caller.Stats().LateReplies == 5 })
	})
}

func TestPlainServerKilledBetweenReplyAndAckAnswersOnceToTheCaller(t *testing.T) {
	t.Parallel()
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		first := kind.start(t, url, serverOptions{queue: "rpc_queue", hold: "before-ack"})
		caller := newClient(t, url)
		reply, err := caller.Call(withPatience(t), "rpc_queue", []byte("30"))
		if err != nil {
			t.Fatal(err)
		}
		if string(reply.Body) != "832040" {
			t.Errorf("reply %q, want 832040", reply.Body)
		}
		first.await(t, "replied", 1)
		first.kill()

		second := kind.start(t, url, serverOptions{queue: "rpc_queue"})
		if again := second.await(t, "request", 1); !again.Redelivered || again.CorrelationID != reply.CallID {
			t.Errorf("the restarted server got %+v, want the redelivered call %s", again, reply.CallID)
		}
		patience.Eventually(t, "the second reply is counted as late", func() bool { return caller.Stats().LateReplies == 1 })

		reply, err = caller.Call(withPatience(t), "rpc_queue", []byte("40"))
		if err != nil || string(reply.Body) != "102334155" {
			t.Errorf("the next call got %+v, %v; want 102334155", reply, err)
		}
	})
}

func TestPlainServerKilledBeforeItsReplyAnswersOnceRestarted(t *testing.T) {
	t.Parallel()
	withEachPlainServer(t, func(t *testing.T, url string, kind plainServerKind) {
		first := kind.start(t, url, serverOptions{queue: "rpc_queue", hold: "before-reply"})
		call := newClient(t, url).Go(withPatience(t), "rpc_queue", []byte("30"))
		first.await(t, "request", 1)
		first.kill()
		kind.start(t, url, serverOptions{queue: "rpc_queue"})
		reply, err := call.Result()
		if err != nil {
			t.Fatal(err)
		}
		if string(reply.Body) != "832040" {
			t.Errorf("reply %q, want 832040", reply.Body)
		}
	})
}

// A body that crashes plain servers would crash each of them in turn for ever,
// were it not for the request's expiration.
func TestBodyThatCrashesPlainServersIsGoneAfterItsDeadline(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, url string) {
		crashed := startTutorial(t, url, "rpc_queue")
		caller := newClient(t, url)
		ctx, cancel := context.WithTimeout(t.Context(), patience.Brief)
		defer cancel()
		_, err := caller.Call(ctx, "rpc_queue", []byte("thirty"))
		rig.WantError(t, err, warren.CodeDeadlineExceeded, rig.AnyReason, warren.Unknown)
		waitClosed(t, crashed.ended, "the server has crashed")

		survivor := pika.serve(t, url, serverOptions{queue: "rpc_queue"})
		reply, err := caller.Call(withPatience(t), "rpc_queue", []byte("30"))
		if err != nil {
			t.Fatal(err)
		}
		if string(reply.Body) != "832040" {
			t.Errorf("reply %q, want 832040", reply.Body)
		}
		if first := survivor.await(t, "request", 1); first.CorrelationID != reply.CallID {
			t.Errorf("the next server got %+v first, want the call %s", first, reply.CallID)
		}
	})
}
