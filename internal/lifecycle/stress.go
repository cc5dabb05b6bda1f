package lifecycle

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

// TB is the part of testing.TB that Stress needs; it keeps package testing out
// of this one.
type TB interface {
	Helper()
	Errorf(format string, args ...any)
}

// Stress starts and stops services made by newService in every order that the
// contract allows, concurrently too, and reports whatever breaks it: a panic
// (by crashing), an error from a legal call, a service that starts twice, or a
// Stop that does not end within the limit. A Stop that never ends, whatever its
// context says, is reported too, and left behind.
func Stress(t TB, limit time.Duration, newService func() Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	hung, cancelHung := context.WithTimeout(context.Background(), limit+limit/2)
	defer cancelHung()
	stop := func(s Service, when string) {
		ended := make(chan error, 1)
		go func() { ended <- s.Stop(ctx) }()
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("Stop %s: %v", when, err)
			}
		case <-hung.Done():
			t.Errorf("Stop %s does not end with its context", when)
		}
	}

	s := newService()
	stop(s, "before Start")
	if err := s.Start(ctx); !errors.Is(err, ErrStopped) {
		t.Errorf("Start after Stop: %v; want ErrStopped", err)
	}
	stop(s, "a second time")

	s = newService()
	if err := s.Start(ctx); err != nil {
		t.Errorf("Start: %v", err)
	}
	if err := s.Start(ctx); !errors.Is(err, ErrStarted) {
		t.Errorf("second Start: %v; want ErrStarted", err)
	}
	stop(s, "after Start")
	stop(s, "again")

	for range 8 {
		s := newService()
		var wg sync.WaitGroup
		var starts atomic.Int32
		for range 3 {
			wg.Add(2)
			go func() {
				defer wg.Done()
				err := s.Start(ctx)
				if err == nil {
					starts.Add(1)
				} else if !errors.Is(err, ErrStarted) && !errors.Is(err, ErrStopped) {
					t.Errorf("concurrent Start: %v", err)
				}
			}()
			go func() {
				defer wg.Done()
				stop(s, "concurrently")
			}()
		}
		wg.Wait()
		if n := starts.Load(); n > 1 {
			t.Errorf("%d concurrent Starts succeeded; want one at most", n)
		}
		stop(s, "after all")
		if err := s.Start(ctx); !errors.Is(err, ErrStopped) {
			t.Errorf("Start after all: %v; want ErrStopped", err)
		}
	}
}
