package pgstore

import (
	"context"
	"errors"

	"github.com/warren-rpc/warren/store"
)

// Claim implements [store.Store]. A claim of a call that is new is committed together with other claims and ends; one
// that meets a record takes a transaction of its own.
func (s *Store) Claim(ctx context.Context, c store.Claim) (r store.Record, won bool, err error) {
	if err := checkClaim(c); err != nil {
		return r, false, err
	}
	if err := s.enter(ctx); err != nil {
		return r, false, err
	}
	defer s.calls.Done()
	first := &request{claim: &c}
	if err := s.together(ctx, first); err != nil || first.done {
		return first.record, first.done, err
	}
	var found *store.Record
	err = s.exclusive(ctx, "claim", c.Key, tombstoneKey(c), func(l *locked) (err error) {
		found, won, err = l.claim(c)
		return err
	})
	if err != nil {
		return r, false, err
	}
	return *found, won, nil
}

// errTakenForDead: others would take at once what the store claimed now.
var errTakenForDead = errors.New("the store has no session, and others take it for dead, until it has one again")

// claim makes the claim, whatever is there.
func (l *locked) claim(c store.Claim) (*store.Record, bool, error) {
	r := l.row.view(c.Key, l.now)
	switch {
	case r.State == store.Absent && l.tombstone != nil:
		return l.tombstone, false, nil
	case r.State == store.Absent && !l.alive:
		return nil, false, &store.UnavailableError{Op: "claim", Cause: errTakenForDead}
	case r.State == store.Absent:
		if l.row != nil {
			l.forget()
		}
		return l.insert(c), true, nil
	case !r.Fingerprint.Matches(c.Fingerprint):
		return nil, false, store.ErrKeyReused
	}
	won := claim(&r, c, l.now)
	if won && !l.alive {
		return nil, false, &store.UnavailableError{Op: "claim", Cause: errTakenForDead}
	}
	if won {
		r.Owner = l.store.Owner()
		l.update(&r)
	}
	return &r, won, nil
}
