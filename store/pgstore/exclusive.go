package pgstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
)

// attempts is how often a transaction is begun that collides with others, before its caller is told.
const attempts = 10

// backoff waits before the next attempt of a transaction: longer, and more by chance, with each.
func backoff(ctx context.Context, attempt int) error {
	d := time.Duration(1+rand.IntN(1<<min(attempt, 7))) * time.Millisecond
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}

// locked is a transaction that has one key for itself: no other changes its record, or its tombstone, until it ends.
type locked struct {
	store     *Store
	now       time.Time
	alive     bool          // the store itself is not taken for dead
	row       *row          // nil: there is none
	tombstone *store.Record // nil: there is none
	changes   pgx.Batch
}

// exclusive calls f with the record of the key, and commits the changes that it asks for, if it asks for any and returns no
// error. tombstone is the key of the call's tombstone, or nil. f may be called again, and its changes are those of the
// last time.
func (s *Store) exclusive(ctx context.Context, op string, key store.Key, tombstone []byte, f func(l *locked) error) error {
	for attempt := 1; ; attempt++ {
		var refusal error
		err := s.exclusiveOnce(ctx, key, tombstone, func(l *locked) error {
			refusal = f(l)
			return refusal
		})
		switch {
		case err == nil || refusal != nil:
			return refusal
		case collided(err) && attempt < attempts:
			if err := backoff(ctx, attempt); err != nil {
				return err
			}
		case ctx.Err() != nil && errors.Is(err, ctx.Err()):
			return ctx.Err()
		default:
			return s.translate(op, err)
		}
	}
}

func (s *Store) exclusiveOnce(ctx context.Context, key store.Key, tombstone []byte, f func(l *locked) error) (err error) {
	conn, err := s.acquire(ctx, s.own)
	if err != nil {
		return err
	}
	defer func() { release(ctx, conn, err) }()
	ctx, cancel := s.detached(ctx)
	defer cancel()
	defer rollback(ctx, conn.Conn())

	l := &locked{store: s}
	var p pgx.Batch
	p.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	p.Queue(settings)
	p.Queue(s.queries.lock, s.class, []int32{lockOf(key)})
	s.queueLook(&p, s.queries.findLocked, key, tombstone, l)
	if err := conn.SendBatch(ctx, &p).Close(); err != nil {
		return err
	}
	if err := f(l); err != nil || l.changes.Len() == 0 {
		return err
	}
	l.changes.Queue("commit")
	return conn.SendBatch(ctx, &l.changes).Close()
}

// queueLook has l filled with what is there, and the time.
func (s *Store) queueLook(p *pgx.Batch, find string, key store.Key, tombstone []byte, l *locked) {
	s.queueNow(p, &l.now, &l.alive)
	p.Queue(find, prefix(key), key[:]).QueryRow(func(from pgx.Row) error {
		r := new(row)
		if err := r.scan(from); err != nil {
			return noRows(err)
		}
		l.row = r
		return nil
	})
	if tombstone == nil {
		return
	}
	p.Queue(s.queries.tombstone, tombstone).QueryRow(func(from pgx.Row) error {
		r := store.Record{Key: store.Key(tombstone), State: store.Tombstone}
		var fingerprint []byte
		if err := from.Scan(&fingerprint, &r.Method, &r.CallID, &r.Created, &r.Expires); err != nil {
			return noRows(err)
		}
		copy(r.Fingerprint[:], fingerprint)
		r.Updated = r.Created
		if l.now.Before(r.Expires) {
			l.tombstone = &r
		}
		return nil
	})
}

// errAnother: what the store remembers is not there any more.
var errAnother = errors.New("the schema was made again, and holds another store: open it again")

// queueNow has now be the time, if the tables are still those of this store, and alive whether others take the store to be
// so.
func (s *Store) queueNow(p *pgx.Batch, now *time.Time, alive *bool) {
	p.Queue(s.queries.now, s.options.now(), s.identity.ID, s.owner).QueryRow(func(r pgx.Row) error {
		err := r.Scan(now, alive)
		if errors.Is(err, pgx.ErrNoRows) {
			return errAnother
		}
		return err
	})
}

// noRows takes a row that is not there for no error.
func noRows(err error) error {
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	return err
}

// insert makes the first record of a call. It has its token once the changes were committed.
func (l *locked) insert(c store.Claim) *store.Record {
	s := l.store
	r := &store.Record{
		Key: c.Key, Method: text(c.Method), CallID: text(c.CallID), State: store.InProgress, Fingerprint: c.Fingerprint,
		Attempts: 1, First: true, Owner: s.Owner(),
		Lease: l.now.Add(c.Lease), Created: l.now, Updated: l.now, Expires: l.now.Add(c.Retention),
	}
	l.changes.Queue(s.queries.insert, prefix(r.Key), s.owner, r.Lease, l.now, r.Expires, r.Key[:], r.Fingerprint[:], r.Method, r.CallID).
		QueryRow(func(from pgx.Row) error { return from.Scan(&r.Token) })
	return r
}

// update replaces the record that was found.
func (l *locked) update(r *store.Record) {
	r.Updated = l.now
	owner := l.row.owner
	if r.Owner != l.row.Owner {
		owner = l.store.owner
	}
	var lease *time.Time
	if !r.Lease.IsZero() {
		lease = &r.Lease
	}
	l.changes.Queue(l.store.queries.update, prefix(r.Key), r.Key[:], r.Token, owner, lease, l.now, r.Expires, r.Attempts, r.Size,
		r.State, r.First, r.Retained, r.Fingerprint[:], r.Digest[:], r.Payload)
}

func (l *locked) forget() {
	key := l.row.Key
	l.changes.Queue(l.store.queries.forget, prefix(key), key[:])
}
