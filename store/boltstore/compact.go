package boltstore

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"
)

// compactTransaction is how many bytes Compact copies at a time.
const compactTransaction = 4 << 20

func timeless() time.Time { return time.Time{} }

// Compact writes what is in the file src, which nobody has open, to a new file dst,
// without the free pages and what the journal has of records that were forgotten, and with
// the buckets of the application. It checks nothing
// but what an opening does: [Check] src before, and dst before it takes src's place.
// dst must not be there; with an error it is not there after either. Both are
// complete stores then: only one of them may be used, or a call runs once for each.
func Compact(src, dst string) (err error) {
	if err := exists(src); err != nil {
		return err
	}
	if err := inspect(src); err != nil {
		return err
	}
	from, to := &file{path: src}, &file{path: dst}
	source, err := openDB(from, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB(source, from)) }()
	fresh, err := os.OpenFile(dst, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600) //nolint:gosec // the path is the caller's
	if err != nil {
		return openError(dst, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(dst)) //nolint:gosec // it was made here
		}
	}()
	if err := fresh.Close(); err != nil {
		return openError(dst, err)
	}
	target, err := openDB(to, false)
	if err != nil {
		return err
	}
	err = guard(func() error {
		if err := bbolt.Compact(target, source, compactTransaction); err != nil {
			return err
		}
		return clearJournal(target, to)
	})
	if err != nil {
		to.stuck.Store(true) // a transaction may be open still
		from.stuck.Store(true)
		return errors.Join(openError(src, err), closeDB(target, to))
	}
	if err := target.Close(); err != nil {
		return openError(dst, err)
	}
	return openError(dst, syncDir(filepath.Dir(dst)))
}

// clearJournal flushes the journal of a file and overwrites it: what it had of earlier
// generations is not copied either.
func clearJournal(db *bbolt.DB, f *file) error {
	var offset int64
	var size int
	err := f.in(db.Update, func(tx *bbolt.Tx) (err error) {
		if tx.Bucket(bucketKey) == nil {
			return nil
		}
		j, area, err := f.readJournal(tx, firstDamage)
		if err != nil {
			return err
		}
		offset, size = area, j.Size()
		b, err := readBatch(tx, Options{Now: timeless}, j)
		if err != nil {
			return err
		}
		return errors.Join(b.empty(j), b.finish())
	})
	if err != nil || size == 0 {
		return err
	}
	_, err = f.f.Load().WriteAt(make([]byte, size), offset)
	return errors.Join(err, db.Sync())
}
