package pgstore

import (
	"context"
	"time"
)

// Sweep implements [store.Store]. Several processes may sweep at once. A partition whose time has
// passed is emptied as a whole; if it is larger than 64 MiB, its records are not counted, and what is returned
// has the number that PostgreSQL's statistics give. One that others hold for long is left to a later sweep.
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.calls.Done()
	n, err := s.ring.sweep(ctx)
	if err != nil {
		return n, s.failure(ctx, "sweep", err)
	}
	return n, nil
}

// sweepByItself sweeps until ctx ends. What fails is tried again at the next turn.
func (s *Store) sweepByItself(ctx context.Context) {
	ticker := time.NewTicker(s.options.SweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if _, err := s.ring.sweep(ctx); err != nil && ctx.Err() == nil {
				s.options.Logger.Warn("the store could not forget records", "error", err)
			}
		}
	}
}

// failure is the error of a method that failed so, which is ctx's if that has ended.
func (s *Store) failure(ctx context.Context, op string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return s.translate(op, err)
}
