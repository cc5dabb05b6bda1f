package boltstore

import (
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	berrors "go.etcd.io/bbolt/errors"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// lockWait is how long an opening waits for the process that has the file: one
// that is just ending should not be an error.
const lockWait = 500 * time.Millisecond

// Open opens the store in the file at path, and makes the file, with the mode 0600,
// if there is none. A file without a byte in it is damaged. Open begins a new epoch:
// what is in progress is Interrupted from then on.
//
// Errors are *store.HeldError if it is open already, here or in another process;
// *store.VersionError for a later format; *store.CorruptError;
// *store.UnavailableError if the file cannot be made, read or written; and others if
// opts are out of bounds or path is something else than a store. None changes what is
// there.
func Open(path string, opts Options) (*Store, error) {
	opts, err := opts.complete()
	if err != nil {
		return nil, err
	}
	if err := prepare(path); err != nil {
		return nil, err
	}
	s := &Store{path: path, opts: opts, queue: newCommitQueue(), file: &file{path: path}, width: maxWidth}
	if s.db, err = openDB(s.file, false); err != nil {
		return nil, err
	}
	if err := s.begin(); err != nil {
		_ = closeDB(s.db, s.file) // the error that counts came before
		return nil, openError(path, err)
	}
	writeHolder(path)
	_ = s.runner.Start() // it was never started or stopped, and returns nil
	s.runner.Go(s.run)
	if opts.SweepEvery > 0 {
		s.runner.Go(s.sweepEvery)
	}
	return s, nil
}

// openDB opens bbolt's database. The errors are those of Open. The free list is an array:
// each commit writes it in order, for which the map would be sorted each time.
func openDB(f *file, readOnly bool) (db *bbolt.DB, err error) {
	err = guard(func() (err error) {
		db, err = bbolt.Open(f.path, 0o600, &bbolt.Options{
			Timeout: lockWait, ReadOnly: readOnly, FreelistType: bbolt.FreelistArrayType, OpenFile: f.open,
		})
		return err
	})
	if err != nil {
		if h := f.f.Load(); h != nil {
			_ = h.Close() // a panic has left it open; after an error it is closed already
		}
		return nil, openError(f.path, explain(f.path, err))
	}
	return db, nil
}

// explain returns the damage for which bbolt has not opened a file, or its error. A
// file for whose first pages there is no room is not damaged, though it looks so.
func explain(path string, err error) error {
	if errors.Is(err, berrors.ErrTimeout) || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return err
	}
	h, failed := os.Open(path) //nolint:gosec // the path is the caller's
	if failed != nil {
		return err
	}
	defer func() { _ = h.Close() }() // it was only read
	f := &file{path: path}
	f.f.Store(h)
	if d := f.intact(); errors.As(d, new(*integrity.DamageError)) {
		return d
	}
	return err
}

// closeDB closes the database or, if bbolt cannot do that any more, its file: the
// lock ends with it, and what is left is the memory where it was mapped.
func closeDB(db *bbolt.DB, f *file) error {
	if f.stuck.Load() {
		return f.f.Load().Close()
	}
	return db.Close()
}

// openError makes an error of opening path one of those that Open returns.
func openError(path string, err error) error {
	var damage *integrity.DamageError
	var newer *store.VersionError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, berrors.ErrTimeout):
		return &store.HeldError{Path: path, Holder: readHolder(path)}
	case errors.Is(err, berrors.ErrInvalid), errors.Is(err, berrors.ErrChecksum), errors.Is(err, berrors.ErrVersionMismatch):
		return corrupt(path, integrity.Damaged("it is not a database, or its first pages are damaged: %v", err))
	case errors.As(err, &damage):
		return corrupt(path, err)
	case errors.As(err, &newer), errors.Is(err, errForeign), errors.Is(err, errEarlier):
		return err
	}
	return &store.UnavailableError{Op: "open", Cause: err}
}

// errForeign is the error of a database that is not a store.
var errForeign = errors.New("boltstore: the file is a bbolt database, but not a store")

// errEarlier is the error of a store whose format was never released.
var errEarlier = errors.New("boltstore: the store is of a format from before the first release")

// inspect verifies a file that is there, reading it only, before it is opened in
// earnest: opening it has bbolt believe it, and changes it.
func inspect(path string) (err error) {
	f := &file{path: path}
	db, err := openDB(f, true)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeDB(db, f)) }()
	if err := verify(f, false, firstDamage); err != nil {
		return openError(path, err)
	}
	return openError(path, f.in(db.View, func(tx *bbolt.Tx) error {
		if err := recognise(tx, path); err != nil || tx.Bucket(bucketKey) == nil {
			return err
		}
		j, _, err := f.readJournal(tx, firstDamage)
		if err != nil {
			return err
		}
		_, err = readBatch(tx, Options{Now: timeless}, j)
		return err
	}))
}

// recognise returns an error if the database is neither empty nor a store that this
// version of the program knows.
func recognise(tx *bbolt.Tx, path string) error {
	if k, _ := tx.Cursor().First(); k == nil {
		return nil
	}
	root := tx.Bucket(bucketKey)
	if root == nil {
		return fmt.Errorf("%w: %s has no bucket %s", errForeign, path, Bucket)
	}
	_, have, err := decodeHead(root.Get(headKey))
	switch {
	case err != nil:
		return integrity.Damaged("the head of the file: %v", err)
	case have > version:
		return &store.VersionError{Path: path, Have: have, Known: version}
	case have < version:
		return fmt.Errorf("%w: %s has format version %d, and this program reads version %d", errEarlier, path, have, version)
	}
	t, err := tableOf(tx)
	if err == nil {
		err = t.open()
	}
	return err
}

// begin begins an epoch.
func (s *Store) begin() error {
	// A process that was killed may have left a commit that the disk does not have.
	if err := s.file.confirm(); err != nil {
		return err
	}
	var h head
	var moved bool
	var txid uint64
	err := s.file.in(s.db.Update, func(tx *bbolt.Tx) (err error) {
		txid = uint64(tx.ID())
		h, moved, err = s.enter(tx)
		return err
	})
	if err != nil {
		return err
	}
	m, err := s.file.meta()
	if err != nil {
		return err
	}
	s.epoch = h.epoch
	s.file.pageSize.Store(m.pageSize)
	s.publish(h, txid)
	if moved {
		if err := s.again(); err != nil {
			return err
		}
	}
	return s.file.in(s.db.View, func(tx *bbolt.Tx) (err error) {
		s.journal, s.area, err = s.file.readJournal(tx, firstDamage)
		return err
	})
}

// enter begins an epoch in the database, which may be empty, and returns its head; moved
// says that the journal has another area than before.
func (s *Store) enter(tx *bbolt.Tx) (h head, moved bool, err error) {
	if err := recognise(tx, s.path); err != nil {
		return head{}, false, err
	}
	if tx.Bucket(bucketKey) == nil {
		h, err = s.found(tx)
		return h, true, err
	}
	j, area, err := s.file.readJournal(tx, firstDamage)
	if err != nil {
		return head{}, false, err
	}
	b, err := readBatch(tx, s.opts, j)
	if err != nil {
		return head{}, false, err
	}
	b.reopen()
	size := s.opts.journalSize()
	if moved = size != j.Size(); moved {
		err = errors.Join(b.empty(j), b.resize(size))
	} else {
		err = s.file.rewrite(j, area) // the commit of the transaction syncs it
	}
	return b.head, moved, errors.Join(err, b.finish())
}

// found makes the store in an empty database.
func (s *Store) found(tx *bbolt.Tx) (head, error) {
	h := head{created: s.opts.Now().UTC().Round(0)}
	_, _ = rand.Read(h.id[:]) // it never fails
	h.generation = h.generation.Next()
	h.reopen()
	if err := createTable(tx); err != nil {
		return h, err
	}
	b, err := newBatch(tx, s.opts, h)
	if err != nil {
		return h, err
	}
	if size := s.opts.journalSize(); size > 0 {
		err = b.resize(size)
	}
	return h, errors.Join(err, b.finish())
}
