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
// without the free pages, and the buckets of the application too. It checks nothing
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
	err = guard(func() error { return bbolt.Compact(target, source, compactTransaction) })
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
