package client_test

import (
	"context"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rig"
)

// old serves a method as a server does that speaks version 1 alone: it refuses version 2
// with that outcome, and answers the rest as then says.
func old(r *rig.Rig, method, outcome string, then func(s *scripted, d amqp.Delivery)) {
	r.T.Helper()
	script(r, method, func(s *scripted, _ int, d amqp.Delivery) {
		if !strings.HasPrefix(d.Type, "warren/2") {
			then(s, d)
			return
		}
		s.send(d, amqp.Publishing{
			CorrelationId: d.CorrelationId, ContentType: "application/json", Body: []byte(`{"message":"another version"}`),
			Type: "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o=" + outcome,
		})
	})
}

// versions are those in which a method's requests were published, and their numbers.
func versions(r *rig.Rig, method string) (sent []string) {
	r.T.Helper()
	for _, ev := range requests(r.Broker, method) {
		meta, err := wire.DecodeMeta(ev.Message.Type)
		if err != nil {
			r.T.Error(err)
		}
		sent = append(sent, string(rune('0'+meta.Version))+"#"+string(rune('0'+meta.Attempt)))
	}
	return sent
}

func wantVersions(r *rig.Rig, method string, want ...string) {
	r.T.Helper()
	if got := versions(r, method); !slices.Equal(got, want) {
		r.T.Errorf("%s was sent %q; want %q", method, got, want)
	}
}

func TestCallOfAnOldServerGoesOutAgainInVersion1(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		old(r, "old", "not_executed", (*scripted).answer)
		c := r.Ready(withPolicy(reliability.Policy{Budget: reliability.BudgetPolicy{Tokens: new(4.0)}}))
		began := time.Now()
		reply := mustCall(r, c, "old", "x", client.WithAttempts(1))
		rig.Took(r.T, began, 0)
		if string(reply.Body) != "x" || reply.Attempts != 2 {
			r.T.Errorf("%+v", reply)
		}
		m := c.Method("old")
		if m.Budget.Tokens() != 4 || m.Breaker.State(time.Now()) != policy.Closed {
			r.T.Errorf("%v tokens, the breaker is %v", m.Budget.Tokens(), m.Breaker.State(time.Now()))
		}
		wantVersions(r, "old", "2#1", "1#2")
		second := requests(r.Broker, "old")[1].Message
		if second.DeliveryMode != amqp.Transient || second.Expiration != "10000" || nonceOf(second.Type) == "" ||
			withoutNonce(second.Type) != "warren/1;k=call;n=2;d=946684810000;t=946684800000" {
			r.T.Errorf("%+v", second)
		}
		// It is remembered, of this method, for some minutes.
		r.Serve(rig.Named("new"), rig.Echo)
		mustCall(r, c, "new", "x")
		mustCall(r, c, "old", "x")
		wantVersions(r, "new", "2#1")
		wantVersions(r, "old", "2#1", "1#2", "1#1")
		time.Sleep(5 * time.Minute)
		mustCall(r, c, "old", "x")
		wantVersions(r, "old", "2#1", "1#2", "1#1", "2#1", "1#2")
		if st := c.Stats(); st.LateReplies != 0 || st.Republished != 2 || st.Pending != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

// The servers of a method may be old ones and new ones, and errors are errors in either.
func TestErrorOfAnOldServerIsAnError(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		old(r, "m", "not_executed", func(s *scripted, d amqp.Delivery) { s.refuse(d, refusal()) })
		c := r.Ready(withPolicy(reliability.Policy{Retry: exact(2)}))
		_, err := c.Call(r.T.Context(), "m", nil)
		if e := rig.WantError(r.T, err, warren.CodeUnavailable, "", warren.NotExecuted); e.Attempts != 3 {
			r.T.Errorf("%+v", e)
		}
		wantVersions(r, "m", "2#1", "1#2", "1#3")
	})
}

// The refusal of a request that was handed out before proves nothing.
func TestCallThatANewServerMayHaveExecutedGoesOutAgainIfItIsIdempotent(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		old(r, "m", "unknown", (*scripted).answer)
		c := r.Ready()
		_, err := c.Call(r.T.Context(), "m", nil)
		if e := rig.WantError(r.T, err, warren.CodeInvalidArgument, warren.ReasonBadRequest, warren.Unknown); e.Attempts != 1 || !e.Remote {
			r.T.Errorf("%+v", e)
		}
		wantVersions(r, "m", "2#1")
		mustCall(r, c, "m", "x", client.Idempotent())
		wantVersions(r, "m", "2#1", "1#1")
		time.Sleep(5 * time.Minute)
		mustCall(r, c, "m", "x", client.Idempotent())
		wantVersions(r, "m", "2#1", "1#1", "2#1", "1#2")
	})
}

// By the user's own ID, a refusal may be an earlier invocation's: it is no proof, and not
// asked for unless the call may be repeated anyway.
func TestVersionOfACallWithAnIDOfItsUsers(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		old(r, "m", "not_executed", func(s *scripted, d amqp.Delivery) {
			e := refusal()
			e.Code = warren.CodeInternal
			s.refuse(d, e)
		})
		c := r.Ready()
		_, err := c.Call(r.T.Context(), "m", nil, client.WithCallID("k"))
		rig.WantError(r.T, err, warren.CodeInternal, "", warren.NotExecuted)
		_, err = c.Call(r.T.Context(), "m", nil, client.WithCallID("k"), client.Idempotent())
		rig.WantError(r.T, err, warren.CodeInternal, "", warren.Unknown)
		wantVersions(r, "m", "1#1", "2#1", "1#2")
	})
}

func TestNotificationsAndQuestionsStayInVersion1(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(*scripted, int, amqp.Delivery) {})
		resolver(r, "m", func(s *scripted, _ int, d amqp.Delivery, req *wire.Request, _ wire.Resolve) {
			s.resolve(d, req, wire.Resolution{State: wire.StateInProgress})
		})
		c := r.Ready()
		if err := c.Notify(r.T.Context(), "m", nil, client.Idempotent()); err != nil {
			r.T.Error(err)
		}
		if _, err := c.Resolve(r.T.Context(), "m", "k"); err != nil {
			r.T.Error(err)
		}
		wantVersions(r, "m", "1#1")
		wantVersions(r, wire.ControlQueue("m"), "1#1")
	})
}

// A refusal that nobody can have meant for the call's attempts is late.
func TestRefusalOfAVersionThatWasNotSentIsDropped(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		old(r, "m", "not_executed", func(s *scripted, d amqp.Delivery) {
			s.send(d, amqp.Publishing{
				CorrelationId: d.CorrelationId, Type: "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o=not_executed",
			})
			s.answer(d)
		})
		c := r.Ready()
		mustCall(r, c, "m", "x", client.WithCallID("k"))
		mustCall(r, c, "m", "x") // it comes when the call has gone on in version 1
		wantVersions(r, "m", "1#1", "2#1", "1#2")
		if st := c.Stats(); st.LateReplies != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}

// An interceptor that makes a call twice makes two invocations of one ID.
func TestSecondInvocationOfACallIDHasANonce(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		twice := func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				if _, err := next(ctx, req); err != nil {
					return nil, err
				}
				again := *req
				if again.Method == "echo" && len(req.Body) > 1 {
					again.CallID = "its own"
				}
				return next(ctx, &again)
			}
		}
		c := r.Ready(withPolicy(reliability.Policy{Idempotent: new(true)}), func(cfg *client.Config) { cfg.Interceptors = []warren.Interceptor{twice} })
		mustCall(r, c, "echo", "x")
		mustCall(r, c, "echo", "xy")
		mustCall(r, c, "echo", "z", client.WithCallID("k"))
		var nonces []bool
		for _, ev := range requests(r.Broker, "echo") {
			nonces = append(nonces, nonceOf(ev.Message.Type) != "")
		}
		if want := []bool{false, true, false, true, true, true}; !slices.Equal(nonces, want) {
			r.T.Errorf("nonces: %v; want %v", nonces, want)
		}
	})
}

// oldRefusal is what an old server writes to a call of version 2: it names no attempt.
func oldRefusal(id string) amqp.Publishing {
	return amqp.Publishing{
		CorrelationId: id, ContentType: "application/json", Body: []byte(`{}`),
		Type: "warren/1;k=reply;n=1;c=invalid_argument;r=bad_request;o=not_executed",
	}
}

// The first attempt is refused by an old server, which says it twice; the second runs.
func TestSecondCopyOfARefusalOfVersion2ProvesNothing(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var first amqp.Delivery
		script(r, "m", func(s *scripted, n int, d amqp.Delivery) {
			switch n {
			case 1:
				first = d
			case 2: // it runs, and is never answered
				s.send(first, oldRefusal(first.CorrelationId))
				s.send(first, oldRefusal(first.CorrelationId))
			default:
				e := refusal()
				e.RetryAfter = -1
				s.refuse(d, e)
			}
		})
		c := r.Ready(hedging())
		_, err := c.Call(r.T.Context(), "m", nil, client.WithTimeout(9*time.Second))
		if e, _ := warren.AsError(err); e == nil || e.Outcome != warren.Unknown {
			r.T.Errorf("got %v; want an unknown outcome, since the second attempt may run", err)
		}
	})
}

// What an earlier invocation was told comes before the first attempt of this one is
// written.
func TestCallThatIsTurnedToVersion1BeforeItIsWrittenGoesOutInIt(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var s *scripted
		s = script(r, "m", func(_ *scripted, _ int, d amqp.Delivery) {
			if strings.HasPrefix(d.Type, "warren/2") {
				s.send(d, oldRefusal(d.CorrelationId))
			} else {
				s.answer(d)
			}
		})
		c := r.Client()
		var armed atomic.Bool
		var queue string
		client.OnLock(c, func() {
			if armed.CompareAndSwap(true, false) {
				s.send(amqp.Delivery{ReplyTo: queue}, oldRefusal("k"))
				time.Sleep(2 * time.Millisecond) // virtual: all else comes first
			}
		})
		if err := c.Ready(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		queue = replyQueue(r)
		armed.Store(true)
		if _, err := c.Call(r.T.Context(), "m", nil, client.WithCallID("k"), client.Idempotent(), client.WithTimeout(9*time.Second)); err != nil {
			r.T.Error(err)
		}
		for _, v := range versions(r, "m") {
			if v[0] != '1' {
				r.T.Errorf("published in %q; want version 1 alone", versions(r, "m"))
			}
		}
	})
}
