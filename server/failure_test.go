package server_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

// secretText is what callers must not be told.
const secretText = "the password is hunter2"

// nilError is an error whose own methods panic.
type nilError struct{ text string }

func (e *nilError) Error() string { return e.text }

func TestHandlersErrorsReachTheCallerAsWhatTheyMayTell(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var log rig.Log
		failures := map[string]struct {
			fail     func(ctx context.Context) (*warren.Reply, error)
			want     warren.Error
			incident bool
		}{
			"panic": {
				func(context.Context) (*warren.Reply, error) { panic(secretText) },
				warren.Error{Code: warren.CodeInternal, Reason: warren.ReasonPanic, Message: "the handler panicked; the server's log has the rest"},
				true,
			},
			"goexit": {
				func(context.Context) (*warren.Reply, error) { runtime.Goexit(); return nil, nil },
				warren.Error{Code: warren.CodeInternal, Reason: warren.ReasonPanic, Message: "the handler panicked; the server's log has the rest"},
				true,
			},
			"error that panics": {
				func(context.Context) (*warren.Reply, error) { return nil, warren.Public((*nilError)(nil)) },
				warren.Error{Code: warren.CodeInternal, Reason: warren.ReasonPanic, Message: "the handler panicked; the server's log has the rest"},
				true,
			},
			"plain": {
				func(context.Context) (*warren.Reply, error) { return nil, errors.New(secretText) },
				warren.Error{Code: warren.CodeUnknown, Message: "the handler failed; the server's log has the rest"},
				true,
			},
			"public": {
				func(context.Context) (*warren.Reply, error) {
					return nil, fmt.Errorf("%s: %w", secretText, warren.Public(errors.New("try the other door")))
				},
				warren.Error{Code: warren.CodeUnknown, Message: "try the other door"},
				false,
			},
			"typed": {
				func(context.Context) (*warren.Reply, error) {
					return nil, fmt.Errorf("inner: %w", warren.Errorf(warren.CodeFailedPrecondition, "not now").WithReason("night").WithRetryAfter(90*time.Second))
				},
				warren.Error{Code: warren.CodeFailedPrecondition, Reason: "night", Message: "not now", RetryAfter: 90 * time.Second},
				false,
			},
			"typed without a code": {
				func(context.Context) (*warren.Reply, error) { return nil, &warren.Error{Message: "what?"} },
				warren.Error{Code: warren.CodeUnknown, Message: "what?"},
				false,
			},
			"claims that it did not run": {
				func(context.Context) (*warren.Reply, error) {
					return nil, &warren.Error{Code: warren.CodeAborted, Outcome: warren.NotExecuted, Message: "conflict"}
				},
				warren.Error{Code: warren.CodeAborted, Outcome: warren.NotExecuted, Message: "conflict"},
				false,
			},
			"vouches that it did nothing": {
				func(context.Context) (*warren.Reply, error) {
					return nil, fmt.Errorf("inner: %w", warren.NothingDone(errors.New(secretText)))
				},
				warren.Error{Code: warren.CodeUnknown, Outcome: warren.NotExecuted, Message: "the handler failed; the server's log has the rest"},
				true,
			},
			"passes a call's error on": {
				func(context.Context) (*warren.Reply, error) {
					return nil, warren.PassOn(&warren.Error{
						Code: warren.CodeNotFound, Reason: "sold_out", Message: "none left", Outcome: warren.NotExecuted, Method: "other", Remote: true,
					})
				},
				warren.Error{Code: warren.CodeNotFound, Reason: "sold_out", Message: "none left"},
				false,
			},
			"passes a call's error on that did nothing": {
				func(context.Context) (*warren.Reply, error) {
					return nil, warren.NothingDone(warren.PassOn(&warren.Error{
						Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Message: "no queue", Outcome: warren.NotExecuted, Method: "other",
					}))
				},
				warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, Message: "no queue"},
				false,
			},
			"vouches in spite of what a call did": {
				func(context.Context) (*warren.Reply, error) {
					return nil, warren.NothingDone(&warren.Error{Code: warren.CodeUnavailable, Message: secretText, Method: "other"})
				},
				warren.Error{Code: warren.CodeUnavailable, Message: "a call that the handler made failed; the server's log has the rest"},
				true,
			},
			"of a call of its own": {
				func(context.Context) (*warren.Reply, error) {
					return nil, &warren.Error{Code: warren.CodeUnavailable, Reason: warren.ReasonNoServer, Message: secretText, Method: "other"}
				},
				warren.Error{Code: warren.CodeUnavailable, Message: "a call that the handler made failed; the server's log has the rest"},
				true,
			},
			"context": {
				func(context.Context) (*warren.Reply, error) {
					return nil, fmt.Errorf("%s: %w", secretText, context.Canceled)
				},
				warren.Error{Code: warren.CodeCanceled, Message: "the handler was cancelled"},
				false,
			},
			"timeout of its own": {
				func(ctx context.Context) (*warren.Reply, error) {
					ctx, cancel := context.WithTimeout(ctx, time.Second)
					defer cancel()
					<-ctx.Done()
					return nil, ctx.Err()
				},
				warren.Error{Code: warren.CodeDeadlineExceeded, Message: "the handler ran out of time"},
				false,
			},
			"large": {
				func(context.Context) (*warren.Reply, error) { return &warren.Reply{Body: make([]byte, 1001)}, nil },
				warren.Error{Code: warren.CodeResourceExhausted, Reason: warren.ReasonReplyTooLarge, Message: "the reply's body has 1001 bytes; at most 1000 are allowed"},
				false,
			},
			"unsendable": {
				func(context.Context) (*warren.Reply, error) {
					return &warren.Reply{Header: warren.Header{"CC": "x"}}, nil
				},
				warren.Error{Code: warren.CodeInternal, Reason: warren.ReasonBadReply, Message: `the reply cannot be sent: header "CC" is the broker's own`},
				false,
			},
		}
		s := r.NewServer(func(cfg *server.Config) { cfg.Logger, cfg.MaxReply = log.Logger(), 1000 })
		err := s.HandleRaw(rig.Named("fail"), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			return failures[string(req.Body)].fail(ctx)
		})
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		c := r.Client()
		for name, test := range failures {
			_, err := c.Call(r.T.Context(), "fail", []byte(name), client.WithAttempts(1))
			e, _ := warren.AsError(err)
			if e == nil || e.Code != test.want.Code || e.Reason != test.want.Reason || e.Message != test.want.Message ||
				e.RetryAfter != test.want.RetryAfter || e.Outcome != cmp.Or(test.want.Outcome, warren.Executed) || !e.Remote {
				r.T.Errorf("%s: %+v", name, e)
				continue
			}
			if (e.Incident != "") != test.incident || test.incident && !strings.Contains(log.String(), e.Incident) {
				r.T.Errorf("%s: the incident is %q", name, e.Incident)
			}
		}
		if text := log.String(); !strings.Contains(text, secretText) || !strings.Contains(text, "failure_test.go") {
			r.T.Error("the log lacks the panic or its stack")
		}
		if st := s.Stats(); st.Panics != 3 || st.Handled != uint64(len(failures)) {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestWorkersOutliveHandlersThatPanicOrExit(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		m := server.Method{Name: "fail", Concurrency: 2}
		s := r.Serve(m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			if string(req.Body) == "panic" {
				panic("no")
			}
			runtime.Goexit()
			return nil, nil
		})
		c := r.Client()
		for range 5 {
			for _, body := range []string{"panic", "exit"} {
				_, err := c.Call(r.T.Context(), "fail", []byte(body))
				rig.WantError(r.T, err, warren.CodeInternal, warren.ReasonPanic, warren.Executed)
			}
		}
		// A notification that panics is acknowledged: it would panic again.
		if err := c.Notify(r.T.Context(), "fail", []byte("panic")); err != nil {
			r.T.Error(err)
		}
		time.Sleep(time.Second)
		if q := r.Queue("fail"); s.Stats().Panics != 11 || q.Ready+q.Unacked != 0 {
			r.T.Errorf("%+v, %+v", s.Stats(), q)
		}
	})
}

func TestPanicOfAnInterceptorIsAnsweredAsTheHandlers(t *testing.T) {
	for name, outcome := range map[string]warren.Outcome{"before": warren.NotExecuted, "after": warren.Executed} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				m := server.Method{Name: "echo", Interceptors: []warren.Interceptor{func(next warren.Handler) warren.Handler {
					return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
						if outcome == warren.Executed {
							_, _ = next(ctx, req)
						}
						panic("no")
					}
				}}}
				r.Serve(m, rig.Echo)
				_, err := r.Client().Call(r.T.Context(), "echo", nil, client.Idempotent())
				if e := rig.WantError(r.T, err, warren.CodeInternal, warren.ReasonPanic, outcome); e.Attempts != 1 {
					r.T.Errorf("error is %+v", e)
				}
			})
		})
	}
}
