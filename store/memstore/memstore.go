// Package memstore keeps the records of package store in memory. It is for tests
// and development: what it holds ends with the process.
//
// It has all else that a store can have: leases, several users of one set of data,
// a limit of size, and transactions that an application joins. So a test can have a
// dead owner, or a full store, without a disk and without waiting.
package memstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/store"
)

// Options say how a store works. The zero value is ready.
type Options struct {
	// Now is the clock. Default time.Now. It is called with the data locked: it must
	// not call the store.
	Now func() time.Time
	// MaxPayload is the largest payload that is kept, in bytes; of a larger one there
	// are the size and the digest. Default 1 MiB; below 0: none is kept.
	MaxPayload int
	// SizeLimit bounds what the records take, in bytes; see [store.FullError]. The
	// application's values do not count. Default 0: no limit.
	SizeLimit int64
	// Tombstones is how many tombstones there may be before no more are written of
	// calls that never came. Default 100,000; below 0: none is written.
	Tombstones int
	// SweepEvery is how often the store sweeps by itself, by the process's clock.
	// Default 1 min; below 0: never.
	SweepEvery time.Duration
}

func (o Options) complete() Options {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.MaxPayload == 0 {
		o.MaxPayload = 1 << 20
	}
	if o.Tombstones == 0 {
		o.Tombstones = 100_000
	}
	if o.SweepEvery == 0 {
		o.SweepEvery = time.Minute
	}
	return o
}

// retryAfter is when a sweep may have made room.
func (o *Options) retryAfter() time.Duration {
	if o.SweepEvery < 0 {
		return time.Minute
	}
	return o.SweepEvery
}

// Store is a [store.Store] in memory, with leases, and a [store.Transactional] of
// [*Tx]. Its methods may be called concurrently. The work of all stores on one
// [Data] is done one piece after the other.
type Store struct {
	options Options
	data    *Data
	owner   string
	shared  bool
	sweeper lifecycle.Runner
	closed  bool // guarded by the data's lock
}

var (
	_ store.Transactional[*Tx] = (*Store)(nil)
	_ store.Waiter             = (*Store)(nil)
)

// New returns a store with data of its own, which end with it.
func New(o Options) *Store { return open(new(Data), o, false) }

// Open returns a store on data that others may use as well, before, after and at the
// same time. It stands for one of several processes: it is an owner of its own,
// which is dead to the others when its leases have run out.
func Open(d *Data, o Options) *Store { return open(d, o, true) }

func open(d *Data, o Options, shared bool) *Store {
	s := &Store{options: o.complete(), data: d, owner: "memory-" + rand.Text(), shared: shared}
	d.init(s.options.Now)
	if s.options.SweepEvery > 0 {
		// The first start of a Runner that nobody else has cannot fail.
		_ = s.sweeper.Start()
		s.sweeper.Go(s.sweep)
	}
	return s
}

func (s *Store) sweep(ctx context.Context) {
	ticker := time.NewTicker(s.options.SweepEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			// It fails with ctx alone, which the next turn sees.
			_, _ = s.Sweep(ctx)
		}
	}
}

// locked calls f, alone among all on the data, unless ctx ends before that.
func (s *Store) locked(ctx context.Context, f func(now time.Time) error) error {
	if err := s.data.lock(ctx); err != nil {
		return err
	}
	defer s.data.unlock()
	if s.closed {
		return store.ErrClosed
	}
	return f(s.options.Now())
}

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key store.Key) (r store.Record, err error) {
	err = s.locked(ctx, func(now time.Time) error {
		r = view(s.data.find(key, now), key, now)
		return nil
	})
	return r, err
}

var (
	errLease     = errors.New("memstore: the lease must be above 0")
	errRetention = errors.New("memstore: the retention must be above 0")
	errProof     = errors.New("memstore: a tombstone needs the proof of its call")
)

// Claim implements [store.Store].
func (s *Store) Claim(ctx context.Context, c store.Claim) (r store.Record, won bool, err error) {
	if c.Lease <= 0 {
		return r, false, errLease
	}
	if c.Retention <= 0 {
		return r, false, errRetention
	}
	err = s.locked(ctx, func(now time.Time) error {
		old := s.data.find(c.Key, now)
		if old != nil && !old.Fingerprint.Matches(c.Fingerprint) {
			return store.ErrKeyReused
		}
		r = view(old, c.Key, now)
		switch {
		case r.State == store.Absent:
			if t := s.data.tombstone(c, now); t != nil {
				r = *t
				return nil
			}
			if err := s.room(); err != nil {
				return err
			}
			r = s.data.make(c, now)
			r.First = true
		case r.State == store.Interrupted && !c.Once:
			r.First = false
		case r.State == store.Parked && c.Unpark:
			r.Attempts, r.First = 0, false
			r.Payload, r.Size, r.Digest, r.Retained = nil, 0, [sha256.Size]byte{}, false
		default:
			return nil
		}
		won = true
		r.State = store.InProgress
		r.Token++
		r.Attempts++
		r.Owner = s.owner
		r.Lease = now.Add(c.Lease)
		r.Expires = now.Add(c.Retention)
		if r.Fingerprint == (store.Fingerprint{}) {
			r.Fingerprint = c.Fingerprint
		}
		r = s.data.put(r, now)
		return nil
	})
	return r, won, err
}

// room returns an error if the store takes no new records.
func (s *Store) room() error {
	size, limit := s.data.size, s.options.SizeLimit
	if limit <= 0 || size < limit/5*4 {
		return nil
	}
	return &store.FullError{Size: size, Limit: limit, RetryAfter: s.options.retryAfter()}
}

// owned calls f with the record in progress that has the token.
func (s *Store) owned(ctx context.Context, key store.Key, token uint64, f func(r store.Record, now time.Time) error) error {
	return s.locked(ctx, func(now time.Time) error {
		r := s.data.find(key, now)
		if r == nil || r.State != store.InProgress || r.Token != token {
			return store.ErrStale
		}
		return f(*r, now)
	})
}

// Renew implements [store.Store].
func (s *Store) Renew(ctx context.Context, key store.Key, token uint64, lease time.Duration) error {
	if lease <= 0 {
		return errLease
	}
	return s.owned(ctx, key, token, func(r store.Record, now time.Time) error {
		r.Lease = now.Add(lease)
		s.data.put(r, now)
		return nil
	})
}

// waitEvery is how often a record is looked at that somebody waits for.
const waitEvery = 10 * time.Millisecond

// Wait implements [store.Waiter].
func (s *Store) Wait(ctx context.Context, key store.Key, token uint64) error {
	look := time.NewTicker(waitEvery)
	defer look.Stop()
	for {
		r, err := s.Get(ctx, key)
		if err != nil || r.State != store.InProgress || r.Token != token {
			return err
		}
		select {
		case <-look.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Complete implements [store.Store].
func (s *Store) Complete(ctx context.Context, key store.Key, token uint64, result store.Result, retention time.Duration) error {
	if retention <= 0 {
		return errRetention
	}
	if err := result.Validate(); err != nil {
		return err
	}
	return s.owned(ctx, key, token, func(r store.Record, now time.Time) error {
		s.complete(r, result, retention, now)
		return nil
	})
}

func (s *Store) complete(r store.Record, result store.Result, retention time.Duration, now time.Time) {
	r.State = result.State
	r.Lease = time.Time{}
	r.Expires = now.Add(retention)
	r.Size = len(result.Payload)
	r.Digest = sha256.Sum256(result.Payload)
	r.Retained = r.Size <= s.options.MaxPayload
	if r.Retained {
		r.Payload = append([]byte{}, result.Payload...)
	}
	s.data.put(r, now)
}

// Abandon implements [store.Store].
func (s *Store) Abandon(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
	return s.owned(ctx, key, token, func(r store.Record, now time.Time) error {
		if end == store.Undone && r.First {
			s.data.forget(key)
			return nil
		}
		r.State = store.Interrupted
		r.Lease = time.Time{}
		if end != store.Unended {
			r.Attempts--
		}
		s.data.put(r, now)
		return nil
	})
}

// Bury implements [store.Store].
func (s *Store) Bury(ctx context.Context, b store.Claim) (before store.Record, err error) {
	if b.Retention <= 0 {
		return before, errRetention
	}
	if !b.Fingerprint.Proven() {
		return before, errProof
	}
	b.Fingerprint = store.ByProof(b.Fingerprint.Proof())
	err = s.locked(ctx, func(now time.Time) error {
		found := view(s.data.find(b.Key, now), b.Key, now)
		if found.State != store.Absent && !found.Fingerprint.Matches(b.Fingerprint) {
			if t := s.data.tombstone(b, now); t != nil {
				before = *t
				return nil
			}
			return store.ErrKeyReused
		}
		before = found
		r := before
		switch before.State {
		case store.Absent:
			if t := s.data.tombstone(b, now); t != nil {
				before = *t
				return nil
			}
			if err := s.room(); err != nil {
				return err
			}
			if limit := s.options.Tombstones; s.data.tombstones >= limit {
				return &store.TombstonesError{Limit: limit, RetryAfter: s.options.retryAfter()}
			}
			b.Key = b.Key.Tombstone(b.Fingerprint)
			r = s.data.make(b, now)
			r.Token = 0
		case store.Interrupted:
		default:
			return nil
		}
		r.State = store.Tombstone
		if expires := now.Add(b.Retention); expires.After(r.Expires) {
			r.Expires = expires
		}
		s.data.put(r, now)
		return nil
	})
	return before, err
}

// Sweep implements [store.Store].
func (s *Store) Sweep(ctx context.Context) (n int, err error) {
	err = s.locked(ctx, func(now time.Time) error {
		n = s.data.sweep(now)
		return nil
	})
	return n, err
}

// Stats implements [store.Store]. It looks at every record. What is past its
// retention and not swept takes its size and is not counted.
func (s *Store) Stats(ctx context.Context) (stats store.Stats, err error) {
	err = s.locked(ctx, func(now time.Time) error {
		stats = store.Stats{
			Created: s.data.created, Records: s.data.count(now), Size: s.data.size, Limit: max(0, s.options.SizeLimit),
		}
		return nil
	})
	return stats, err
}

// Owner implements [store.Store].
func (s *Store) Owner() string { return s.owner }

// Identity implements [store.Store]: that of the data.
func (s *Store) Identity() store.Identity {
	return store.Identity{ID: s.data.id, Created: s.data.created, Place: "memory"}
}

// Traits implements [store.Store]. A store is not durable, and shared if [Open] made
// it.
func (s *Store) Traits() store.Traits { return store.Traits{Shared: s.shared} }

// Close implements [store.Store]. It always returns nil, and may be called again. The
// data stay, for other stores on them.
func (s *Store) Close() error {
	// Without an end of the context there is nothing that these could fail with.
	_ = s.sweeper.Stop(context.Background())
	_ = s.data.lock(context.Background())
	s.closed = true
	s.data.unlock()
	return nil
}
