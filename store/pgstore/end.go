package pgstore

import (
	"context"
	"time"

	"github.com/warren-rpc/warren/store"
)

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, token uint64, lease time.Duration) error {
	if lease <= 0 {
		return errLease
	}
	return s.end(ctx, renewal(key, token, lease))
}

// Complete implements [store.Store].
func (s *Store) Complete(ctx context.Context, key store.Key, token uint64, result store.Result, retention time.Duration) error {
	e, err := s.options.completion("complete", key, token, result, retention)
	if err != nil {
		return err
	}
	return s.end(ctx, e)
}

// Abandon implements [store.Store].
func (s *Store) Abandon(ctx context.Context, key store.Key, token uint64, how store.AttemptEnd) error {
	return s.end(ctx, abandonment(key, token, how))
}

// end does it together with claims and other ends, or in a transaction of its own if the record must move, is to be
// forgotten, or is not its owner's.
func (s *Store) end(ctx context.Context, e end) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	first := &request{end: &e}
	if err := s.together(ctx, first); err != nil || first.done {
		return err
	}
	return s.exclusive(ctx, e.op, e.key, nil, func(l *locked) error {
		if !e.owned(l.row, l.now) {
			return store.ErrStale
		}
		if e.undone && l.row.First {
			l.forget()
			return nil
		}
		r := l.row.Record
		e.apply(&r, l.now)
		l.update(&r)
		return nil
	})
}
