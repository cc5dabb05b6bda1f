package server_test

import (
	"context"
	"fmt"
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

// knows proves a call of [ask] with that body.
func knows(body string) client.ResolveOption {
	return client.Proven(warren.ProofOf("", "", []byte(body)))
}

// resolved asks for a call of m with the body x, unless an option proves another one,
// and says what it was told.
func resolved(r *rig.Rig, callID string, opts ...client.ResolveOption) string {
	r.T.Helper()
	opts = append([]client.ResolveOption{knows("x")}, opts...)
	return resolvedBy(r, r.Client(), callID, opts...)
}

func resolvedBy(r *rig.Rig, c *client.Client, callID string, opts ...client.ResolveOption) string {
	r.T.Helper()
	res, err := c.Resolve(r.T.Context(), "m", callID, opts...)
	if err != nil {
		return told(nil, err)
	}
	s := string(res.State) + ", " + res.Outcome.String()
	if res.Reply != nil {
		s += ": " + string(res.Reply.Body)
	}
	if res.Err != nil {
		s += ": " + told(nil, res.Err)
	}
	return s
}

func TestResolveTellsWhatTheRecordProves(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		young := time.Now()
		m := in(mode)
		m.Dedupe.Retention = time.Hour
		m.Dedupe.Lease = 5 * time.Minute
		var runs atomic.Int32
		serve(r, st, m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			runs.Add(1)
			switch string(req.Body) {
			case "fail":
				return nil, warren.Errorf(warren.CodeNotFound, "no")
			case "panic":
				panic("x")
			}
			return &warren.Reply{Body: req.Body}, nil
		})
		want(r, "of before the store", resolved(r, "young", client.IssuedAt(young.Add(5*time.Second))), "canceled, unknown")
		time.Sleep(2 * time.Hour)
		want(r, "success", ask(r, "1", "x"), "x")
		want(r, "completed", resolved(r, "1"), "completed, executed: x")
		want(r, "error", ask(r, "2", "fail"), "not_found/, executed")
		want(r, "failed", resolved(r, "2", knows("fail")), "failed, executed: not_found/, executed, replayed")
		want(r, "panic", ask(r, "3", "panic"), "internal/panic, executed")
		want(r, "panicked", resolved(r, "3", knows("panic")), "failed, executed: internal/panic, executed, replayed")

		now := time.Now()
		want(r, "absent", resolved(r, "4", client.IssuedAt(now)), "canceled, not_executed")
		want(r, "twice", resolved(r, "4", client.IssuedAt(now)), "canceled, not_executed")
		want(r, "twice, without a time", resolved(r, "4"), "canceled, unknown")
		want(r, "a call after it", ask(r, "4", "x"), "canceled/, not_executed")
		want(r, "without a time", resolved(r, "5"), "canceled, unknown")
		want(r, "older than records are kept", resolved(r, "6", client.IssuedAt(now.Add(-time.Hour))), "canceled, unknown")
		want(r, "nearly as old", resolved(r, "7", client.IssuedAt(now.Add(-50*time.Minute))), "canceled, not_executed")

		for _, id := range []string{"begun", "dead"} {
			lease := time.Minute
			if id == "dead" {
				lease = time.Second
			}
			if _, won, err := st.Claim(r.T.Context(), store.Claim{
				Key: store.Scope{Method: "m", CallID: id}.Key(), Lease: lease, Retention: time.Hour,
			}); err != nil || !won {
				r.T.Fatal(won, err)
			}
		}
		time.Sleep(2 * time.Second)
		want(r, "in progress", resolved(r, "begun", client.IssuedAt(now)), "in_progress, unknown")
		proof := "unknown"
		if mode == server.Transactional {
			proof = "not_executed"
		}
		for range 2 {
			want(r, "interrupted", resolved(r, "dead", client.IssuedAt(now)), "canceled, "+proof)
		}
		want(r, "a call after it", ask(r, "dead", "x"), "canceled/, "+proof)
		if runs.Load() != 3 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

// A memory outside the process that may lose its last changes has its identity after that
// as before.
func TestResolveProvesNothingByAMemoryThatMayForget(t *testing.T) {
	for name, c := range map[string]struct {
		traits store.Traits
		told   string
	}{
		"forgets with the process": {store.Traits{}, "canceled, not_executed"},
		"keeps what it took":       {store.Traits{Durable: true, Shared: true}, "canceled, not_executed"},
		"may forget":               {store.Traits{Shared: true}, "canceled, unknown"},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var runs atomic.Int32
				serve(r, openTestStore(r, memstore.New(memstore.Options{}), c.traits), in(server.AtLeastOnce), counting(&runs))
				time.Sleep(time.Minute)
				want(r, "absent", resolved(r, "k", client.IssuedAt(time.Now())), c.told)
			})
		})
	}
}

func TestResolveIsUnknownWhileTheStoreFails(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		serve(r, st, in(server.AtLeastOnce), counting(&runs))
		_ = st.Store.Close()
		want(r, "closed", resolved(r, "k", client.IssuedAt(time.Now()), client.ResolveTimeout(5*time.Second)),
			"unavailable/store_unavailable, unknown, later")
	})
}

// The call is on its way when it is resolved: it must not run after that.
func TestResolvedCallNeverRuns(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		time.Sleep(time.Minute)
		looked, goOn := make(chan struct{}), make(chan struct{})
		st.fail("claim", func(context.Context) error {
			close(looked)
			<-goOn
			return nil
		}, nil)
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		call := asking(r, "k", "x")
		<-looked // there was no record
		want(r, "resolved", resolved(r, "k", client.IssuedAt(time.Now())), "canceled, not_executed")
		close(goOn)
		want(r, "told", <-call, "canceled/, not_executed")
		if runs.Load() != 0 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

// Who knows or computes the ID of another's call learns nothing of it, and forbids
// nothing.
func TestResolveIsForWhoKnowsTheCall(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		time.Sleep(time.Minute)
		var runs atomic.Int32
		s := serve(r, st, in(mode), counting(&runs))
		issued := client.IssuedAt(time.Now())
		none := client.Proven(warren.Proof{})
		const refused = "permission_denied/not_proven, unknown"
		want(r, "without a proof", resolved(r, "k", none, issued), refused)
		want(r, "of a call that is guessed", resolved(r, "k", knows("y"), issued), "canceled, not_executed")
		want(r, "the call itself", ask(r, "k", "x"), "1")
		want(r, "without a proof", resolved(r, "k", none, issued), refused)
		want(r, "with a wrong one", resolved(r, "k", knows("z"), issued), refused)
		want(r, "by who knows it", resolved(r, "k", issued), "completed, executed: 1")
		want(r, "once more", ask(r, "k", "x"), "1, replayed")
		want(r, "what was guessed", ask(r, "k", "y"), "already_exists/key_reused, not_executed")

		want(r, "before it comes", resolved(r, "l", issued), "canceled, not_executed")
		want(r, "with another body", ask(r, "l", "y"), "2")
		want(r, "by who knows the first", resolved(r, "l", issued), "canceled, not_executed")
		want(r, "the first", ask(r, "l", "x"), "already_exists/key_reused, not_executed")
		if runs.Load() != 2 || s.Stats().StoreErrors != 0 {
			r.T.Errorf("%d runs, %+v", runs.Load(), s.Stats())
		}
	})
}

// The common path: by the error, or after a crash by what was sent.
func TestResolveIsProvenByTheErrorOrTheContent(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		serve(r, alone(r, memstore.Options{}), in(server.AtLeastOnce), func(context.Context, *warren.Request) (*warren.Reply, error) {
			time.Sleep(2 * time.Second)
			return &warren.Reply{Body: []byte("done")}, nil
		})
		c := r.Client()
		_, err := client.Call[string](r.T.Context(), c, "m", map[string]int{"order": 7}, client.WithCallID("k"), client.WithTimeout(time.Second),
			client.WithHeader("h", "v"))
		e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		time.Sleep(2 * time.Second)
		proof := client.Proven(warren.ProofOf("application/json", "", []byte(`{"order":7}`)))
		for name, opt := range map[string]client.ResolveOption{"error": client.About(err), "content": proof} {
			res, err := c.Resolve(r.T.Context(), e.Method, e.CallID, opt)
			if err != nil || res.State != client.Completed || string(res.Reply.Body) != "done" {
				r.T.Errorf("%s: %+v, %v", name, res, err)
			}
		}
	})
}

// Questions have a room of their own: whatever is asked, calls go on, and the log
// stays short.
func TestQuestionsDoNotFillTheStore(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		const limit, more = 20, 200
		st := alone(r, memstore.Options{SizeLimit: 1 << 20, Tombstones: limit, SweepEvery: -1})
		m := in(server.AtMostOnce)
		m.Dedupe.Retention = time.Hour
		var runs atomic.Int32
		var log rig.Log
		s := r.NewServer(stored(st), func(cfg *server.Config) { cfg.Logger = log.Logger() })
		if err := s.HandleRaw(m, counting(&runs)); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		time.Sleep(2 * time.Hour)
		refused, c := 0, r.Ready()
		for i := range limit + more {
			switch got := resolvedBy(r, c, fmt.Sprint("nobody ", i), knows("x"), client.IssuedAt(time.Now())); got {
			case "canceled, not_executed":
			case "resource_exhausted/store_full, unknown, later", "unavailable/budget_exhausted, unknown, later":
				refused++
			default:
				r.T.Fatalf("question %d: %s", i, got)
			}
		}
		if refused < more {
			r.T.Errorf("%d of %d questions were refused", refused, limit+more)
		}
		if lines := strings.Count(log.String(), "what became of a call cannot be told"); lines < 1 || lines > 20 {
			r.T.Errorf("%d lines in the log", lines)
		}
		want(r, "a call", ask(r, "k", "x"), "1")
		// A tombstone is kept no longer than what it forbids could be begun.
		want(r, "an old call", resolved(r, "nobody 0", client.IssuedAt(time.Now().Add(-50*time.Minute))), "canceled, not_executed")
		time.Sleep(time.Hour)
		want(r, "room again", resolved(r, "new", client.IssuedAt(time.Now())), "resource_exhausted/store_full, unknown, later")
		if _, err := st.Sweep(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		want(r, "room again", resolved(r, "new", client.IssuedAt(time.Now().Add(-50*time.Minute))), "canceled, not_executed")
		key := store.Scope{Method: "m", CallID: "new"}.Key().Tombstone(store.ByProof(warren.ProofOf("", "", []byte("x"))))
		if rec, err := st.Get(r.T.Context(), key); err != nil || rec.State != store.Tombstone || time.Until(rec.Expires) > 10*time.Minute {
			r.T.Errorf("%+v, %v", rec, err)
		}
	})
}

func TestResolveByCallerSeesItsOwnCallsAlone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		m := in(server.AtLeastOnce)
		m.Dedupe.ByCaller = true
		var runs atomic.Int32
		serve(r, alone(r, memstore.Options{}), m, counting(&runs))
		want(r, "without a user", resolved(r, "k", client.ResolveTimeout(5*time.Second)), "unauthenticated/missing_identifier, unknown")
	})
}
