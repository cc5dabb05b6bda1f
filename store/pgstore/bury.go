package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warren-rpc/warren/store"
)

// Bury implements [store.Store].
func (s *Store) Bury(ctx context.Context, b store.Claim) (before store.Record, err error) {
	if b.Retention <= 0 {
		return before, errRetention
	}
	if !b.Fingerprint.Proven() {
		return before, errProof
	}
	if err := s.enter(ctx); err != nil {
		return before, err
	}
	defer s.calls.Done()
	full := false
	b.Fingerprint = store.ByProof(b.Fingerprint.Proof())
	err = s.exclusive(ctx, "bury", b.Key, tombstoneKey(b), func(l *locked) (err error) {
		before, err = l.bury(b, &full)
		return err
	})
	if full && err == nil {
		err = &store.TombstonesError{Limit: s.options.Tombstones, RetryAfter: s.options.retryAfter()}
	}
	if err != nil {
		return store.Record{}, err
	}
	return before, nil
}

// bury sets full, once the changes were committed, if there are too many tombstones.
func (l *locked) bury(b store.Claim, full *bool) (before store.Record, err error) {
	before = l.row.view(b.Key, l.now)
	switch {
	case before.State == store.Absent && l.tombstone != nil:
		return *l.tombstone, nil
	case before.State == store.Absent:
		l.insertTombstone(b, full)
	case !before.Fingerprint.Matches(b.Fingerprint) && l.tombstone != nil:
		return *l.tombstone, nil
	case !before.Fingerprint.Matches(b.Fingerprint):
		return before, store.ErrKeyReused
	case before.State == store.Interrupted:
		r := before
		r.State = store.Tombstone
		if expires := l.now.Add(b.Retention); expires.After(r.Expires) {
			r.Expires = expires
		}
		l.update(&r)
	}
	return before, nil
}

func (l *locked) insertTombstone(b store.Claim, full *bool) {
	key := b.Key.Tombstone(b.Fingerprint)
	s := l.store
	*full = false
	l.changes.Queue(s.queries.bury, key[:], b.Fingerprint[:], text(b.Method), text(b.CallID), l.now, l.now.Add(b.Retention), max(0, s.options.Tombstones)).
		Exec(func(tag pgconn.CommandTag) error {
			*full = tag.RowsAffected() == 0
			return nil
		})
}
