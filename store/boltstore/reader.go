package boltstore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
	"github.com/warren-rpc/warren/store/boltstore/internal/journal"
)

// Reader reads the file of a store that nobody has open, for tools. It changes
// nothing: what is in progress belongs to a process that has ended, and is
// Interrupted. Several may read a file at the same time; a store cannot be opened
// meanwhile. Its methods are safe for concurrent use, but for Close.
type Reader struct {
	path    string
	db      *bbolt.DB
	file    *file
	journal *journal.Journal
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
	err = r.view(func(tx *bbolt.Tx) (err error) {
		r.journal, _, err = r.file.readJournal(tx, firstDamage)
		return err
	})
	if err != nil {
		return nil, errors.Join(openError(path, err), r.Close())
	}
	return r, nil
}

// view calls fn with a transaction, if the database is not empty.
func (r *Reader) view(fn func(tx *bbolt.Tx) error) error {
	return r.file.in(r.db.View, func(tx *bbolt.Tx) error {
		if tx.Bucket(bucketKey) == nil {
			return nil
		}
		return fn(tx)
	})
}

// read calls fn with the records as the next epoch will have them. A database that
// is empty has none, and fn is not called.
func (r *Reader) read(fn func(b *batch) error) error {
	return corrupt(r.path, r.view(func(tx *bbolt.Tx) error {
		b, err := readBatch(tx, Options{Now: time.Now}, r.journal)
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
		var e entry
		err := b.lookUp(key, &e)
		if err == nil && e.there {
			b.present(&e.stored)
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
	at := &position{}
	err := r.read(func(b *batch) (err error) {
		at.more = true
		at.journaled, err = b.byExpiry(r.journal.Keys())
		return err
	})
	if err != nil {
		return err
	}
	for at.more {
		var page []store.Record
		err := r.read(func(b *batch) (err error) {
			page, err = b.page(at)
			return err
		})
		if err == nil {
			err = hand(ctx, page, fn)
		}
		if err != nil {
			return err
		}
	}
	return ctx.Err()
}

// hand calls fn with the records of a page.
func hand(ctx context.Context, page []store.Record, fn func(store.Record) error) error {
	for _, record := range page {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := fn(record); err != nil {
			return err
		}
	}
	return ctx.Err()
}

// pageWeight is about how many bytes of records [Reader.All] holds.
const pageWeight = 1 << 20

// position is how far [Reader.All] has come.
type position struct {
	place     place       // the next one
	journaled []journaled // the next ones of the journal
	more      bool
}

// journaled is a record of which the journal has the latest version.
type journaled struct {
	key    store.Key
	minute uint32
}

// byExpiry returns the records in the journal in the order in which they expire.
func (b *batch) byExpiry(keys []store.Key) (list []journaled, err error) {
	for _, key := range keys {
		r, err := b.inJournal(key)
		if err != nil {
			return nil, err
		}
		list = append(list, journaled{key, minuteOf(r.Expires)})
	}
	slices.SortStableFunc(list, func(x, y journaled) int { return cmp.Compare(x.minute, y.minute) })
	return list, nil
}

// page returns the records that follow, some of them, and moves the position behind
// them.
func (b *batch) page(at *position) (page []store.Record, err error) {
	if err := b.open(); err != nil {
		return nil, err
	}
	c := b.records.Cursor()
	k, v := c.Seek(at.place[:])
	for weight := 0; weight < pageWeight; {
		var r stored
		var later bool
		switch {
		case len(at.journaled) > 0 && (k == nil || at.journaled[0].minute < minuteIn(k)):
			r, err = b.inJournal(at.journaled[0].key)
			at.journaled = at.journaled[1:]
		case k != nil:
			if _, r, err = decodeAt(k, v); err == nil {
				_, later = b.journal.Get(r.Key)
			}
			if k, v = c.Next(); k != nil {
				copy(at.place[:], k)
			} else {
				at.place = endOfPlaces
			}
		default:
			at.more = false
			return page, nil
		}
		if err != nil {
			return nil, err
		}
		if !later {
			weight += bodyBound + len(r.Payload)
			b.present(&r)
			page = append(page, r.Record)
		}
	}
	return page, nil
}

// inJournal returns a record of the journal.
func (b *batch) inJournal(key store.Key) (stored, error) {
	body, _ := b.journal.Get(key)
	r, err := decodeBody(body)
	if err != nil {
		err = integrity.Damaged("the journal: record %v: %v", key, err)
	}
	return r, err
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

// Identity returns which store the file is, as a server that opens it will find it.
// It is zero if none has opened it yet.
func (r *Reader) Identity() (id store.Identity, err error) {
	err = r.read(func(b *batch) error {
		id = b.identity(r.path)
		return nil
	})
	return id, err
}

// Close lets go of the file.
func (r *Reader) Close() error { return closeDB(r.db, r.file) }
