package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// resolver is a server of a method's control queue whose answers a test writes. do
// gets the requests one after the other, numbered from 1.
func resolver(r *rig.Rig, method string, do func(s *scripted, n int, d amqp.Delivery, req *wire.Request, asked wire.Resolve)) {
	r.T.Helper()
	script(r, wire.ControlQueue(method), func(s *scripted, n int, d amqp.Delivery) {
		req, asked, err := wire.DecodeResolve(&d, method, wire.DefaultLimits())
		if err != nil {
			r.T.Errorf("the resolve request is refused: %v", err)
			return
		}
		do(s, n, d, req, asked)
	})
}

// resolve answers a resolve request as a server of Warren does.
func (s *scripted) resolve(d amqp.Delivery, req *wire.Request, resolution wire.Resolution) {
	reply := &warren.Reply{ContentType: "application/json", Body: wire.EncodeResolution(resolution)}
	limits := wire.DefaultLimits()
	limits.Body = wire.ResolutionBytes(limits.Body)
	s.send(d, wire.EncodeReply(req, reply, wire.Transient, limits))
}

func TestResolveTellsWhatBecameOfACall(t *testing.T) {
	stored := &warren.Reply{
		ContentType: "text/plain", ContentEncoding: "identity", Header: warren.Header{"h": "v"}, Body: []byte("x\x00\xff"),
	}
	failed := &warren.Error{
		Code: warren.CodeNotFound, Reason: "no_such_user", Outcome: warren.Executed, Message: "no", Details: map[string]string{"k": "v"},
	}
	issued := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		answer  wire.Resolution
		state   client.ResolutionState
		outcome warren.Outcome
	}{
		"completed":               {wire.Resolution{State: wire.StateCompleted, Reply: stored}, client.Completed, warren.Executed},
		"completed, too large":    {wire.Resolution{State: wire.StateCompleted}, client.Completed, warren.Executed},
		"failed":                  {wire.Resolution{State: wire.StateFailed, Outcome: warren.Executed, Err: failed}, client.Failed, warren.Executed},
		"failed, outcome lost":    {wire.Resolution{State: wire.StateFailed, Err: failed}, client.Failed, warren.Unknown},
		"in progress":             {wire.Resolution{State: wire.StateInProgress}, client.InProgress, warren.Unknown},
		"canceled, never begun":   {wire.Resolution{State: wire.StateCanceled, Outcome: warren.NotExecuted}, client.Canceled, warren.NotExecuted},
		"canceled, perhaps begun": {wire.Resolution{State: wire.StateCanceled}, client.Canceled, warren.Unknown},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				resolver(r, "m", func(s *scripted, _ int, d amqp.Delivery, req *wire.Request, asked wire.Resolve) {
					if asked.CallID != "order 7" || !asked.Issued.Equal(issued) || req.CallID == "order 7" || req.Caller != "shop" ||
						!req.Deadline.Equal(time.Now().Add(10*time.Second)) || d.Expiration != "10000" {
						r.T.Errorf("asked %+v by %+v", asked, req)
					}
					s.resolve(d, req, test.answer)
				})
				c := r.Ready(func(cfg *client.Config) { cfg.Caller = "shop" })
				got, err := c.Resolve(r.T.Context(), "m", "order 7", client.IssuedAt(issued))
				if err != nil {
					r.T.Fatal(err)
				}
				if got.State != test.state || got.Outcome != test.outcome || (got.Reply == nil) != (test.answer.Reply == nil) ||
					(got.Err == nil) != (test.answer.Err == nil) || got.Retained != (got.Reply != nil || got.Err != nil) {
					r.T.Errorf("%+v", got)
				}
				if p := got.Reply; p != nil && (string(p.Body) != string(stored.Body) || p.ContentType != stored.ContentType ||
					p.ContentEncoding != stored.ContentEncoding || p.Header["h"] != "v" || p.CallID != "order 7" || !p.Replayed) {
					r.T.Errorf("%+v", p)
				}
				if e := got.Err; e != nil {
					rig.WantError(r.T, e, failed.Code, failed.Reason, test.outcome)
					if !e.Replayed || !e.Remote || e.Method != "m" || e.CallID != "order 7" || !e.Issued.Equal(issued) || e.Details["k"] != "v" {
						r.T.Errorf("%+v", e)
					}
				}
				if st := c.Stats(); st.Pending != 0 || st.Republished != 0 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

// The answer is larger than the reply in it, which is what the client bounds.
func TestResolveBoundsTheReplyThatItBrings(t *testing.T) {
	const most = 200_000
	rig.Bubble(t, func(r *rig.Rig) {
		resolver(r, "m", func(s *scripted, _ int, d amqp.Delivery, req *wire.Request, asked wire.Resolve) {
			if !asked.Issued.IsZero() {
				r.T.Errorf("%+v", asked)
			}
			s.resolve(d, req, wire.Resolution{State: wire.StateCompleted, Reply: &warren.Reply{Body: make([]byte, most)}})
		})
		got, err := r.Ready(func(cfg *client.Config) { cfg.MaxReply = most }).Resolve(r.T.Context(), "m", "k")
		if err != nil || len(got.Reply.Body) != most {
			r.T.Errorf("%v", err)
		}
		_, err = r.Ready(func(cfg *client.Config) { cfg.MaxReply = 1000 }).Resolve(r.T.Context(), "m", "k")
		rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonReplyTooLarge, warren.Unknown)
	})
}

// aboutCall demands that the error is one of the call that was asked about.
func aboutCall(r *rig.Rig, e warren.Error, issued time.Time) {
	r.T.Helper()
	if e.Method != "m" || e.CallID != "k" || !e.Issued.Equal(issued) {
		r.T.Errorf("it is of %s %s, issued %v", e.Method, e.CallID, e.Issued)
	}
}

func TestResolveThatNobodyCanAnswerSaysNothingOfTheCall(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), rig.Echo)
		issued := time.Now()
		for _, option := range []func(*client.Config){func(*client.Config) {}, wait} {
			c := r.Ready(option)
			began := time.Now()
			_, err := c.Resolve(r.T.Context(), "m", "k", client.IssuedAt(issued))
			aboutCall(r, rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.Unknown), issued)
			rig.Took(r.T, began, 0)
		}
		if _, err := r.Peer().Channel.QueueDeclare(wire.ControlQueue("m"), true, false, false, false, nil); err != nil {
			r.T.Fatal(err)
		}
		c := r.Ready()
		_, err := c.Resolve(r.T.Context(), "m", "k")
		aboutCall(r, rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoServer, warren.Unknown), time.Time{})
		// The method's own queue has seen nothing of it.
		if n := len(requests(r.Broker, "m")); n != 0 {
			r.T.Errorf("%d requests", n)
		}
		if err := c.Close(); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(time.Second) // what was known of the queue is old
		_, err = c.Resolve(r.T.Context(), "m", "k")
		aboutCall(r, rig.WantError(r.T, err, warren.CodeCanceled, warren.ReasonClientClosed, warren.Unknown), time.Time{})
	})
}

func TestResolveOutOfBoundsIsRefused(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		resolver(r, "m", func(*scripted, int, amqp.Delivery, *wire.Request, wire.Resolve) { r.T.Error("a request was sent") })
		c := r.Ready(wait)
		for _, ask := range [][2]string{{"warren.control.m", "k"}, {"", "k"}, {"m", ""}, {"m", "a\nb"}} {
			_, err := c.Resolve(r.T.Context(), ask[0], ask[1])
			rig.WantError(r.T, err, warren.CodeInvalidArgument, warren.ReasonBadRequest, warren.Unknown)
		}
	})
}

func TestResolveEndsByItsDeadline(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		resolver(r, "m", func(*scripted, int, amqp.Delivery, *wire.Request, wire.Resolve) {})
		c := r.Ready(func(cfg *client.Config) {
			cfg.Policies.Methods = map[string]reliability.Policy{"m": {Retry: exact(3), Timeout: new(6 * time.Second)}}
		})
		for want, ask := range map[time.Duration]func() error{
			6 * time.Second: func() error {
				_, err := c.Resolve(r.T.Context(), "m", "k") // by the policy
				return err
			},
			2 * time.Second: func() error {
				_, err := c.Resolve(r.T.Context(), "m", "k", client.ResolveTimeout(2*time.Second))
				return err
			},
			3 * time.Second: func() error {
				ctx, cancel := context.WithTimeout(r.T.Context(), 3*time.Second)
				defer cancel()
				_, err := c.Resolve(ctx, "m", "k", client.ResolveTimeout(time.Minute))
				return err
			},
		} {
			began, before := time.Now(), len(requests(r.Broker, wire.ControlQueue("m")))
			err := ask()
			rig.Took(r.T, began, want)
			e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
			aboutCall(r, e, time.Time{})
			if !errors.Is(err, context.DeadlineExceeded) {
				r.T.Errorf("%+v", e)
			}
			// It is repeated meanwhile, as idempotent calls are.
			if n := len(requests(r.Broker, wire.ControlQueue("m"))) - before; n < 2 || n > 3 || e.Attempts != n {
				r.T.Errorf("in %v it was published %d times, and %d are told", want, n, e.Attempts)
			}
		}
		if st := c.Stats(); st.Pending != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestAnswerThatIsNoResolutionIsABadReply(t *testing.T) {
	for name, msg := range map[string]amqp.Publishing{
		"plain":        {Body: wire.EncodeResolution(wire.Resolution{State: wire.StateCanceled, Outcome: warren.NotExecuted})},
		"text":         {Type: "warren/1;k=reply;n=1", Body: []byte("canceled")},
		"nothing":      {Type: "warren/1;k=reply;n=1"},
		"no state":     {Type: "warren/1;k=reply;n=1", Body: []byte(`{"state":"gone"}`)},
		"contradicted": {Type: "warren/1;k=reply;n=1", Body: []byte(`{"state":"completed","outcome":"not_executed"}`)},
		"its own":      {Type: "warren/1;k=resolve;n=1", Body: []byte(`{"call_id":"k"}`)},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				resolver(r, "m", func(s *scripted, _ int, d amqp.Delivery, req *wire.Request, _ wire.Resolve) {
					msg.CorrelationId = req.CallID
					if msg.Type != "" {
						msg.Type += ";x=" + req.Nonce.String()
					}
					s.send(d, msg)
				})
				issued := time.Now()
				got, err := r.Ready().Resolve(r.T.Context(), "m", "k", client.IssuedAt(issued))
				e := rig.WantError(r.T, err, warren.CodeInternal, warren.ReasonBadReply, warren.Unknown)
				aboutCall(r, e, issued)
				if got != nil || e.Message == "" || e.Attempts != 1 {
					r.T.Errorf("%+v, %+v", got, e)
				}
			})
		})
	}
}

func TestRefusedResolveIsAnErrorThatSaysNothingOfTheCall(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		resolver(r, "m", func(s *scripted, _ int, d amqp.Delivery, req *wire.Request, _ wire.Resolve) {
			s.send(d, wire.EncodeError(req, &warren.Error{
				Code: warren.CodePermissionDenied, Reason: "not_yours", Outcome: warren.NotExecuted, Message: "no",
			}, wire.Transient))
		})
		_, err := r.Ready().Resolve(r.T.Context(), "m", "k")
		if e := rig.WantError(r.T, err, warren.CodePermissionDenied, "not_yours", warren.Unknown); !e.Remote || e.Message != "no" {
			r.T.Errorf("%+v", e)
		}
	})
}

// What is lost on its way there or back is asked again, with the same ID.
func TestResolveIsAskedAgainIfTheConnectionIsCut(t *testing.T) {
	asks := amqptest.When{Method: "basic.publish", RoutingKey: wire.ControlQueue("m")}
	for name, fault := range map[string]amqptest.Action{
		"before it arrives": amqptest.SeverBefore(),
		"after it arrived":  amqptest.SeverAfter(),
		"nacked":            amqptest.Nack(),
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var types []string
				resolver(r, "m", func(s *scripted, n int, d amqp.Delivery, req *wire.Request, _ wire.Resolve) {
					types = append(types, withoutNonce(d.Type))
					if n == 1 && name == "after it arrived" {
						return // and its server dies
					}
					s.resolve(d, req, wire.Resolution{State: wire.StateInProgress})
				})
				c := r.Ready(withPolicy(reliability.Policy{Retry: exact(3)}))
				began := time.Now()
				got, err := c.Resolve(r.T.Context(), "m", "k")
				if err != nil || got.State != client.InProgress {
					r.T.Fatalf("%+v, %v", got, err)
				}
				sent := requests(r.Broker, wire.ControlQueue("m"))
				if len(sent) != 2 || sent[0].Message.CorrelationID != sent[1].Message.CorrelationID {
					r.T.Fatalf("%+v", sent)
				}
				instants := fmt.Sprintf("d=%d;t=%d", began.Add(10*time.Second).UnixMilli(), began.UnixMilli())
				if want := "warren/1;k=resolve;n=2;" + instants; !slices.Contains(types, want) {
					r.T.Errorf("the server got %q; want %q among them", types, want)
				}
			}, amqptest.Rule{When: asks, Do: fault})
		})
	}
}

// A call and the question what became of it are two things, although they are about
// one ID.
func TestResolveDoesNotJoinTheCallInFlight(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("m"), g.Handle)
		resolver(r, "m", func(s *scripted, _ int, d amqp.Delivery, req *wire.Request, _ wire.Resolve) {
			s.resolve(d, req, wire.Resolution{State: wire.StateInProgress})
		})
		c := r.Ready()
		call := c.Go(r.T.Context(), "m", []byte("x"), client.WithCallID("k"))
		<-g.Entered
		got, err := c.Resolve(r.T.Context(), "m", "k")
		if err != nil || got.State != client.InProgress {
			r.T.Fatalf("%+v, %v", got, err)
		}
		if st := c.Stats(); st.Joined != 0 || st.Pending != 1 {
			r.T.Errorf("%+v", st)
		}
		close(g.Release)
		if reply, err := call.Result(); err != nil || string(reply.Body) != "x" {
			r.T.Errorf("%+v, %v", reply, err)
		}
	})
}

// What refuses calls of the method lets callers ask what became of theirs.
func TestResolvePassesTheMethodsBreakerBulkheadAndInterceptors(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("m"), g.Handle)
		resolver(r, "m", func(s *scripted, _ int, d amqp.Delivery, req *wire.Request, _ wire.Resolve) {
			s.resolve(d, req, wire.Resolution{State: wire.StateInProgress})
		})
		var seen int
		c := r.Ready(func(cfg *client.Config) {
			cfg.Policies.Methods = map[string]reliability.Policy{"m": {Bulkhead: reliability.BulkheadPolicy{Calls: new(1)}}}
			cfg.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
				return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
					seen++
					return next(ctx, req)
				}
			}}
		})
		call := c.Go(r.T.Context(), "m", nil)
		<-g.Entered
		breakerOf(c, "m").Force(time.Now(), reliability.ForcedOpen)
		if _, err := c.Resolve(r.T.Context(), "m", "k"); err != nil {
			r.T.Error(err)
		}
		close(g.Release)
		if _, err := call.Result(); err != nil || seen != 1 {
			r.T.Errorf("%v; interceptors saw %d calls", err, seen)
		}
	})
}
