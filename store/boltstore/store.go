package boltstore

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// Store is a store in a file. All its methods are safe for concurrent use. It has
// two goroutines of its own: one commits what callers do not commit themselves, one
// sweeps.
type Store struct {
	path   string
	opts   Options
	epoch  uint64
	queue  *commitQueue
	runner lifecycle.Runner
	head   atomic.Pointer[head] // of the last commit
	size   atomic.Int64         // in use, when somebody last looked
	// durable is the last transaction that the disk is known to have.
	durable atomic.Uint64

	dbMu sync.RWMutex // held to read by readers of db, to write to replace or close it
	db   *bbolt.DB    // whoever commits, and may replace it, reads it without
	file *file

	// shownMu is held to read by readers, and to write when a commit becomes what they
	// may see.
	shownMu sync.RWMutex
	journal *journal.Journal
	area    int64 // where the journal's area lies in the file

	committing  sync.Mutex  // held by whoever commits
	journalTx   journal.Tx  // of the commit that is being made
	unconfirmed atomic.Bool // the last commit failed, and the disk may have it or not
	unrecorded  *unrecorded // what the disk had no room for, as far as that is known; nil if nothing
	tight       time.Time   // the last time that the disk had no room for a commit
	operations  int         // of the last commit
	width       int         // how many functions of the application the next one runs, at most

	failed   atomic.Bool // what was found leaves nothing to be written
	closing  sync.Once
	closeErr error
}

var _ store.Transactional[*bbolt.Tx] = (*Store)(nil)

// identity is the store's whose head this is.
func (h *head) identity(path string) store.Identity {
	return store.Identity{ID: hex.EncodeToString(h.id[:]), Created: h.created, Place: path}
}

// publish makes a commit the last one that is known, with the head that it has
// written.
func (s *Store) publish(h head, txid uint64) {
	s.head.Store(&h)
	s.durable.Store(txid)
	s.file.last.Store(int64(txid))
}

// free is how many bytes of the file the last commit has left free.
func (s *Store) free() int64 {
	stats := s.db.Stats()
	return int64(stats.FreePageN+stats.PendingPageN) * s.file.pageSize.Load()
}

// used is how many bytes of the file are in use.
func (s *Store) used() int64 {
	m, err := s.file.metaOf(s.durable.Load())
	if err != nil {
		return s.size.Load() // the next change will say what is wrong
	}
	used := m.size() - s.free()
	s.size.Store(used)
	return used
}

// Owner implements store.Store: "epoch 7" for the seventh opening of the file.
func (s *Store) Owner() string { return owner(s.epoch) }

// Identity implements store.Store.
func (s *Store) Identity() store.Identity { return s.head.Load().identity(s.path) }

// Traits implements store.Store.
func (s *Store) Traits() store.Traits { return store.Traits{Durable: true} }

// Get implements store.Store. It reads without waiting for a commit, unless the
// disk has not confirmed yet what it would see.
func (s *Store) Get(ctx context.Context, key store.Key) (r store.Record, err error) {
	if err := ctx.Err(); err != nil {
		return store.Record{}, err
	}
	r, confirmed, err := s.peek(key)
	if err != nil || confirmed {
		return r, err
	}
	err = s.do(ctx, &op{name: "get", apply: func(b *batch) error {
		e, err := b.load(key)
		r = e.Record
		return err
	}})
	return r, err
}

// peek reads the record as it is in the file; confirmed is false if that may not be
// on the disk.
func (s *Store) peek(key store.Key) (r store.Record, confirmed bool, err error) {
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	s.shownMu.RLock()
	defer s.shownMu.RUnlock()
	if err := s.queue.refusal(); err != nil {
		return r, false, err
	}
	err = s.file.in(s.db.View, func(tx *bbolt.Tx) error {
		if confirmed = uint64(tx.ID()) <= s.durable.Load() && !s.unconfirmed.Load(); !confirmed {
			return nil
		}
		if uint64(tx.ID()) < s.durable.Load() {
			return errGone
		}
		b, err := newBatch(tx, s.opts, *s.head.Load())
		if err != nil {
			return err
		}
		b.journal = new(journal.Tx)
		b.journal.Begin(s.journal, 0)
		e, err := b.load(key)
		r = e.Record
		return err
	})
	if c := corrupt(s.path, err); final(c) {
		s.fail(c)
		return store.Record{}, false, c
	}
	// Other errors are those of a database that a commit has left without its file or
	// its mapping: the next commit recovers it, or says what is wrong.
	return r, confirmed && err == nil, nil
}

// retained returns an error if a retention ends at once.
func retained(retention time.Duration) error {
	if retention <= 0 {
		return fmt.Errorf("boltstore: a retention must be above 0, not %v", retention)
	}
	return nil
}

// Claim implements store.Store. Claim.Lease is not used.
func (s *Store) Claim(ctx context.Context, c store.Claim) (r store.Record, won bool, err error) {
	if err := retained(c.Retention); err != nil {
		return store.Record{}, false, err
	}
	o := claimOps.Get().(*claimOp) //nolint:errcheck,forcetypeassert // nothing else is in there
	o.claim = c
	err = s.do(ctx, &o.op)
	if o.left {
		return store.Record{}, false, err
	}
	r, won = o.record, o.won && err == nil
	o.claim, o.record, o.won = store.Claim{}, store.Record{}, false
	o.again()
	claimOps.Put(o)
	return r, won, err
}

// Renew implements store.Store. It checks the token and writes nothing.
func (s *Store) Renew(ctx context.Context, key store.Key, token uint64, _ time.Duration) error {
	return s.do(ctx, &op{name: "renew", apply: func(b *batch) error {
		_, err := b.owned(key, token)
		return err
	}})
}

// Complete implements store.Store.
func (s *Store) Complete(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
	if err := errors.Join(r.Validate(), retained(retention)); err != nil {
		return err
	}
	o := completeOps.Get().(*completeOp) //nolint:errcheck,forcetypeassert // nothing else is in there
	o.key, o.token, o.result, o.retention = key, token, r, retention
	o.weight = s.opts.kept(r.Payload)
	o.placed = o.weight >= largeRecord
	err := s.do(ctx, &o.op)
	if !o.left {
		o.result = store.Result{}
		o.again()
		completeOps.Put(o)
	}
	return err
}

// Abandon implements store.Store.
func (s *Store) Abandon(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
	return s.do(ctx, &op{name: "abandon", apply: func(b *batch) error { return b.abandon(key, token, end) }})
}

// Bury implements store.Store.
func (s *Store) Bury(ctx context.Context, c store.Claim) (before store.Record, err error) {
	if !c.Fingerprint.Proven() {
		return store.Record{}, errors.New("boltstore: a tombstone needs the proof of its call")
	}
	if err := retained(c.Retention); err != nil {
		return store.Record{}, err
	}
	err = s.do(ctx, &op{name: "bury", apply: func(b *batch) (err error) {
		before, err = b.bury(c)
		return err
	}})
	return before, err
}

// Sweep implements store.Store. It makes as many commits as it needs to look at about
// Options.SweepBatch records in each; other changes get in between. With an error it
// returns how many records it has forgotten before.
func (s *Store) Sweep(ctx context.Context) (swept int, err error) {
	var from place
	for more := true; more; {
		var deleted int
		var next place
		err := s.do(ctx, &op{name: "sweep", placed: true, apply: func(b *batch) (err error) {
			deleted, next, more, err = b.sweep(from)
			return err
		}})
		if err != nil {
			return swept, err
		}
		swept += deleted
		from = next
	}
	return swept, nil
}

// fail ends the store's service for good.
func (s *Store) fail(err error) {
	s.failed.Store(true)
	s.opts.Logger.Error("the store has stopped", "path", s.path, "error", err)
	s.queue.close(err)
}

// sweepEvery sweeps until ctx ends.
func (s *Store) sweepEvery(ctx context.Context) {
	ticker := time.NewTicker(s.opts.SweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if _, err := s.Sweep(ctx); err != nil && ctx.Err() == nil && s.queue.refusal() == nil {
			s.opts.Logger.Warn("a sweep of the store failed", "path", s.path, "error", err)
		}
	}
}

// Stats implements store.Store. It reads no record.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if err := errors.Join(ctx.Err(), s.queue.refusal()); err != nil {
		return store.Stats{}, err
	}
	s.dbMu.RLock()
	defer s.dbMu.RUnlock()
	h := s.head.Load()
	return store.Stats{Created: h.created, Records: h.byState(), Size: s.used(), Limit: s.opts.SizeLimit}, nil
}

// Close implements store.Store. What is being committed ends; what waits ends with
// ErrClosed. It waits for functions given to Transact that run, and must not be
// called by one. Closing again returns what the first Close did.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.queue.close(store.ErrClosed)
		_ = s.runner.Stop(context.Background()) // whose end is never: it returns nil
		s.committing.Lock()
		defer s.committing.Unlock()
		s.tidy()
		s.dbMu.Lock()
		defer s.dbMu.Unlock()
		removeHolder(s.path)
		s.closeErr = closeDB(s.db, s.file)
	})
	return s.closeErr
}
