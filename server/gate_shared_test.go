package server_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
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

// deaf is a store that does not tell when a record changes.
type deaf struct{ store.Store }

func TestAnswerOfAnotherServersCallComesSoonAfterItsEnd(t *testing.T) {
	for name, c := range map[string]struct {
		hide func(*testStore) store.Store
		most time.Duration
	}{
		"told by the store": {func(st *testStore) store.Store { return st }, 50 * time.Millisecond},
		"by looking":        {func(st *testStore) store.Store { return deaf{st} }, 2 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var data memstore.Data
				g := rig.NewGate()
				serve(r, shared(r, &data), in(server.AtLeastOnce), g.Handle)
				first := asking(r, "k", "x")
				<-g.Entered
				other := serve(r, c.hide(shared(r, &data)), in(server.AtLeastOnce), g.Handle)
				// The servers take turns: some of these come to the other one.
				attached := []<-chan string{asking(r, "k", "x"), asking(r, "k", "x"), asking(r, "k", "x"), asking(r, "k", "x")}
				time.Sleep(20 * time.Second)
				ended := time.Now()
				close(g.Release)
				want(r, "the first", <-first, "x")
				for _, end := range attached {
					want(r, "a call that waited", <-end, "x, replayed")
				}
				if took := time.Since(ended); took > c.most {
					r.T.Errorf("the last was answered %v after the end", took)
				}
				if st := other.Stats(); st.Replays == 0 || st.Handled != 0 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

// A claim that has failed and may have been made is no attempt of the call. Another
// server must not find it, and take it for one that was begun.
func TestClaimInDoubtIsGivenUpBeforeAnotherServerMeetsIt(t *testing.T) {
	for name, away := range map[string]time.Duration{"soon": time.Second, "after its lease": 10 * time.Second} {
		t.Run(name, func(t *testing.T) {
			inEachMode(t, func(r *rig.Rig, mode server.Mode) {
				var data memstore.Data
				var runs atomic.Int32
				st := shared(r, &data)
				s := serve(r, st, in(mode), counting(&runs))
				st.fail("claim", nil, times(1, outage))
				st.fail("get", times(1000, outage), nil)
				want(r, "while the store is away", ask(r, "k", "x"), "unavailable/store_unavailable, not_executed, later")
				if rec := recordOf(r, st, "k"); rec.State != store.InProgress {
					r.T.Fatalf("%+v", rec)
				}
				time.Sleep(away)
				st.fail("get", nil, nil)
				time.Sleep(time.Second)
				if rec := recordOf(r, st, "k"); rec.State != store.Absent {
					r.T.Errorf("a second after the store is back: %+v", rec)
				}
				rig.Stop(r.T, s)
				serve(r, shared(r, &data), in(mode), counting(&runs))
				want(r, "from another server", ask(r, "k", "x"), "1")
			})
		})
	}
}

// A claim that failed, and was not made, casts no doubt on the one that comes after it.
func TestDoubtEndsWithTheNextClaim(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		g := rig.NewGate()
		st := shared(r, &data)
		atWork(st, g)
		serve(r, st, in(mode), g.Handle)
		st.fail("get", times(1, outage), nil)
		st.fail("claim", times(1, outage), nil)
		want(r, "while the store is away", ask(r, "k", "x"), "unavailable/store_unavailable, not_executed, later")
		call := asking(r, "k", "x")
		<-g.Entered
		time.Sleep(20 * time.Second)
		if rec := recordOf(r, st, "k"); rec.State != store.InProgress || rec.Token != 1 {
			r.T.Errorf("%+v", rec)
		}
		close(g.Release)
		want(r, "told", <-call, "x")
	})
}

// An owner that is taken for dead, and that nobody has replaced, may commit yet.
func TestRefusedAttemptDoesNotSpeakForAnInterruptedOne(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		key := store.Scope{Method: "m", CallID: "k"}.Key()
		first := shared(r, &data)
		rec, won, err := first.Claim(r.T.Context(), store.Claim{
			Key: key, Fingerprint: store.ByProof(warren.ProofOf("", "", []byte("x"))), Method: "m", CallID: "k",
			Lease: time.Second, Retention: time.Hour,
		})
		if err != nil || !won {
			r.T.Fatal(won, err)
		}
		time.Sleep(2 * time.Second)
		second := shared(r, &data)
		second.fail("claim", times(2, full), nil)
		var runs atomic.Int32
		serve(r, second, in(server.Transactional), counting(&runs))
		want(r, "another attempt", ask(r, "k", "x"), "resource_exhausted/store_full, unknown, later")
		if err := first.Transact(r.T.Context(), key, rec.Token, time.Hour, func(*memstore.Tx) (store.Result, error) {
			return store.Result{State: store.Completed}, nil
		}); err != nil {
			r.T.Error("the first does not commit:", err)
		}
	})
}

func TestTransactionThatCannotCommitIsTheHandlersFault(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		st.fail("commit", times(1, store.ErrRolledBack), nil)
		var runs atomic.Int32
		s := serve(r, st, in(server.Transactional), counting(&runs))
		want(r, "told", ask(r, "k", "x"), "internal/, not_executed")
		if rec := recordOf(r, st, "k"); rec.State != store.Absent || runs.Load() != 1 {
			r.T.Errorf("%d runs, %+v", runs.Load(), rec)
		}
		want(r, "asked again", ask(r, "k", "x"), "2")
		if stats := s.Stats(); stats.StoreErrors != 0 {
			r.T.Errorf("%+v", stats)
		}
	})
}

// What a handler returns whose store has gone away under it says no more than that.
func TestStoreThatFailsUnderATransactionIsNotTheHandlersFault(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		var runs atomic.Int32
		serve(r, st, in(server.Transactional), func(context.Context, *warren.Request) (*warren.Reply, error) {
			if runs.Add(1)%2 == 1 {
				return nil, fmt.Errorf("the connection is broken")
			}
			return &warren.Reply{Body: fmt.Append(nil, runs.Load())}, nil
		})
		st.fail("rollback", times(2, outage), nil)
		want(r, "told", ask(r, "k", "x"), "unavailable/store_unavailable, not_executed, later")
		if rec := recordOf(r, st, "k"); rec.State != store.Absent {
			r.T.Errorf("%+v", rec)
		}
		want(r, "asked again", ask(r, "k", "x"), "2")
		// A notification waits for the store.
		p := r.Peer()
		n := raw(p, "n", "x")
		n.ReplyTo = ""
		p.Publish("m", n)
		time.Sleep(10 * time.Second)
		if rec := recordOf(r, st, "n"); rec.State != store.Completed || runs.Load() != 4 {
			r.T.Errorf("%d runs, %+v", runs.Load(), rec)
		}
	})
}

// Leases that are renewed at the same moments cost a store that commits together what
// comes together one transaction.
func TestLeasesOfAServerAreRenewedTogether(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		const calls, length = 40, 3 * time.Second
		var data memstore.Data
		st := shared(r, &data)
		g := rig.NewGate()
		m := in(server.AtLeastOnce)
		m.Concurrency = calls
		serve(r, st, m, g.Handle)
		var mu sync.Mutex
		renewals := make(map[time.Duration]int)
		began := time.Now()
		st.fail("renew", func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			renewals[time.Since(began)]++
			return nil
		}, nil)
		var ends []<-chan string
		for i := range calls {
			ends = append(ends, asking(r, fmt.Sprint(i), "x"))
			<-g.Entered
			time.Sleep(time.Duration(rand.IntN(100)) * time.Millisecond)
		}
		time.Sleep(10 * length)
		mu.Lock()
		moments, total := len(renewals), 0
		for _, n := range renewals {
			total += n
		}
		mu.Unlock()
		if most := int(time.Since(began)/(length/8)) + 1; moments > most || total < calls*30 || total > calls*60 {
			r.T.Errorf("%d renewals of %d leases at %d moments; want %d moments at most", total, calls, moments, most)
		}
		close(g.Release)
		for i, end := range ends {
			want(r, "told", <-end, "x")
			if rec := recordOf(r, st, fmt.Sprint(i)); rec.Token != 1 {
				r.T.Errorf("%+v", rec)
			}
		}
		synctest.Wait()
	})
}

func TestMethodsWithoutRecordsAreServedWhileTheStoreDoesNotAnswer(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		st := shared(r, &data)
		var runs atomic.Int32
		s := prepared(r, st, in(server.AtMostOnce), counting(&runs))
		plain := server.Method{Name: "plain", Dedupe: server.Dedupe{Mode: server.NotDeduped}}
		if err := s.HandleRaw(plain, rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		hang := func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		for _, op := range []string{"get", "claim"} {
			st.fail(op, hang, nil)
		}
		r.Start(s) // it needs no store
		var waiting []<-chan string
		for i := range 300 { // more than it may have at a time
			waiting = append(waiting, asking(r, fmt.Sprint(i), "x", client.WithTimeout(20*time.Second)))
		}
		time.Sleep(5 * time.Second)
		began := time.Now()
		reply, err := r.Client().Call(r.T.Context(), "plain", []byte("x"))
		want(r, "a method without records", told(reply, err), "x")
		if took := time.Since(began); took > time.Second {
			r.T.Errorf("it took %v", took)
		}
		for _, end := range waiting {
			<-end
		}
		if runs.Load() != 0 {
			r.T.Errorf("%d runs", runs.Load())
		}
		for _, op := range []string{"get", "claim"} {
			st.fail(op, nil, nil)
		}
		want(r, "once the store is back", ask(r, "again", "x"), "1")
	})
}
