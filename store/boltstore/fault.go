package boltstore

import (
	"errors"
	"fmt"
	"runtime"
	"runtime/debug"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/boltstore/internal/integrity"
)

// guard calls f and returns its error. What bbolt, or the processor, has to say of
// a damaged file by a panic is a damage: a page that is not what it should be, or
// one behind the end of a file that was truncated, which is a fault of the mapped
// memory. The panic must be met on the goroutine of f.
func guard(f func() error) error {
	return guardIf(func(any) bool { return true }, f)
}

// guardIf is guard for the panics that are taken for damage; others go on.
func guardIf(damage func(p any) bool, f func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		p := recover()
		switch {
		case p == nil: // f has returned, or its goroutine ends
		case damage(p):
			err = integrity.Damaged("%v", p)
		default:
			panic(p)
		}
	}()
	return f()
}

// faulted reports whether a panic comes from a page that cannot be read. Panics
// for all other reasons are of the program that runs.
func faulted(p any) bool {
	err, ok := p.(runtime.Error)
	var address interface{ Addr() uintptr }
	return ok && errors.As(err, &address)
}

// in runs fn in a transaction of bbolt, which begin, its View or Update, makes. What
// a damaged file does to bbolt is a damage, and leaves bbolt so that it can be
// closed or, if it cannot, is marked as stuck.
func (f *file) in(begin func(func(*bbolt.Tx) error) error, fn func(*bbolt.Tx) error) error {
	if err := f.intact(); err != nil {
		return err
	}
	var tx *bbolt.Tx
	returned := false
	err := guard(func() error {
		err := begin(func(t *bbolt.Tx) error {
			tx = t
			// Guarded in here, a panic is a plain rollback, which reads no page.
			return guard(func() error { return fn(tx) })
		})
		returned = true
		return err
	})
	if !returned {
		f.release(tx)
	}
	return err
}

// release ends a transaction that a panic has left open. If that does not work, or
// the panic came when the transaction began, bbolt has been left locked.
func (f *file) release(tx *bbolt.Tx) {
	err := guard(func() error {
		if tx == nil {
			return integrity.Damaged("bbolt is locked")
		}
		if tx.DB() != nil {
			return tx.Rollback()
		}
		return nil
	})
	if err != nil {
		f.stuck.Store(true)
	}
}

// corrupt makes a damage the error of a path; other errors stay as they are.
func corrupt(path string, err error) error {
	var d *integrity.DamageError
	if !errors.As(err, &d) {
		return err
	}
	return &store.CorruptError{Path: path, Detail: d.Detail, Repair: fmt.Sprintf("warren store check %s", path), Cause: err}
}
