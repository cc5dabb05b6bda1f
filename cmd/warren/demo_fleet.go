package main

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/test/chaos/proc"
)

// fleet is the demo's servers: processes of this program, one in each place.
type fleet struct {
	options proc.Options
	effects *effects
	fail    context.CancelCauseFunc // ends the demo
	held    chan *fleetServer       // those that hold a request, to be killed or let go
	servers []*fleetServer
}

// fleetServer is one server: a process that is started again when it was killed.
type fleetServer struct {
	place   int
	process *proc.Process
	stderr  tail
	wanted  atomic.Int64 // the ends of its starts up to this one are no surprise
}

func newFleet(executable, method string, urls []string, memory *demoMemory, fail context.CancelCauseFunc) *fleet {
	f := &fleet{effects: &effects{executions: map[string]int{}}, fail: fail, held: make(chan *fleetServer, 1024)}
	f.options = proc.Options{
		Path: executable, Args: []string{"demo-server", method},
		// In the environment, since the arguments of processes are everybody's to read.
		Env:   append(memory.env(), "WARREN_URL="+strings.Join(urls, ",")),
		Ready: sayReady, ReadyWithin: startPatience,
		OnLine: func(line string) {
			if callID, ok := strings.CutPrefix(line, sayEffect+" "); ok {
				f.effects.add(callID)
			}
		},
		// What was killed is started again at once.
		BackoffMin: time.Millisecond, BackoffMax: time.Millisecond,
	}
	return f
}

// start fills n places and waits until all of them serve. end is to be called after an error,
// too.
func (f *fleet) start(ctx context.Context, n int) error {
	started, errs := make([]*fleetServer, n), make([]error, n)
	var starting sync.WaitGroup
	for place := range n {
		starting.Go(func() { started[place], errs[place] = f.launch(ctx, place) })
	}
	starting.Wait()
	for _, s := range started {
		if s != nil {
			f.servers = append(f.servers, s)
		}
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// launch starts a server in a place and waits until it serves.
func (f *fleet) launch(ctx context.Context, place int) (*fleetServer, error) {
	s := &fleetServer{place: place}
	o := f.options
	o.Stderr = &s.stderr
	o.OnHeld = func(proc.Crash) { f.held <- s }
	var err error
	if s.process, err = proc.Start(ctx, o); err != nil {
		return nil, s.startError(err)
	}
	go f.watch(ctx, s)
	return s, nil
}

// restart starts a server that was killed, and waits until it serves.
func (f *fleet) restart(ctx context.Context, s *fleetServer) error {
	if err := s.process.Restart(ctx); err != nil {
		return s.startError(err)
	}
	go f.watch(ctx, s)
	return nil
}

// watch ends the demo if the server ends by itself.
func (f *fleet) watch(ctx context.Context, s *fleetServer) {
	ended, err := s.process.Wait(ctx)
	if err == nil && int64(ended.Start) > s.wanted.Load() {
		f.fail(s.ended(ended))
	}
}

func (s *fleetServer) startError(err error) error {
	if e, ok := errors.AsType[*proc.NotReadyError](err); ok {
		return s.ended(e.Exit)
	}
	return exit(exitInternal, "server %d does not start: %w", s.place+1, err)
}

// ended is the error of a server that nobody killed.
func (s *fleetServer) ended(how proc.Exit) error {
	code := exitInternal
	if how.Code == exitBroker {
		code = exitBroker
	}
	last := strings.TrimPrefix(s.stderr.lastLine().Error(), "warren: ")
	return exit(code, "server %d ended by itself: %s", s.place+1, last)
}

// arm makes every server hold the next request that reaches the point, and
// returns when all of them know.
func (f *fleet) arm(ctx context.Context, point crashpoint.Point) error {
	return f.each(func(s *fleetServer) error {
		err := s.process.Arm(ctx, proc.Plan(point)+":hold")
		if !errors.Is(err, proc.ErrEnded) {
			return err
		}
		how, err := s.process.Wait(ctx)
		if err != nil {
			return err
		}
		return s.ended(how)
	})
}

// disarm lets requests go that servers hold. After it f.held is empty.
func (f *fleet) disarm(ctx context.Context) {
	_ = f.each(func(s *fleetServer) error { return s.process.Arm(ctx, "") }) // one that has ended holds nothing
	for len(f.held) > 0 {
		<-f.held
	}
}

// expectEnd is called before the server that runs is ended.
func (s *fleetServer) expectEnd() { s.wanted.Store(int64(s.process.Starts())) }

// kill ends a server with SIGKILL and returns when it is gone.
func (s *fleetServer) kill() {
	s.expectEnd()
	s.process.Kill()
}

// stopPatience is how long a server may take for what it has in hand.
const stopPatience = 10 * time.Second

// stop lets the servers end in order.
func (f *fleet) stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	return f.each(func(s *fleetServer) error {
		s.expectEnd()
		if err := s.process.Stop(ctx); err != nil {
			return exit(exitInternal, "server %d does not stop", s.place+1)
		}
		if how, err := s.process.Wait(ctx); err != nil || how.Code != 0 {
			return s.ended(how)
		}
		return nil
	})
}

// end kills what still runs.
func (f *fleet) end() {
	_ = f.each(func(s *fleetServer) error {
		s.expectEnd()
		return s.process.Close()
	})
}

// each calls fn with all servers at the same time, and returns their errors when all are done.
func (f *fleet) each(fn func(*fleetServer) error) error {
	errs := make([]error, len(f.servers))
	var calls sync.WaitGroup
	for i, s := range f.servers {
		calls.Go(func() { errs[i] = fn(s) })
	}
	calls.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// effects counts executions by call, from what the handlers have said.
type effects struct {
	mu         sync.Mutex
	executions map[string]int
}

func (e *effects) add(callID string) {
	e.mu.Lock()
	e.executions[callID]++
	e.mu.Unlock()
}

func (e *effects) count() (sums effectSums) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, executions := range e.executions {
		sums.executed++
		if executions > 1 {
			sums.repeated++
		}
	}
	return sums
}

// effectSums is how many calls were executed, and how many of them more than once.
type effectSums struct{ executed, repeated int }
