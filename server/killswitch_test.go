package server_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// guarded is a method of one handler whose kill switch trips once two of four
// have failed.
func guarded() server.Method {
	return server.Method{
		Name: "guarded", Concurrency: 1, Prefetch: 6,
		KillSwitch: server.KillSwitch{Failures: 0.5, Volume: 4, Open: 4 * time.Second, MostOpen: 16 * time.Second},
	}
}

// flaky is a handler that fails as long as it is told to.
type flaky struct {
	failing atomic.Bool
	runs    atomic.Int64
}

func (f *flaky) Handle(context.Context, *warren.Request) (*warren.Reply, error) {
	f.runs.Add(1)
	if f.failing.Load() {
		return nil, errors.New("broken")
	}
	return nil, nil
}

// send publishes n requests with a reply address.
func send(p *rig.Peer, n int) {
	for i := range n {
		p.Publish("guarded", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: fmt.Sprint(i)})
	}
}

func TestKillSwitchLeavesTheQueueToOthersAndProbesItsWayBack(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var log rig.Log
		s := r.NewServer(func(cfg *server.Config) { cfg.Logger = log.Logger() })
		var f flaky
		f.failing.Store(true)
		if err := s.HandleRaw(guarded(), f.Handle); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		began := time.Now()
		send(p, 10)
		for range 4 {
			if d := p.Next(); !strings.Contains(d.Type, "c=unknown;o=executed") {
				r.T.Errorf("reply of type %s", d.Type)
			}
		}
		synctest.Wait()
		// In the same instant, what it had fetched is back in the queue.
		if q := r.Queue("guarded"); time.Since(began) > time.Millisecond || q.Consumers != 0 || q.Ready != 6 || q.Unacked != 0 {
			r.T.Errorf("after %v: %+v", time.Since(began), q)
		}
		if st := s.Stats(); st.Trips != 1 || st.Tripped != 1 || st.Handled != 4 || f.runs.Load() != 4 {
			r.T.Errorf("%+v", st)
		}
		f.failing.Store(false)
		p.Next()
		if waited := time.Since(began); waited < 2*time.Second || waited > 4*time.Second+time.Millisecond {
			r.T.Errorf("it was probed after %v; want 2 to 4 s", waited)
		}
		for range 5 {
			p.Next()
		}
		time.Sleep(time.Second)
		if st := s.Stats(); st.Trips != 1 || st.Tripped != 0 || f.runs.Load() != 10 {
			r.T.Errorf("%d runs; %+v", f.runs.Load(), st)
		}
		var prefetches []string
		for _, ev := range r.Broker.Events(amqptest.When{Method: "basic.consume", Queue: "guarded"}) {
			prefetches = append(prefetches, ev.Method)
		}
		if len(prefetches) != 3 { // in full, one by one, in full
			r.T.Errorf("it consumed %d times; want 3", len(prefetches))
		}
		for _, line := range []string{"the kill switch has tripped", "the method is probed", "the probes have succeeded"} {
			if strings.Count(log.String(), line) != 1 {
				r.T.Errorf("the log does not say once that %s:\n%s", line, log.String())
			}
		}
	})
}

func TestProbesComeOneByOneAndFailuresMakeThePauseLonger(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var f flaky
		f.failing.Store(true)
		s := r.Serve(guarded(), f.Handle)
		send(r.Peer(), 20)
		synctest.Wait()
		// 4, 8, 16 and 16 s, of which up to half is left out by chance.
		for trip, most := range []time.Duration{4 * time.Second, 8 * time.Second, 16 * time.Second, 16 * time.Second, 16 * time.Second} {
			before := time.Now()
			for s.Stats().Trips == uint64(trip+1) {
				time.Sleep(time.Millisecond)
			}
			if pause := time.Since(before); pause < most/2-10*time.Millisecond || pause > most+10*time.Millisecond {
				r.T.Errorf("pause %d lasts %v; want %v to %v", trip, pause, most/2, most)
			}
			if n := f.runs.Load(); n != int64(4+trip+1) {
				r.T.Errorf("%d runs after %d probes", n, trip+1)
			}
		}
		f.failing.Store(false)
		time.Sleep(time.Minute)
		if q := r.Queue("guarded"); q.Ready+q.Unacked != 0 || q.Consumers != 1 || f.runs.Load() != 20 || s.Stats().Tripped != 0 {
			r.T.Errorf("%+v, %+v", q, s.Stats())
		}
		// Having been closed, it begins with the shortest pause again.
		f.failing.Store(true)
		trips, runs := s.Stats().Trips, f.runs.Load()
		send(r.Peer(), 6)
		synctest.Wait()
		if st := s.Stats(); st.Trips != trips+1 || f.runs.Load() != runs+4 {
			r.T.Errorf("%d runs; %+v", f.runs.Load()-runs, st)
		}
		time.Sleep(4*time.Second + time.Millisecond)
		if n := f.runs.Load(); n != runs+5 {
			r.T.Errorf("%d runs after the first pause; want 5", n-runs)
		}
	})
}

// While one server's switch is tripped, the other serves all; a handler that is
// at work when it trips still answers.
func TestCallsGoToTheHealthyServerWhileAKillSwitchIsTripped(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		bad := guarded()
		bad.Concurrency = 2
		slow := rig.NewGate()
		var f flaky
		f.failing.Store(true)
		s := r.Serve(bad, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if req.CallID == "slow" {
				return slow.Handle(ctx, req)
			}
			return f.Handle(ctx, req)
		})
		p := r.Peer()
		p.Publish("guarded", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "slow"})
		synctest.Wait()
		send(p, 10)
		synctest.Wait()
		if q := r.Queue("guarded"); s.Stats().Tripped != 1 || q.Ready != 6 || q.Unacked != 1 {
			r.T.Errorf("%+v, %+v", s.Stats(), q)
		}
		var healthy flaky
		r.Serve(guarded(), healthy.Handle)
		synctest.Wait()
		if q := r.Queue("guarded"); healthy.runs.Load() != 6 || q.Ready != 0 || q.Unacked != 1 {
			r.T.Errorf("the healthy one ran %d; %+v", healthy.runs.Load(), q)
		}
		for range 10 {
			p.Next()
		}
		close(slow.Release)
		if d := p.Next(); d.CorrelationId != "slow" || strings.Contains(d.Type, ";c=") {
			r.T.Errorf("reply %+v", d)
		}
		if f.runs.Load() != 4 {
			r.T.Errorf("the failing one ran %d", f.runs.Load())
		}
	})
}

func TestFailuresThatPointAtTheServerTripItsKillSwitch(t *testing.T) {
	type test struct {
		handle func() error
		trips  uint64
	}
	tests := map[string]test{
		"success":      {func() error { return nil }, 0},
		"panic":        {func() error { panic("broken") }, 1},
		"Goexit":       {func() error { runtime.Goexit(); return nil }, 1},
		"plain error":  {func() error { return errors.New("broken") }, 1},
		"own deadline": {func() error { return context.DeadlineExceeded }, 0},
	}
	for code := warren.CodeCanceled; code.Valid(); code++ {
		want := uint64(0)
		if code == warren.CodeInternal || code == warren.CodeUnknown || code == warren.CodeUnavailable {
			want = 1
		}
		tests[code.String()] = test{func() error { return warren.Errorf(code, "no") }, want}
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				s := r.Serve(guarded(), func(context.Context, *warren.Request) (*warren.Reply, error) { return nil, test.handle() })
				p := r.Peer()
				send(p, 4)
				for range 4 {
					p.Next()
				}
				synctest.Wait()
				if st := s.Stats(); st.Trips != test.trips {
					r.T.Errorf("%d trips; want %d", st.Trips, test.trips)
				}
			})
		})
	}
}

func TestRefusedRequestsNeitherTripNorClose(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		err := server.Handle(s, guarded(), func(context.Context, int) (int, error) { return 0, errors.New("broken") })
		if err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		p := r.Peer()
		send(p, 30) // without bodies: none can be decoded
		for range 30 {
			p.Next()
		}
		if st := s.Stats(); st.Trips != 0 || st.Rejected != 30 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestServerStopsWhileItsKillSwitchIsTripped(t *testing.T) {
	for name, probing := range map[string]bool{"paused": false, "probing": true} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var f flaky
				f.failing.Store(true)
				s := manual(r, guarded(), f.Handle)
				send(r.Peer(), 4)
				synctest.Wait()
				if probing {
					time.Sleep(5 * time.Second)
				}
				began := time.Now()
				if err := s.Stop(r.T.Context()); err != nil {
					r.T.Error(err)
				}
				rig.Took(r.T, began, 0)
				time.Sleep(time.Minute)
				if q := r.Queue("guarded"); q.Consumers != 0 || s.Stats().Trips != 1 {
					r.T.Errorf("%+v, %+v", q, s.Stats())
				}
			})
		})
	}
}

func TestTrippedKillSwitchOutlivesTheConnection(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		m := guarded()
		m.KillSwitch.Open, m.KillSwitch.MostOpen = time.Minute, time.Hour
		var f flaky
		f.failing.Store(true)
		s := r.Serve(m, f.Handle)
		p := r.Peer()
		send(p, 6)
		synctest.Wait()
		for _, conn := range r.Broker.Connections() {
			if strings.Contains(conn.Name, "server") {
				conn.Sever()
			}
		}
		time.Sleep(29 * time.Second)
		if q := r.Queue("guarded"); q.Consumers != 0 || q.Ready != 2 || s.Stats().Reconnects == 0 {
			r.T.Errorf("%+v, %+v", q, s.Stats())
		}
		f.failing.Store(false)
		time.Sleep(time.Minute)
		if q := r.Queue("guarded"); q.Consumers != 1 || q.Ready != 0 {
			r.T.Errorf("%+v", q)
		}
	})
}
