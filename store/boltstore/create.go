package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// prepare makes sure that there is a file, and that it can be opened as a store.
func prepare(path string) error {
	_, err := os.Stat(path) //nolint:gosec // the path is the caller's
	if errors.Is(err, fs.ErrNotExist) {
		if err := create(path, os.Link); err != nil {
			return &store.UnavailableError{Op: "open", Cause: err}
		}
		return nil
	}
	if err := exists(path); err != nil {
		return err
	}
	return inspect(path)
}

// exists returns an error if there is no file that could be a store. One that is
// empty is not a new one: it has lost what it had.
func exists(path string) error {
	for began := time.Now(); ; time.Sleep(lockWait / 50) {
		info, err := os.Stat(path) //nolint:gosec // the path is the caller's
		switch {
		case err != nil:
			return &store.UnavailableError{Op: "open", Cause: err}
		case !info.Mode().IsRegular():
			return fmt.Errorf("boltstore: %s is not a file, but %v", path, info.Mode().Type())
		case info.Size() > 0:
			return nil
		case time.Since(began) > lockWait: // it may just have been reserved
			return corrupt(path, integrity.Damaged("it is empty, and what it remembered is lost; only if no server has ever used it, delete it"))
		}
	}
}

// create makes an empty database under another name and then gives it its own, so
// that a crash leaves all or nothing of it. If another process was quicker, its
// file is the one. link is os.Link, which not every file system has.
func create(path string, link func(name, path string) error) (err error) {
	dir := filepath.Dir(path)
	temporary, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*.new") // with the mode 0600
	if err != nil {
		return err
	}
	name := temporary.Name()
	defer func() {
		if failed := os.Remove(name); !errors.Is(failed, fs.ErrNotExist) { //nolint:gosec // it was made here
			err = errors.Join(err, failed)
		}
	}()
	if err := temporary.Close(); err != nil {
		return err
	}
	db, err := bbolt.Open(name, 0o600, nil)
	if err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	if err := link(name, path); err != nil && !errors.Is(err, fs.ErrExist) {
		if err := reserve(path, name); err != nil {
			return err
		}
	}
	return syncDir(dir)
}

// reserve gives the file name the path, which nobody else has yet, without a link:
// a crash can leave an empty file there, which is refused from then on.
func reserve(path, name string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600) //nolint:gosec // the path is the caller's
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := errors.Join(f.Close(), os.Rename(name, path)); err != nil { //nolint:gosec // it was made here
		return errors.Join(err, os.Remove(path)) //nolint:gosec // it was made here
	}
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir) //nolint:gosec // the path is the caller's
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
