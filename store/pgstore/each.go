package pgstore

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
)

// page is how many records are read at a time: with payloads of 1 MiB, that many MiB.
const page = 100

// Each calls fn with each record that is remembered, tombstones among them, in no particular order, until it returns an
// error, which Each then returns. The records are read a hundred at a time: no transaction is open while fn
// runs, so that it may take as long as it likes. A record that is there all the time is told at least once, and
// maybe twice, if it changes meanwhile; one that is made meanwhile may be told or not.
func (s *Store) Each(ctx context.Context, fn func(store.Record) error) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	read := make(map[int]string) // slots, and what end they had
	for {
		slot, ends, err := s.nextSlot(ctx, read)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return s.eachTombstone(ctx, fn)
		case err != nil:
			return s.failure(ctx, "export", err)
		}
		if err := s.eachOf(ctx, slot, fn); err != nil {
			return err
		}
		read[slot] = ends
	}
}

// nextSlot returns the slot with the earliest end of those that were not read with that end, or pgx.ErrNoRows. Records move
// to later ends only, where they are met again; a slot that is emptied meanwhile gets a later end, and is read again.
func (s *Store) nextSlot(ctx context.Context, read map[int]string) (slot int, ends string, err error) {
	err = s.pool.QueryRow(ctx, "SELECT slot, e.text FROM "+quote(s.options.Schema)+`.slots, CAST(ends AT TIME ZONE 'UTC' AS text) AS e(text)
		WHERE coalesce($1::jsonb ->> slot::text, '') <> e.text ORDER BY ends LIMIT 1`, read).Scan(&slot, &ends)
	return slot, ends, err
}

// eachOf tells the records of a slot.
func (s *Store) eachOf(ctx context.Context, slot int, fn func(store.Record) error) error {
	last, key := int64(math.MinInt64), []byte{}
	for {
		var (
			now     time.Time
			alive   bool
			records []row
			p       pgx.Batch
		)
		p.Queue(settings)
		s.queueNow(&p, &now, &alive)
		p.Queue(s.queries.page, s.options.now(), slot, last, key, page).Query(func(rows pgx.Rows) (err error) {
			records, err = pgx.CollectRows(rows, func(from pgx.CollectableRow) (r row, err error) {
				err = r.scan(from)
				return r, err
			})
			return err
		})
		if err := s.pool.SendBatch(ctx, &p).Close(); err != nil {
			return s.failure(ctx, "export", err)
		}
		for i := range records {
			r := &records[i]
			last, key = prefix(r.Key), r.Key[:]
			if v := r.view(r.Key, now); v.State != store.Absent {
				if err := fn(v); err != nil {
					return err
				}
			}
		}
		if len(records) < page {
			return nil
		}
	}
}

// eachTombstone tells the tombstones of calls that never came.
func (s *Store) eachTombstone(ctx context.Context, fn func(store.Record) error) error {
	key := []byte{}
	for {
		rows, err := s.pool.Query(ctx, s.queries.tombstones, s.options.now(), key, page)
		if err != nil {
			return s.failure(ctx, "export", err)
		}
		records, err := pgx.CollectRows(rows, func(from pgx.CollectableRow) (store.Record, error) {
			var found, fingerprint []byte
			r := store.Record{State: store.Tombstone}
			err := from.Scan(&found, &fingerprint, &r.Method, &r.CallID, &r.Created, &r.Expires)
			copy(r.Key[:], found)
			copy(r.Fingerprint[:], fingerprint)
			r.Updated = r.Created
			return r, err
		})
		if err != nil {
			return s.failure(ctx, "export", err)
		}
		for _, r := range records {
			key = r.Key[:]
			if err := fn(r); err != nil {
				return err
			}
		}
		if len(records) < page {
			return nil
		}
	}
}
