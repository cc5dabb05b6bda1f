package lifecycle

import (
	"context"
	"errors"
	"sync"
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
// (by crashing), an error from a legal call, or a Stop that does not end
// within the limit.
func Stress(t TB, limit time.Duration, newService func() Service) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	stop := func(s Service, when string) {
		if err := s.Stop(ctx); err != nil {
			t.Errorf("Stop %s: %v", when, err)
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
		for range 3 {
			wg.Add(2)
			go func() {
				defer wg.Done()
				err := s.Start(ctx)
				if err != nil && !errors.Is(err, ErrStarted) && !errors.Is(err, ErrStopped) {
					t.Errorf("concurrent Start: %v", err)
				}
			}()
			go func() {
				defer wg.Done()
				stop(s, "concurrently")
			}()
		}
		wg.Wait()
		stop(s, "after all")
	}
}
