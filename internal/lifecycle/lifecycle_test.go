package lifecycle_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/internal/lifecycle"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRunnerStartsOnceAndStopsForGood(t *testing.T) {
	t.Parallel()
	var r lifecycle.Runner
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.Start(); !errors.Is(err, lifecycle.ErrStarted) {
		t.Errorf("a second Start: %v", err)
	}
	for range 2 {
		if err := r.Stop(t.Context()); err != nil {
			t.Errorf("Stop: %v", err)
		}
		if err := r.Start(); !errors.Is(err, lifecycle.ErrStopped) {
			t.Errorf("Start after Stop: %v", err)
		}
	}
}

func TestRunnerStoppedBeforeItStartedNeverStarts(t *testing.T) {
	t.Parallel()
	var r lifecycle.Runner
	if err := r.Stop(t.Context()); err != nil {
		t.Errorf("Stop before Start: %v", err)
	}
	if err := r.Start(); !errors.Is(err, lifecycle.ErrStopped) {
		t.Errorf("Start after Stop: %v", err)
	}
	if r.Go(func(context.Context) { t.Error("ran") }) {
		t.Error("Go accepted work")
	}
}

func TestRunnerRunsNothingOutsideItsLife(t *testing.T) {
	t.Parallel()
	var r lifecycle.Runner
	never := func(context.Context) { t.Error("ran") }
	if r.Go(never) {
		t.Error("Go accepted work before Start")
	}
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
	if r.Go(never) {
		t.Error("Go accepted work after Stop")
	}
}

func TestStopEndsTheContextAndWaits(t *testing.T) {
	t.Parallel()
	var r lifecycle.Runner
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	var ended atomic.Bool
	before := make(chan error)
	r.Go(func(ctx context.Context) {
		before <- ctx.Err()
		<-ctx.Done()
		ended.Store(true)
	})
	if err := <-before; err != nil {
		t.Errorf("the context ended before Stop: %v", err)
	}
	if err := r.Stop(t.Context()); err != nil || !ended.Load() {
		t.Errorf("Stop returned %v before its goroutine had ended", err)
	}
}

func TestStopGivesUpWithItsContextAndALaterOneWaitsOn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var r lifecycle.Runner
		if err := r.Start(); err != nil {
			t.Fatal(err)
		}
		release := make(chan struct{})
		r.Go(func(context.Context) { <-release })
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		began := time.Now()
		if err := r.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Stop of what does not end: %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("Stop took %v; want its context's minute", took)
		}
		close(release)
		if err := r.Stop(t.Context()); err != nil {
			t.Errorf("Stop of what has ended: %v", err)
		}
	})
}

// Whatever was accepted has run to its end when a Stop returns nil, however the
// calls interleave.
func TestStopLosesNothingThatGoAccepted(t *testing.T) {
	t.Parallel()
	for range 200 {
		var r lifecycle.Runner
		var accepted, finished atomic.Int32
		var callers sync.WaitGroup
		for range 4 {
			callers.Go(func() {
				_ = r.Start() // one of them wins
				for range 4 {
					if r.Go(func(ctx context.Context) { <-ctx.Done(); finished.Add(1) }) {
						accepted.Add(1)
					}
				}
			})
		}
		callers.Go(func() {
			if err := r.Stop(t.Context()); err != nil {
				t.Errorf("Stop: %v", err)
			}
			// Nothing is accepted after this, so what ran is all that ever will.
			done := finished.Load()
			if r.Go(func(context.Context) {}) {
				t.Error("Go accepted work after Stop")
			}
			if finished.Load() != done {
				t.Error("something ended after Stop had returned")
			}
		})
		callers.Wait()
		if accepted.Load() != finished.Load() {
			t.Fatalf("%d accepted, %d finished", accepted.Load(), finished.Load())
		}
	}
}

func TestGoMayBeCalledFromWithin(t *testing.T) {
	t.Parallel()
	var r lifecycle.Runner
	if err := r.Start(); err != nil {
		t.Fatal(err)
	}
	inner := make(chan bool, 1)
	r.Go(func(context.Context) { inner <- r.Go(func(ctx context.Context) { <-ctx.Done() }) })
	if !<-inner {
		t.Error("a goroutine may not start another")
	}
	if err := r.Stop(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWaitForTellsWhetherItWasInTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		if !lifecycle.WaitFor(time.Hour, func() { time.Sleep(time.Minute) }) || time.Since(began) != time.Minute {
			t.Errorf("what ends in time is not seen: %v", time.Since(began))
		}
		began = time.Now()
		if lifecycle.WaitFor(time.Minute, func() { time.Sleep(time.Hour) }) || time.Since(began) != time.Minute {
			t.Errorf("what ends too late is waited for: %v", time.Since(began))
		}
		time.Sleep(time.Hour) // let it end
	})
}

func TestWaitReturnsTheContextsError(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	release := make(chan struct{})
	defer close(release)
	if err := lifecycle.Wait(ctx, func() { <-release }); !errors.Is(err, context.Canceled) {
		t.Errorf("Wait: %v", err)
	}
	if err := lifecycle.Wait(t.Context(), func() {}); err != nil {
		t.Errorf("Wait: %v", err)
	}
}
