package pgstore

import (
	"context"
	"errors"

	"github.com/warren-rpc/warren/store"
)

// Sweep implements [store.Store].
func (s *Store) Sweep(ctx context.Context) (int, error) {
	if err := s.enter(ctx); err != nil {
		return 0, err
	}
	defer s.calls.Done()
	return 0, errors.ErrUnsupported
}

// Stats implements [store.Store].
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if err := s.enter(ctx); err != nil {
		return store.Stats{}, err
	}
	defer s.calls.Done()
	return store.Stats{}, errors.ErrUnsupported
}
