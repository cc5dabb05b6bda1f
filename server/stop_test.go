package server_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

// stopWithin stops a server whose handlers get so long.
func stopWithin(r *rig.Rig, s *server.Server, patience time.Duration) error {
	ctx, cancel := context.WithTimeout(r.T.Context(), patience)
	defer cancel()
	return s.Stop(ctx)
}

// manual starts a server that the test stops itself.
func manual(r *rig.Rig, m server.Method, h warren.Handler) *server.Server {
	r.T.Helper()
	s := r.NewServer()
	if err := s.HandleRaw(m, h); err != nil {
		r.T.Fatal(err)
	}
	if err := s.Start(r.T.Context()); err != nil {
		r.T.Fatal(err)
	}
	return s
}

func TestStopDrainsWhatIsAtWorkAndGivesBackTheRest(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := manual(r, server.Method{Name: "gate", Concurrency: 2, Prefetch: 4}, g.Handle)
		c := r.Client()
		var calls []*client.Future
		for i := range 6 {
			calls = append(calls, c.Go(r.T.Context(), "gate", fmt.Append(nil, i), client.WithTimeout(time.Minute)))
		}
		synctest.Wait()
		time.AfterFunc(5*time.Second, func() { close(g.Release) })
		began := time.Now()
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
		rig.Took(r.T, began, 5*time.Second)
		if q := r.Queue("gate"); g.Runs.Load() != 2 || q.Ready != 4 || q.Unacked != 0 || q.Consumers != 0 {
			r.T.Errorf("%d ran; %+v", g.Runs.Load(), q)
		}
		other := rig.NewGate()
		close(other.Release)
		r.Serve(rig.Named("gate"), other.Handle)
		for i, call := range calls {
			if reply, err := call.Result(); err != nil || string(reply.Body) != fmt.Sprint(i) {
				r.T.Errorf("call %d: %v, %v", i, reply, err)
			}
		}
		if other.Runs.Load() != 4 {
			r.T.Errorf("the other ran %d", other.Runs.Load())
		}
	})
}

func TestStopCancelsHandlersWhenItsContextEndsAndGivesTheirRequestsBack(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := manual(r, rig.Named("gate"), g.Handle)
		call := r.Client().Go(r.T.Context(), "gate", []byte("x"))
		<-g.Entered
		began := time.Now()
		if err := stopWithin(r, s, 3*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			r.T.Errorf("Stop: %v", err)
		}
		// A handler that obeys its context does not cost the grace of one that does not.
		rig.Took(r.T, began, 3*time.Second)
		close(g.Release)
		again := make(chan bool, 1)
		r.Serve(rig.Named("gate"), func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			again <- req.Redelivered
			return &warren.Reply{Body: req.Body}, nil
		})
		if reply, err := call.Result(); err != nil || string(reply.Body) != "x" || !<-again {
			r.T.Errorf("%v, %v", reply, err)
		}
	})
}

func TestStopWaitsASecondForHandlersThatIgnoreTheirContext(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		entered, release := make(chan struct{}), make(chan struct{})
		s := manual(r, rig.Named("deaf"), func(context.Context, *warren.Request) (*warren.Reply, error) {
			close(entered)
			<-release
			return nil, nil
		})
		call := r.Client().Go(r.T.Context(), "deaf", []byte("x"))
		<-entered
		began := time.Now()
		if err := stopWithin(r, s, 2*time.Second); !errors.Is(err, context.DeadlineExceeded) {
			r.T.Errorf("Stop: %v", err)
		}
		rig.Took(r.T, began, 3*time.Second)
		if q := r.Queue("deaf"); q.Ready != 1 || q.Unacked != 0 {
			r.T.Errorf("%+v", q)
		}
		r.Serve(rig.Named("deaf"), rig.Echo)
		if reply, err := call.Result(); err != nil || string(reply.Body) != "x" {
			r.T.Errorf("%v, %v", reply, err)
		}
		// Whatever it does now is its own affair.
		close(release)
		synctest.Wait()
	})
}

// What a handler says after the server has begun to cancel is still told, unless
// it says no more than that it was cancelled.
func TestHandlerThatEndsByItselfDuringStopIsAnswered(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := manual(r, rig.Named("tidy"), func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			<-ctx.Done()
			time.Sleep(time.Second / 2)
			return &warren.Reply{Body: []byte("half of it is done")}, nil
		})
		call := r.Client().Go(r.T.Context(), "tidy", nil)
		synctest.Wait()
		if err := stopWithin(r, s, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			r.T.Errorf("Stop: %v", err)
		}
		if reply, err := call.Result(); err != nil || string(reply.Body) != "half of it is done" {
			r.T.Errorf("%v, %v", reply, err)
		}
	})
}

func TestEveryStopReturnsWhenTheServerHasStoppedOrItsContextEnds(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := manual(r, rig.Named("gate"), g.Handle)
		if err := r.Client().Notify(r.T.Context(), "gate", nil); err != nil {
			r.T.Fatal(err)
		}
		<-g.Entered
		first := make(chan error, 1)
		go func() { first <- s.Stop(r.T.Context()) }()
		synctest.Wait()
		began := time.Now()
		if err := stopWithin(r, s, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			r.T.Errorf("the second Stop: %v", err)
		}
		rig.Took(r.T, began, time.Second)
		close(g.Release)
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Errorf("the third Stop: %v", err)
		}
		if err := <-first; err != nil {
			r.T.Errorf("the first Stop: %v", err)
		}
	})
}

func TestRunServesUntilItsContextEndsAndThenDrains(t *testing.T) {
	for name, test := range map[string]struct {
		works time.Duration // the handler, when the context ends
		takes time.Duration // Run, from then on
		err   error
	}{
		"in time":  {10 * time.Second, 10 * time.Second, nil},
		"too long": {time.Hour, 20 * time.Second, context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				s := r.NewServer()
				g := rig.NewGate()
				if err := s.HandleRaw(rig.Named("gate"), g.Handle); err != nil {
					r.T.Fatal(err)
				}
				ctx, interrupt := context.WithCancel(r.T.Context())
				ended := make(chan error, 1)
				go func() { ended <- s.Run(ctx) }()
				synctest.Wait()
				if err := r.Client().Notify(r.T.Context(), "gate", nil); err != nil {
					r.T.Fatal(err)
				}
				<-g.Entered
				began := time.Now()
				interrupt()
				release := time.AfterFunc(test.works, func() { close(g.Release) })
				defer release.Stop()
				if err := <-ended; !errors.Is(err, test.err) {
					r.T.Errorf("Run: %v", err)
				}
				rig.Took(r.T, began, test.takes)
			})
		})
	}
}

func TestRunEndsWithStopAndFailsAsStartDoes(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		if err := s.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- s.Run(r.T.Context()) }()
		synctest.Wait()
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
		if err := <-ended; err != nil {
			r.T.Errorf("Run: %v", err)
		}
		if err := s.Run(r.T.Context()); err == nil {
			r.T.Error("a server that was stopped runs")
		}
	})
}

func TestStopDoesNotWaitForABrokerThatIsGone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := manual(r, rig.Named("gate"), g.Handle)
		r.Peer().Publish("gate", amqp.Publishing{Body: []byte("x")})
		<-g.Entered
		r.Broker.Stop()
		time.AfterFunc(time.Second, func() { close(g.Release) })
		began := time.Now()
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
		rig.Took(r.T, began, time.Second)
	})
}
