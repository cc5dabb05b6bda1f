package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
)

// Get implements [store.Store].
func (s *Store) Get(ctx context.Context, key store.Key) (store.Record, error) {
	if err := s.enter(ctx); err != nil {
		return store.Record{}, err
	}
	defer s.calls.Done()
	l := &locked{store: s}
	if err := s.look(ctx, key, l); err != nil {
		if ctx.Err() != nil {
			return store.Record{}, ctx.Err()
		}
		return store.Record{}, s.translate("get", err)
	}
	r := l.row.view(key, l.now)
	if r.State == store.Absent && l.tombstone != nil {
		return *l.tombstone, nil
	}
	return r, nil
}

// look fills l, without a lock. The key may be a tombstone's.
func (s *Store) look(ctx context.Context, key store.Key, l *locked) (err error) {
	conn, err := s.acquire(ctx, s.own)
	if err != nil {
		return err
	}
	defer func() { release(ctx, conn, err) }()
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	var p pgx.Batch
	p.Queue(settings)
	s.queueLook(&p, s.queries.find, key, key[:], l)
	return conn.SendBatch(ctx, &p).Close()
}

// acquire returns a connection of a pool, for which it waits no longer than Options.Timeout.
func (s *Store) acquire(ctx context.Context, pool *pgxpool.Pool) (*pgxpool.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	return pool.Acquire(ctx)
}

// release gives the connection back. One to a server that only reads is closed: it was the primary, and the pool may find
// out which one is.
func release(ctx context.Context, conn *pgxpool.Conn, err error) {
	if sqlState(err) == readOnly {
		discard(ctx, conn.Conn())
	}
	conn.Release()
}
