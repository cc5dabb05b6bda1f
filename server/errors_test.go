package server_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// Code, reason, outcome and text of an error are all true, and do not contradict each
// other.
func TestErrorsSayWhatHasHappened(t *testing.T) {
	const (
		notExecuted = warren.NotExecuted
		executed    = warren.Executed
		unknown     = warren.Unknown
	)
	later := func(context.Context, *warren.Request) (*warren.Reply, error) {
		return nil, warren.Errorf(warren.CodeUnavailable, "the stock is away")
	}
	refusing := func(err error) warren.Interceptor {
		return func(warren.Handler) warren.Handler {
			return func(context.Context, *warren.Request) (*warren.Reply, error) {
				if err == nil {
					panic("x")
				}
				return nil, err
			}
		}
	}
	call := func(r *rig.Rig, id, body string, opts ...client.CallOption) error {
		opts = append([]client.CallOption{client.WithCallID(id), client.WithAttempts(1), client.WithTimeout(time.Minute)}, opts...)
		_, err := r.Client().Call(r.T.Context(), "m", []byte(body), opts...)
		return err
	}
	for name, c := range map[string]struct {
		mode    server.Mode
		m       server.Method
		handle  warren.Handler
		provoke func(r *rig.Rig, st *testStore) error
		told    string // code/reason
		outcome warren.Outcome
		says    string
	}{
		"handler's own": {
			handle: later, told: "unavailable/", outcome: executed, says: "the stock is away",
		},
		"handler that did nothing": {
			handle: func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				_, err := later(ctx, req)
				return nil, warren.NothingDone(err)
			}, told: "unavailable/", outcome: notExecuted, says: "the stock is away",
		},
		"handler's panic": {
			handle: func(context.Context, *warren.Request) (*warren.Reply, error) { panic("x") },
			told:   "internal/panic", outcome: executed, says: "the handler panicked",
		},
		"interceptor's panic": {
			m:    server.Method{Interceptors: []warren.Interceptor{refusing(nil)}},
			told: "internal/panic", outcome: notExecuted, says: "before the handler was called",
		},
		"interceptor's refusal": {
			m:    server.Method{Interceptors: []warren.Interceptor{refusing(warren.Errorf(warren.CodePermissionDenied, "not you"))}},
			told: "permission_denied/", outcome: notExecuted, says: "not you",
		},
		"rolled back": {
			mode: server.Transactional, handle: later, told: "unavailable/", outcome: notExecuted, says: "the stock is away",
		},
		"reply over the bound": {
			handle: func(context.Context, *warren.Request) (*warren.Reply, error) {
				return &warren.Reply{Body: make([]byte, 2<<20)}, nil
			},
			told: "resource_exhausted/reply_too_large", outcome: executed, says: "the reply's body",
		},
		"request over the bound": {
			provoke: func(r *rig.Rig, _ *testStore) error { return call(r, "k", strings.Repeat("x", 2<<20)) },
			told:    "resource_exhausted/request_too_large", outcome: notExecuted, says: "the request's body",
		},
		"ID of another request": {
			provoke: func(r *rig.Rig, _ *testStore) error {
				_ = call(r, "k", "one")
				return call(r, "k", "another")
			},
			told: "already_exists/key_reused", outcome: notExecuted, says: "used for another request",
		},
		"full store": {
			provoke: func(r *rig.Rig, st *testStore) error {
				st.fail("claim", times(2, full), nil)
				return call(r, "k", "x")
			},
			told: "resource_exhausted/store_full", outcome: notExecuted, says: "full",
		},
		"store that is away": {
			provoke: func(r *rig.Rig, st *testStore) error {
				st.fail("claim", times(2, outage), nil)
				return call(r, "k", "x")
			},
			told: "unavailable/store_unavailable", outcome: notExecuted, says: "cannot look the call up",
		},
		"begun and not ended": {
			mode: server.AtMostOnce,
			provoke: func(r *rig.Rig, st *testStore) error {
				begun(r, st)
				return call(r, "k", "x")
			},
			told: "aborted/interrupted", outcome: unknown, says: "an attempt of the call was begun and did not end",
		},
		"canceled before": {
			provoke: func(r *rig.Rig, st *testStore) error {
				buried(r, st)
				return call(r, "k", "x")
			},
			told: "canceled/", outcome: notExecuted, says: "before it was begun",
		},
		"canceled after an attempt": {
			provoke: func(r *rig.Rig, st *testStore) error {
				begun(r, st)
				buried(r, st)
				return call(r, "k", "x")
			},
			told: "canceled/", outcome: unknown, says: "an attempt of it had been begun",
		},
		"canceled after a rollback": {
			mode: server.Transactional,
			provoke: func(r *rig.Rig, st *testStore) error {
				begun(r, st)
				buried(r, st)
				return call(r, "k", "x")
			},
			told: "canceled/", outcome: notExecuted, says: "and was rolled back",
		},
		"canceled after an error that was rolled back": {
			mode: server.Transactional, handle: later,
			provoke: func(r *rig.Rig, st *testStore) error {
				_ = call(r, "k", "x")
				buried(r, st)
				return call(r, "k", "x")
			},
			told: "canceled/", outcome: notExecuted, says: "before it was begun",
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				st := alone(r, memstore.Options{})
				time.Sleep(time.Minute) // the store is older than the calls
				m, h := c.m, c.handle
				m.Name, m.Dedupe.Mode = "m", c.mode
				var runs atomic.Int32
				if h == nil {
					h = counting(&runs)
				}
				serve(r, st, m, h)
				if c.provoke == nil {
					c.provoke = func(r *rig.Rig, _ *testStore) error { return call(r, "k", "x") }
				}
				code, reason, _ := strings.Cut(c.told, "/")
				want, err := warren.ParseCode(code)
				if err != nil {
					r.T.Fatal(err)
				}
				e := rig.WantError(r.T, c.provoke(r, st), want, reason, c.outcome)
				if !strings.Contains(e.Message, c.says) {
					r.T.Errorf("it says %q; want %q", e.Message, c.says)
				}
			})
		})
	}
}

// begun has a server begin the call k of m, and die.
func begun(r *rig.Rig, st *testStore) {
	r.T.Helper()
	key := store.Scope{Method: "m", CallID: "k"}.Key()
	rec, won, err := st.Store.Claim(r.T.Context(), store.Claim{Key: key, Method: "m", CallID: "k", Lease: time.Minute, Retention: time.Hour})
	if err == nil {
		err = st.Store.Abandon(r.T.Context(), key, rec.Token, store.Unended)
	}
	if err != nil || !won {
		r.T.Fatal(won, err)
	}
}

// buried has somebody resolve the call k of m.
func buried(r *rig.Rig, st *testStore) {
	r.T.Helper()
	_, err := st.Bury(r.T.Context(), store.Claim{
		Key: store.Scope{Method: "m", CallID: "k"}.Key(), Fingerprint: store.ByProof(warren.ProofOf("", "", []byte("x"))),
		Method: "m", CallID: "k", Retention: time.Hour,
	})
	if err != nil {
		r.T.Fatal(err)
	}
}

// A question whose own deadline passes is no failure of the store.
func TestQuestionThatOutlivesItsDeadlineIsNoFailureOfTheStore(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		s := serve(r, st, in(server.AtLeastOnce), counting(&runs))
		want(r, "told", ask(r, "k", "x"), "1")
		st.fail("bury", hang, nil)
		ctx, cancel := context.WithTimeout(r.T.Context(), time.Second)
		defer cancel()
		_, err := r.Client().Resolve(ctx, "m", "k", knows("x"))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		time.Sleep(time.Second)
		if st := s.Stats(); st.StoreErrors != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}
