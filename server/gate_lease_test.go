package server_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/rig"
)

// cutOff has the store hear of no renewal.
func cutOff(st *testStore) {
	st.fail("renew", func(context.Context) error { return outage }, nil)
}

func TestResultOfALateOwnerIsDropped(t *testing.T) {
	for name, end := range map[string]func() (*warren.Reply, error){
		"success":           func() (*warren.Reply, error) { return &warren.Reply{Body: []byte("late")}, nil },
		"terminal error":    func() (*warren.Reply, error) { return nil, warren.Errorf(warren.CodeNotFound, "late") },
		"retryable error":   func() (*warren.Reply, error) { return nil, warren.Errorf(warren.CodeUnavailable, "late") },
		"panic":             func() (*warren.Reply, error) { panic("late") },
		"end of goroutine":  func() (*warren.Reply, error) { runtime.Goexit(); return nil, nil },
		"reply that is bad": func() (*warren.Reply, error) { return &warren.Reply{Body: make([]byte, 2<<20)}, nil },
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var data memstore.Data
				entered, release := make(chan struct{}), make(chan struct{})
				held := shared(r, &data)
				cutOff(held)
				serve(r, held, in(server.AtLeastOnce), func(context.Context, *warren.Request) (*warren.Reply, error) {
					close(entered)
					<-release
					return end()
				})
				first := asking(r, "k", "x")
				<-entered
				time.Sleep(4 * time.Second) // its lease ends
				var runs atomic.Int32
				st := shared(r, &data)
				other := serve(r, st, in(server.AtLeastOnce), counting(&runs))
				// One of two comes to the other server, one attaches to the late owner.
				second, third := asking(r, "k", "x"), asking(r, "k", "x")
				synctest.Wait()
				if runs.Load() != 1 || other.Stats().Takeovers != 1 {
					r.T.Fatalf("%d runs, %+v", runs.Load(), other.Stats())
				}
				close(release)
				told := map[string]int{<-first: 1}
				told[<-second]++
				told[<-third]++
				if told["1"] != 1 || told["1, replayed"] != 2 {
					r.T.Errorf("told: %v", told)
				}
				if rec := recordOf(r, st, "k"); rec.Token != 2 || rec.State != store.Completed {
					r.T.Errorf("%+v", rec)
				}
				time.Sleep(time.Second)
				if q := r.Queue("m"); q.Ready+q.Unacked != 0 {
					r.T.Errorf("%+v", q)
				}
			})
		})
	}
}

func TestContextOfAnOwnerThatLostItsLeaseEnds(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		held := shared(r, &data)
		cutOff(held)
		cause := make(chan error, 1)
		entered := make(chan struct{})
		serve(r, held, in(server.AtLeastOnce), func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
			close(entered)
			<-ctx.Done()
			cause <- context.Cause(ctx)
			return nil, ctx.Err()
		})
		first := asking(r, "k", "x")
		<-entered
		time.Sleep(4 * time.Second)
		if _, won, err := shared(r, &data).Claim(r.T.Context(), store.Claim{
			Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: 10 * time.Second, Retention: time.Hour,
		}); err != nil || !won {
			r.T.Fatal(won, err)
		}
		held.fail("renew", nil, nil)
		if err := <-cause; err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
			r.T.Errorf("cause: %v", err)
		}
		synctest.Wait()
		select {
		case end := <-first:
			r.T.Errorf("told, while another server has the call: %q", end)
		default:
		}
	})
}

// The lease is lost while the call waits for a place among the handlers: it is
// neither expired nor unexecuted.
func TestLeaseLostBeforeTheHandlerIsNoExpiry(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		g := rig.NewGate()
		held := shared(r, &data)
		m := in(server.AtLeastOnce)
		m.Concurrency = 1
		s := serve(r, held, m, g.Handle)
		blocker := asking(r, "blocker", "x")
		<-g.Entered
		call := asking(r, "k", "x")
		synctest.Wait() // it is claimed, and waits
		cutOff(held)
		time.Sleep(4 * time.Second)
		other := shared(r, &data)
		rec, won, err := other.Claim(r.T.Context(), store.Claim{
			Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: 20 * time.Second, Retention: time.Hour,
		})
		if err != nil || !won {
			r.T.Fatal(won, err)
		}
		held.fail("renew", nil, nil)
		time.Sleep(10 * time.Second)
		select {
		case end := <-call:
			r.T.Fatalf("told, while another server has the call: %q", end)
		default:
		}
		stored := wire.EncodeStored(&warren.Reply{Body: []byte("elsewhere")}, nil)
		if err := other.Complete(r.T.Context(), rec.Key, rec.Token, store.Result{State: store.Completed, Payload: stored}, time.Hour); err != nil {
			r.T.Fatal(err)
		}
		want(r, "told", <-call, "elsewhere, replayed")
		close(g.Release)
		want(r, "the other call", <-blocker, "x")
		if st := s.Stats(); st.Handled != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestClaimedCallWhoseDeadlineEndsBeforeThePlaceIsNotRun(t *testing.T) {
	for _, mode := range []server.Mode{server.AtLeastOnce, server.AtMostOnce} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				g := rig.NewGate()
				st := alone(r, memstore.Options{})
				m := in(mode)
				m.Concurrency = 1
				s := serve(r, st, m, g.Handle)
				blocker := asking(r, "blocker", "x", client.WithTimeout(3*time.Minute))
				<-g.Entered
				p := r.Peer()
				p.Publish("m", raw(p, "k", "x"))
				time.Sleep(59 * time.Second)
				renewed := asking(r, "k", "x", client.WithTimeout(90*time.Second)) // attached
				want(r, "expired", toldRaw(r, p.Next()), "deadline_exceeded/expired, not_executed")
				if s.Stats().Handled != 1 {
					r.T.Errorf("%+v", s.Stats())
				}
				close(g.Release)
				want(r, "blocker", <-blocker, "x")
				// The call was never begun, so the next attempt of it runs, in any mode.
				want(r, "the next attempt", <-renewed, "x")
				if rec := recordOf(r, st, "k"); rec.Attempts != 1 {
					r.T.Errorf("%d attempts", rec.Attempts)
				}
			})
		})
	}
}

func TestLeaseIsRenewedWhileTheHandlerRunsAndTheRecordIsWritten(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		st := shared(r, &data)
		var down atomic.Bool
		down.Store(true)
		st.fail("complete", func(context.Context) error {
			if down.Load() {
				return outage
			}
			return nil
		}, nil)
		var runs atomic.Int32
		serve(r, st, in(server.AtMostOnce), func(context.Context, *warren.Request) (*warren.Reply, error) {
			time.Sleep(10 * time.Second)
			return &warren.Reply{Body: fmt.Append(nil, runs.Add(1))}, nil
		})
		call := asking(r, "k", "x")
		other := serve(r, shared(r, &data), in(server.AtMostOnce), counting(&runs))
		for range 30 {
			time.Sleep(time.Second)
			if rec := recordOf(r, st, "k"); rec.State != store.InProgress {
				r.T.Fatalf("%+v", rec)
			}
		}
		down.Store(false)
		want(r, "told", <-call, "1")
		if other.Stats().Claims != 0 {
			r.T.Errorf("%+v", other.Stats())
		}
	})
}
