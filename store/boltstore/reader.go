package boltstore

import (
	"context"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// Reader reads the file of a store that nobody has open, for tools. It changes
// nothing: what is in progress belongs to a process that has ended, and is
// Interrupted. Several may read a file at the same time; a store cannot be opened
// meanwhile. Its methods are safe for concurrent use, but for Close.
type Reader struct {
	path string
	db   *bbolt.DB
	file *file
}

// OpenReadOnly opens a file for reading. The errors are those of [Open]; a file that
// is not there is a *store.UnavailableError.
func OpenReadOnly(path string) (*Reader, error) {
	if err := exists(path); err != nil {
		return nil, err
	}
	if err := inspect(path); err != nil {
		return nil, err
	}
	r := &Reader{path: path, file: &file{path: path}}
	var err error
	if r.db, err = openDB(r.file, true); err != nil {
		return nil, err
	}
	return r, nil
}

// read calls fn with the records as the next epoch will have them. A database that
// is empty has none, and fn is not called.
func (r *Reader) read(fn func(b *batch) error) error {
	return corrupt(r.path, r.file.in(r.db.View, func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketKey) == nil {
			return nil
		}
		b, err := newBatch(tx, Options{Now: time.Now}, 0)
		if err != nil {
			return err
		}
		b.reopen()
		return fn(b)
	}))
}

// Get returns the record, past its retention too, until it is swept; with the state
// Absent if there is none.
func (r *Reader) Get(ctx context.Context, key store.Key) (store.Record, error) {
	record := store.Record{Key: key}
	if err := ctx.Err(); err != nil {
		return record, err
	}
	err := r.read(func(b *batch) error {
		e, _, found, err := b.find(key)
		if err == nil && found {
			b.present(&e)
			record = e.Record
		}
		return err
	})
	return record, err
}

// All calls fn with each record, in about the order in which they expire, those past
// their retention among them, until fn returns an error or ctx ends: it returns
// that error. fn may keep the record.
func (r *Reader) All(ctx context.Context, fn func(store.Record) error) error {
	var from place
	for more := true; more; {
		var page []store.Record
		err := r.read(func(b *batch) (err error) {
			page, from, more, err = b.page(from)
			return err
		})
		if err != nil {
			return err
		}
		for _, record := range page {
			if err := ctx.Err(); err != nil {
				return err
			}
			if err := fn(record); err != nil {
				return err
			}
		}
		more = more && len(page) > 0
	}
	return ctx.Err()
}

// pageWeight is about how many bytes of records [Reader.All] holds.
const pageWeight = 1 << 20

// page returns some records from place on, and where to go on.
func (b *batch) page(from place) (page []store.Record, next place, more bool, err error) {
	weight := 0
	c := b.records.Cursor()
	for k, v := c.Seek(from[:]); k != nil; k, v = c.Next() {
		at, r, err := decodeAt(k, v)
		if err != nil {
			return nil, at, false, err
		}
		if weight >= pageWeight {
			return page, at, true, nil
		}
		weight += len(v)
		b.present(&r)
		page = append(page, r.Record)
	}
	return page, next, false, nil
}

// Stats returns what [Store.Stats] would. Limit is 0, as the file does not know it.
func (r *Reader) Stats(ctx context.Context) (stats store.Stats, err error) {
	if err := ctx.Err(); err != nil {
		return stats, err
	}
	stats.Records = make(map[store.State]int)
	err = r.read(func(b *batch) error {
		free, err := freePages(r.file)
		if err != nil {
			return err
		}
		stats.Created, stats.Records = b.created, b.byState()
		stats.Size = b.tx.Size() - int64(free)*int64(r.db.Info().PageSize)
		return nil
	})
	return stats, err
}

// Epoch returns how often the file was opened as a store.
func (r *Reader) Epoch() (epoch uint64, err error) {
	err = r.read(func(b *batch) error {
		epoch = b.epoch - 1
		return nil
	})
	return epoch, err
}

// Close lets go of the file.
func (r *Reader) Close() error { return closeDB(r.db, r.file) }
