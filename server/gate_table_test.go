package server_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// The rows of the table: what a delivery finds in the record of its call.

func TestCallInProgressHereIsAttachedTo(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		g := rig.NewGate()
		s := serve(r, alone(r, memstore.Options{}), in(mode), g.Handle)
		p := r.Peer()
		p.Publish("m", raw(p, "k", "x"))
		<-g.Entered
		p.Publish("m", raw(p, "k", "x")) // twice by the same caller
		other := asking(r, "k", "x")     // and by another client
		stranger := asking(r, "k", "y")
		want(r, "another request", <-stranger, "already_exists/key_reused, not_executed")
		synctest.Wait()
		close(g.Release)
		seen := map[string]int{toldRaw(r, p.Next()): 1}
		seen[toldRaw(r, p.Next())]++
		seen[<-other]++
		if seen["x"] != 1 || seen["x, replayed"] != 2 {
			r.T.Errorf("told: %v", seen)
		}
		if st := s.Stats(); g.Runs.Load() != 1 || st.Attached != 2 || st.Claims != 1 || st.Conflicts != 1 {
			r.T.Errorf("%d runs, %+v", g.Runs.Load(), st)
		}
	})
}

func TestCallWhoseOwnerEndsWithoutAResultIsTakenByWhoIsAttached(t *testing.T) {
	for _, mode := range []server.Mode{server.AtLeastOnce, server.Transactional} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				entered, release := make(chan struct{}), make(chan struct{})
				var runs atomic.Int32
				serve(r, alone(r, memstore.Options{}), in(mode), func(context.Context, *warren.Request) (*warren.Reply, error) {
					n := runs.Add(1)
					if n == 1 {
						close(entered)
						<-release
						return nil, warren.Errorf(warren.CodeUnavailable, "not now")
					}
					return &warren.Reply{Body: fmt.Append(nil, n)}, nil
				})
				first := asking(r, "k", "x")
				<-entered
				second := asking(r, "k", "x")
				synctest.Wait()
				close(release)
				outcome := "executed"
				if mode == server.Transactional {
					outcome = "not_executed"
				}
				want(r, "the first", <-first, "unavailable/, "+outcome)
				want(r, "the second", <-second, "2")
			})
		})
	}
}

func TestCallInProgressElsewhereIsWaitedFor(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		g := rig.NewGate()
		held := shared(r, &data)
		if mode == server.Transactional {
			atWork(held, g)
		}
		serve(r, held, in(mode), g.Handle)
		first := asking(r, "k", "x", client.WithTimeout(2*time.Minute))
		<-g.Entered
		other := serve(r, shared(r, &data), in(mode), g.Handle)
		// The consumers take turns: the servers get one each.
		soon := []<-chan string{asking(r, "k", "x", client.WithTimeout(10*time.Second)), asking(r, "k", "x", client.WithTimeout(10*time.Second))}
		late := []<-chan string{asking(r, "k", "x"), asking(r, "k", "x")}
		time.Sleep(30 * time.Second) // ten leases
		for _, end := range soon {
			want(r, "a call whose deadline ended", <-end, "deadline_exceeded/, unknown")
		}
		close(g.Release)
		want(r, "the first", <-first, "x")
		for _, end := range late {
			want(r, "a call that waited", <-end, "x, replayed")
		}
		if st := other.Stats(); g.Runs.Load() != 1 || st.Claims != 0 || st.Attached == st.Requests {
			r.T.Errorf("%d runs, %+v", g.Runs.Load(), st)
		}
	})
}

func TestCallOfADeadOwnerIsTakenOverUnlessAtMostOnce(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		g := rig.NewGate()
		st := shared(r, &data)
		atWork(st, g)
		s := mortal(r, st, in(mode), g.Handle)
		end := asking(r, "k", "x")
		<-g.Entered
		kill(s, st)
		var runs atomic.Int32
		began := time.Now()
		st = shared(r, &data)
		s = serve(r, st, in(mode), counting(&runs))
		if mode == server.AtMostOnce {
			want(r, "at most once", <-end, "aborted/interrupted, unknown")
			want(r, "again", ask(r, "k", "x"), "aborted/interrupted, unknown")
			if rec := recordOf(r, st, "k"); runs.Load() != 0 || rec.State != store.Interrupted || s.Stats().Interrupted != 2 {
				r.T.Errorf("%d runs, %+v", runs.Load(), rec)
			}
			return
		}
		want(r, "taken over", <-end, "1")
		if took := time.Since(began); took > 5*time.Second {
			r.T.Errorf("a lease of 3 s, and it took %v", took)
		}
		if rec := recordOf(r, st, "k"); rec.Token != 2 || rec.State != store.Completed || s.Stats().Takeovers != 1 {
			r.T.Errorf("%+v, %+v", rec, s.Stats())
		}
		want(r, "again", ask(r, "k", "x"), "1, replayed")
	})
}

func TestTombstoneTellsWhatIsProvenOfTheCall(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		time.Sleep(time.Hour) // the store is older than the calls
		bury := func(id string) {
			r.T.Helper()
			key := store.Scope{Method: "m", CallID: id}.Key()
			if _, err := st.Bury(r.T.Context(), store.Claim{
				Key: key, Fingerprint: store.ByProof(warren.ProofOf("", "", []byte("x"))), Method: "m", CallID: id, Retention: time.Hour,
			}); err != nil {
				r.T.Fatal(err)
			}
		}
		bury("never")
		if _, won, err := st.Claim(r.T.Context(), store.Claim{
			Key: store.Scope{Method: "m", CallID: "begun"}.Key(), Lease: time.Second, Retention: time.Hour,
		}); err != nil || !won {
			r.T.Fatal(won, err)
		}
		time.Sleep(2 * time.Second)
		bury("begun")
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		want(r, "never begun", ask(r, "never", "x"), "canceled/, not_executed")
		proof := "unknown"
		if mode == server.Transactional {
			proof = "not_executed" // it was rolled back
		}
		want(r, "begun once", ask(r, "begun", "x"), "canceled/, "+proof)
		p := r.Peer()
		handedOut := raw(p, "never", "x")
		handedOut.Headers = map[string]any{"x-delivery-count": int64(1)}
		p.Publish("m", handedOut)
		want(r, "never begun, delivered before", toldRaw(r, p.Next()), "canceled/, not_executed")
		if runs.Load() != 0 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

// Outcomes: none of these may say that the call was not executed.

func TestFailingStoreIsOfUnknownOutcomeOnceTheCallWasSeenAtWork(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		g := rig.NewGate()
		defer close(g.Release)
		held := shared(r, &data)
		atWork(held, g)
		first := mortal(r, held, in(mode), g.Handle)
		defer func() { _ = stopWithin(r, first, time.Second) }()
		_ = asking(r, "k", "x")
		<-g.Entered
		st := shared(r, &data)
		serve(r, st, in(mode), g.Handle)
		ends := []<-chan string{asking(r, "k", "x", client.WithTimeout(20*time.Second)), asking(r, "k", "x", client.WithTimeout(20*time.Second))}
		time.Sleep(5 * time.Second)
		st.fail("get", times(1000, outage), nil)
		got := map[string]bool{<-ends[0]: true, <-ends[1]: true}
		// One was attached to the first, the other one asked the store again.
		if !got["unavailable/store_unavailable, unknown, later"] || !got["deadline_exceeded/, unknown"] {
			r.T.Errorf("told: %v", got)
		}
	})
}

func TestFailingStoreIsOfUnknownOutcomeAfterTheHandlerHasRun(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		lost := func(context.Context) error {
			st.fail("get", times(1, outage), nil)
			return store.ErrStale
		}
		st.fail("complete", lost, nil)
		st.fail("transact", nil, lost)
		want(r, "after the run", ask(r, "k", "x"), "unavailable/store_unavailable, unknown, later")
		if runs.Load() != 1 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestFailingStoreIsOfUnknownOutcomeOnceTheClaimWasLost(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		st := alone(r, memstore.Options{})
		st.fail("claim", func(ctx context.Context) error {
			st.fail("claim", nil, nil)
			st.fail("get", times(1, outage), nil)
			_, _, err := st.Store.Claim(ctx, store.Claim{
				Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: time.Minute, Retention: time.Hour,
			})
			return err
		}, nil)
		var runs atomic.Int32
		serve(r, st, in(mode), counting(&runs))
		want(r, "another has it", ask(r, "k", "x"), "unavailable/store_unavailable, unknown, later")
		if runs.Load() != 0 {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

func TestInterruptedCallThatIsRefusedIsOfUnknownOutcome(t *testing.T) {
	for _, mode := range []server.Mode{server.AtLeastOnce, server.Transactional} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				st := alone(r, memstore.Options{})
				if _, won, err := st.Claim(r.T.Context(), store.Claim{
					Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: time.Second, Retention: time.Hour,
				}); err != nil || !won {
					r.T.Fatal(won, err)
				}
				time.Sleep(time.Second)
				var runs atomic.Int32
				serve(r, st, lookingAt("get", in(mode)), counting(&runs))
				st.fail("claim", times(1, outage), nil)
				proof := "unknown"
				if mode == server.Transactional {
					proof = "not_executed"
				}
				want(r, "refused", ask(r, "k", "x"), "unavailable/store_unavailable, "+proof+", later")
				want(r, "then", ask(r, "k", "x"), "1")
			})
		})
	}
}
