package server_test

import (
	"context"
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

// A claim that takes longer than its call has is no attempt of the call: nobody died,
// and it may be begun later.
func TestClaimWhoseHandlerWasNotEnteredIsUndone(t *testing.T) {
	slow := func(context.Context) error {
		time.Sleep(2 * time.Second)
		return nil
	}
	t.Run("deadline", func(t *testing.T) {
		inEachMode(t, func(r *rig.Rig, mode server.Mode) {
			st := alone(r, memstore.Options{})
			var runs atomic.Int32
			serve(r, st, in(mode), counting(&runs))
			st.fail("claim", nil, slow)
			want(r, "at first", ask(r, "k", "x", client.WithTimeout(time.Second)), "deadline_exceeded/, unknown")
			time.Sleep(5 * time.Second)
			if rec := recordOf(r, st, "k"); rec.State != store.Absent {
				r.T.Errorf("%+v", rec)
			}
			st.fail("claim", nil, nil)
			want(r, "then", ask(r, "k", "x"), "1")
			if runs.Load() != 1 {
				r.T.Errorf("%d runs", runs.Load())
			}
		})
	})
	t.Run("stop", func(t *testing.T) {
		inEachMode(t, func(r *rig.Rig, mode server.Mode) {
			var data memstore.Data
			st := shared(r, &data)
			var runs atomic.Int32
			s := mortal(r, st, in(mode), counting(&runs))
			claimed := make(chan struct{})
			st.fail("claim", nil, func(ctx context.Context) error {
				close(claimed)
				return slow(ctx)
			})
			call := asking(r, "k", "x", client.WaitForServer())
			<-claimed
			if err := stopWithin(r, s, 1500*time.Millisecond); err == nil {
				r.T.Error("nothing was cancelled")
			}
			if rec := recordOf(r, st, "k"); rec.State != store.Absent {
				r.T.Errorf("%+v", rec)
			}
			serve(r, shared(r, &data), in(mode), counting(&runs))
			want(r, "told", <-call, "1")
		})
	})
}

// A handler that vouches that it has done nothing gives its claim back.
func TestHandlerThatHasDoneNothingIsRunAgain(t *testing.T) {
	away := warren.Errorf(warren.CodeUnavailable, "the stock is away").WithRetryAfter(time.Second)
	for name, c := range map[string]struct {
		err  error
		told string
	}{
		"marked":         {warren.NothingDone(away), "unavailable/, not_executed, later"},
		"terminal":       {warren.NothingDone(warren.Errorf(warren.CodeNotFound, "no")), "not_found/, not_executed"},
		"by its outcome": {&warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted}, "unavailable/, not_executed"},
	} {
		t.Run(name, func(t *testing.T) {
			inEachMode(t, func(r *rig.Rig, mode server.Mode) {
				st := alone(r, memstore.Options{})
				var failing atomic.Bool
				failing.Store(true)
				var runs atomic.Int32
				serve(r, st, in(mode), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
					if failing.Load() {
						return nil, c.err
					}
					return counting(&runs)(ctx, req)
				})
				want(r, "while it is away", ask(r, "k", "x"), c.told)
				if rec := recordOf(r, st, "k"); rec.State != store.Absent {
					r.T.Errorf("%+v", rec)
				}
				failing.Store(false)
				want(r, "then", ask(r, "k", "x"), "1")
				want(r, "again", ask(r, "k", "x"), "1, replayed")
			})
		})
	}
}

// What was begun before is not undone by an attempt that did nothing.
func TestHandlerThatHasDoneNothingVouchesForItselfAlone(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		g := rig.NewGate()
		st := shared(r, &data)
		h := g.Handle
		if mode == server.Transactional {
			atWork(st, g)
			h = rig.Echo
		}
		first := mortal(r, st, in(mode), h)
		call := asking(r, "k", "x", client.WaitForServer())
		<-g.Entered
		kill(first, st)
		if mode == server.AtMostOnce {
			want(r, "told", served(r, &data, in(mode), call), "aborted/interrupted, unknown")
			return
		}
		expected := "unavailable/, unknown"
		if mode == server.Transactional {
			expected = "unavailable/, not_executed" // the first was rolled back
		}
		want(r, "told", served(r, &data, in(mode), call), expected)
		if rec := recordOf(r, shared(r, &data), "k"); rec.State != store.Interrupted || rec.Attempts != 1 {
			r.T.Errorf("%+v", rec)
		}
	})
}

// served is what the call is told once a server takes it whose handler does nothing.
func served(r *rig.Rig, d *memstore.Data, m server.Method, call <-chan string) string {
	r.T.Helper()
	serve(r, shared(r, d), m, func(context.Context, *warren.Request) (*warren.Reply, error) {
		return nil, warren.NothingDone(warren.Errorf(warren.CodeUnavailable, "away"))
	})
	return <-call
}
