package server_test

import (
	"context"
	"strings"
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

func TestStoppedCallsGoOnAsTheirModeSays(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		var data memstore.Data
		st := shared(r, &data)
		g := rig.NewGate()
		m := in(mode)
		m.Concurrency = 1
		s := mortal(r, st, m, g.Handle)
		call := asking(r, "k", "x", client.WaitForServer())
		<-g.Entered
		// These have not begun.
		waiting := []<-chan string{asking(r, "1", "x", client.WaitForServer()), asking(r, "2", "x", client.WaitForServer())}
		attached := asking(r, "k", "x", client.WaitForServer())
		synctest.Wait()
		began := time.Now()
		if err := stopWithin(r, s, 3*time.Second); err == nil {
			r.T.Error("the handler was not cancelled")
		}
		if took := time.Since(began); took > 4*time.Second {
			r.T.Errorf("Stop took %v", took)
		}
		left := store.Interrupted
		if mode == server.Transactional {
			left = store.Absent // it was rolled back
		}
		if rec := recordOf(r, st, "k"); rec.State != left || rec.Attempts != 0 {
			r.T.Errorf("%+v", rec)
		}
		if q := r.Queue("m"); q.Ready != 4 || q.Unacked != 0 {
			r.T.Errorf("%+v", q)
		}
		var runs atomic.Int32
		serve(r, shared(r, &data), m, counting(&runs))
		for _, end := range append(waiting, call, attached) {
			got := strings.TrimSuffix(<-end, ", replayed")
			interrupted := end == call || end == attached
			if mode == server.AtMostOnce && interrupted {
				want(r, "begun before", got, "aborted/interrupted, unknown")
			} else if len(got) != 1 {
				r.T.Errorf("told: %q", got)
			}
		}
		expected := int32(3)
		if mode == server.AtMostOnce {
			expected = 2
		}
		if runs.Load() != expected {
			r.T.Errorf("%d runs", runs.Load())
		}
	})
}

// The place of a handler that has ended goes to nobody once the server has told its
// handlers to end, even where an interceptor keeps that from the one that waits.
func TestCallThatWaitsForAPlaceIsNotBegunWhileTheServerStops(t *testing.T) {
	inEachMode(t, func(r *rig.Rig, mode server.Mode) {
		if mode == server.Transactional {
			return // its handlers wait for the store, not for places
		}
		var data memstore.Data
		m := in(mode)
		m.Concurrency = 1
		m.Interceptors = []warren.Interceptor{func(next warren.Handler) warren.Handler {
			return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
				return next(context.WithoutCancel(ctx), req)
			}
		}}
		var runs atomic.Int32
		entered, release := make(chan struct{}, 2), make(chan struct{})
		s := mortal(r, shared(r, &data), m, func(context.Context, *warren.Request) (*warren.Reply, error) {
			runs.Add(1)
			entered <- struct{}{}
			<-release
			return nil, nil
		})
		asking(r, "1", "x")
		<-entered
		waits := asking(r, "2", "x", client.WaitForServer())
		synctest.Wait()
		stopped := make(chan error, 1)
		go func() { stopped <- stopWithin(r, s, time.Second) }()
		time.Sleep(time.Second + time.Millisecond) // its handlers have been told
		close(release)
		if err := <-stopped; err == nil {
			r.T.Error("the handler was not cancelled")
		}
		if n := runs.Load(); n != 1 {
			r.T.Errorf("%d calls were begun", n)
		}
		serve(r, shared(r, &data), in(mode), counting(&runs))
		want(r, "the one that waited", <-waits, "2")
	})
}

// A handler that ends well in its last second is recorded and answered.
func TestResultOfAHandlerThatWasCancelledIsKept(t *testing.T) {
	for _, mode := range []server.Mode{server.AtLeastOnce, server.AtMostOnce} {
		t.Run(mode.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				st := alone(r, memstore.Options{})
				entered := make(chan struct{})
				s := mortal(r, st, in(mode), func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
					close(entered)
					<-ctx.Done()
					return &warren.Reply{Body: []byte("done")}, nil
				})
				call := asking(r, "k", "x")
				<-entered
				if err := stopWithin(r, s, time.Second); err == nil {
					r.T.Error("the handler was not cancelled")
				}
				want(r, "told", <-call, "done")
				if rec := recordOf(r, st, "k"); rec.State != store.Completed {
					r.T.Errorf("%+v", rec)
				}
			})
		})
	}
}

func TestPanicWhoseRecordCannotBeWrittenEndsItsRequestOnce(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		st := shared(r, &data)
		st.fail("complete", func(context.Context) error { return outage }, nil)
		s := mortal(r, st, in(server.AtLeastOnce), func(context.Context, *warren.Request) (*warren.Reply, error) { panic("x") })
		call := asking(r, "k", "x", client.WaitForServer())
		time.Sleep(10 * time.Second)
		if err := stopWithin(r, s, time.Second); err == nil {
			r.T.Error("Stop left nothing behind")
		}
		var runs atomic.Int32
		serve(r, shared(r, &data), in(server.AtLeastOnce), counting(&runs))
		want(r, "told", <-call, "1")
	})
}

func TestServersThatShareAStoreServeTogether(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		var runs [2]atomic.Int32
		for i := range runs {
			serve(r, shared(r, &data), in(server.AtLeastOnce), counting(&runs[i]))
		}
		for _, id := range []string{"1", "2", "3", "4", "4", "3", "2", "1"} {
			ask(r, id, "x")
		}
		if runs[0].Load()+runs[1].Load() != 4 || runs[0].Load() == 0 || runs[1].Load() == 0 {
			r.T.Errorf("%d and %d runs", runs[0].Load(), runs[1].Load())
		}
	})
}

// A half-open switch lets one request in at a time: a ticket that was not given
// back would shut it for ever.
func TestKillSwitchGetsItsTicketsBackWhateverBecomesOfAClaim(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		m := in(server.AtLeastOnce)
		m.KillSwitch = server.KillSwitch{Failures: 0.5, Volume: 2, Probes: 1, Open: time.Second}
		m.Admission = server.Admission{Target: time.Second}
		var failing atomic.Bool
		failing.Store(true)
		var runs atomic.Int32
		s := serve(r, st, m, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if failing.Load() {
				return nil, warren.Errorf(warren.CodeInternal, "x")
			}
			return counting(&runs)(ctx, req)
		})
		for _, id := range []string{"1", "2"} {
			want(r, "failing", ask(r, id, "x"), "internal/, executed")
		}
		if st := s.Stats(); st.Trips != 1 || st.Tripped != 1 {
			r.T.Fatalf("%+v", st)
		}
		failing.Store(false)
		wait := client.WaitForServer()
		// Probes that come to nothing: a claim that fails, one that another has won, a
		// replay.
		st.fail("claim", times(2, outage), nil)
		want(r, "an outage", ask(r, "3", "x", wait), "unavailable/store_unavailable, not_executed, later")
		st.fail("claim", times(2, full), nil)
		want(r, "a full store", ask(r, "4", "x", wait), "resource_exhausted/store_full, not_executed, later")
		want(r, "a replay", ask(r, "1", "x", wait), "internal/, executed, replayed")
		st.fail("claim", func(ctx context.Context) error {
			st.fail("claim", nil, nil)
			key := store.Scope{Method: "m", CallID: "5"}.Key()
			rec, _, err := st.Store.Claim(ctx, store.Claim{Key: key, Lease: time.Second, Retention: time.Hour})
			if err == nil {
				err = st.Store.Abandon(ctx, key, rec.Token, store.Ended)
			}
			return err
		}, nil)
		want(r, "a claim that another had", ask(r, "5", "x", wait), "1")
		if st := s.Stats(); st.Tripped != 0 || st.Trips != 1 {
			r.T.Errorf("%+v", st)
		}
		want(r, "works", ask(r, "6", "x", wait), "2")
	})
}

func TestShedCallsLeaveNoRecord(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		st := alone(r, memstore.Options{})
		m := in(server.AtMostOnce)
		m.Concurrency, m.Prefetch = 1, 1
		m.Admission = server.Admission{Target: 10 * time.Millisecond, Interval: 10 * time.Millisecond}
		s := serve(r, st, m, func(context.Context, *warren.Request) (*warren.Reply, error) {
			time.Sleep(time.Second)
			return &warren.Reply{}, nil
		})
		ends := make(map[string]<-chan string)
		for i := range 20 {
			id := string(rune('a' + i))
			ends[id] = asking(r, id, "x")
		}
		shed := 0
		for id, end := range ends {
			got := <-end
			rec := recordOf(r, st, id)
			switch got {
			case "":
				if rec.State != store.Completed {
					r.T.Errorf("%s: %+v", id, rec)
				}
			case "resource_exhausted/overloaded, not_executed, later":
				shed++
				if rec.State != store.Absent {
					r.T.Errorf("%s: %+v", id, rec)
				}
			default:
				r.T.Errorf("%s: %q", id, got)
			}
		}
		if shed == 0 || s.Stats().Shed != uint64(shed) {
			r.T.Errorf("%d shed, %+v", shed, s.Stats())
		}
	})
}
