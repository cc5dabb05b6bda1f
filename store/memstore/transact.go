package memstore

import (
	"context"
	"slices"
	"time"

	"github.com/warren-rpc/warren/store"
)

// Tx is a transaction on an application's own values, which are kept beside the
// records. It is used by one goroutine, while the function that it was given to runs;
// it panics if it is used later.
type Tx struct {
	data    *Data
	changes map[string][]byte // nil: deleted
	over    bool
}

// Get returns a copy of the value, or nil if there is none.
func (tx *Tx) Get(key string) []byte {
	tx.check()
	value, changed := tx.changes[key]
	if !changed {
		value = tx.data.values[key]
	}
	return slices.Clone(value)
}

// Put sets the value to a copy of this one, which may be empty.
func (tx *Tx) Put(key string, value []byte) {
	tx.check()
	tx.changes[key] = append([]byte{}, value...)
}

// Delete removes the value, if there is one.
func (tx *Tx) Delete(key string) {
	tx.check()
	tx.changes[key] = nil
}

func (tx *Tx) check() {
	if tx.over {
		panic("memstore: a transaction was used after its function had returned")
	}
}

func (tx *Tx) commit() {
	for key, value := range tx.changes {
		if value == nil {
			delete(tx.data.values, key)
		} else {
			tx.data.values[key] = value
		}
	}
}

// Transact implements [store.Transactional]. It calls fn once, with all other users
// of the data waiting: fn must not call a store on them.
func (s *Store) Transact(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx *Tx) (store.Result, error)) error {
	if retention <= 0 {
		return errRetention
	}
	return s.owned(ctx, key, token, func(r store.Record, now time.Time) error {
		tx := &Tx{data: s.data, changes: make(map[string][]byte)}
		var result store.Result
		var err error
		s.data.lend(func() {
			defer func() { tx.over = true }()
			result, err = fn(tx)
		})
		if err != nil {
			return err
		}
		if err := result.Validate(); err != nil {
			return err
		}
		tx.commit()
		s.complete(r, result, retention, now)
		return nil
	})
}

// Value returns a copy of one of the application's values, as the transactions that
// were committed left it, or nil if there is none.
func (s *Store) Value(ctx context.Context, key string) (value []byte, err error) {
	err = s.locked(ctx, func(time.Time) error {
		value = slices.Clone(s.data.values[key])
		return nil
	})
	return value, err
}
