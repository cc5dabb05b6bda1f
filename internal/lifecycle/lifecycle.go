// Package lifecycle is the one start/stop contract of Warren's components, and
// the stress test that every one of them must pass.
package lifecycle

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Service is a component that is started once and stopped once.
//
// Stopping twice, concurrently, or before starting is legal; after a Stop,
// Start returns ErrStopped. Stop returns nil once nothing of the component runs
// any more, or ctx's error if that took longer; what is left then ends by
// itself as soon as it can.
type Service interface {
	Start(ctx context.Context) error
	Stop(ctx context.Context) error
}

// The errors of starting at the wrong time.
var (
	ErrStarted = errors.New("warren: already started")
	ErrStopped = errors.New("warren: already stopped")
)

// Runner owns the goroutines of one component. The zero value is ready. All
// methods may be called concurrently.
type Runner struct {
	mu      sync.Mutex
	started bool
	stopped bool
	ctx     context.Context
	cancel  context.CancelFunc
	wg      sync.WaitGroup
}

// Start allows goroutines to be run. It returns ErrStarted the second time and
// ErrStopped after Stop.
func (r *Runner) Start() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.stopped:
		return ErrStopped
	case r.started:
		return ErrStarted
	}
	r.started = true
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return nil
}

// Go runs f in a goroutine of its own whose context ends when Stop is called.
// It reports false, and does not run f, before Start and after Stop.
func (r *Runner) Go(f func(ctx context.Context)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.started || r.stopped {
		return false
	}
	ctx := r.ctx
	r.wg.Go(func() { f(ctx) })
	return true
}

// Stop cancels the goroutines' context and waits for them, at most until ctx
// ends.
func (r *Runner) Stop(ctx context.Context) error {
	r.mu.Lock()
	r.stopped = true
	if r.cancel != nil {
		r.cancel()
	}
	r.mu.Unlock()
	return Wait(ctx, r.wg.Wait)
}

// Wait returns nil when wait has returned, or ctx's error if that comes first;
// the goroutine that runs wait then ends later, with it.
func Wait(ctx context.Context, wait func()) error {
	done := make(chan struct{})
	go func() {
		wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// WaitFor is Wait with a duration; it reports whether wait returned in time.
func WaitFor(d time.Duration, wait func()) bool {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return Wait(ctx, wait) == nil
}
