package storetest_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/store/storetest"
)

type (
	application = func(tx *memstore.Tx) (store.Result, error)
	transact    = func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error
)

// transactionalMutants break Transact: they get the store that works and return what
// stands in for it.
var transactionalMutants = map[string]struct {
	groups string
	change func(*transactional) transact
}{
	"calls the application before it looks at the token": {"StaleNeverRuns", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			err := m.Store.Transact(ctx, key, token, retention, fn)
			if errors.Is(err, store.ErrStale) {
				_ = m.beside(ctx, fn)
			}
			return err
		}
	}},
	"keeps the effect of what failed": {"RollsBackBoth Neighbours", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			err := m.Store.Transact(ctx, key, token, retention, fn)
			if err != nil && !errors.Is(err, store.ErrStale) {
				_ = m.beside(ctx, fn)
			}
			return err
		}
	}},
	"completes the record of what failed": {"RollsBackBoth Neighbours", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			err := m.Store.Transact(ctx, key, token, retention, fn)
			if err != nil && !errors.Is(err, store.ErrStale) {
				_ = m.Store.Complete(ctx, key, token, store.Result{State: store.Failed}, retention)
			}
			return err
		}
	}},
	"doubles the effect of neighbours": {"Neighbours OneTokenRace", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			if r, err := m.Get(ctx, key); err == nil && r.State == store.InProgress {
				_ = m.beside(ctx, fn)
			}
			return m.Store.Transact(ctx, key, token, retention, fn)
		}
	}},
	"commits the record without the effect": {"CommitsBoth Neighbours", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			var result store.Result
			rollBack := errors.New("roll back")
			err := m.Store.Transact(ctx, key, token, retention, func(tx *memstore.Tx) (r store.Result, err error) {
				if result, err = fn(tx); err != nil {
					return result, err
				}
				return result, rollBack
			})
			if errors.Is(err, rollBack) {
				return m.Complete(ctx, key, token, result, retention)
			}
			return err
		}
	}},
	"swallows panics": {"RollsBackBoth", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) (err error) {
			defer func() { _ = recover() }()
			return m.Store.Transact(ctx, key, token, retention, fn)
		}
	}},
	"ends as whatever it is told": {"RollsBackBoth Neighbours", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			return m.Store.Transact(ctx, key, token, retention, func(tx *memstore.Tx) (store.Result, error) {
				r, err := fn(tx)
				if r.Validate() != nil {
					r.State = store.Failed
				}
				return r, err
			})
		}
	}},
	"wraps the application's error": {"RollsBackBoth", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			if err := m.Store.Transact(ctx, key, token, retention, fn); err != nil {
				return fmt.Errorf("the transaction failed: %w", err)
			}
			return nil
		}
	}},
	"commits and says that it was closed": {"CloseUnderWork", func(m *transactional) transact {
		return func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn application) error {
			err := m.Store.Transact(ctx, key, token, retention, fn)
			for limit := time.Now().Add(time.Second); !m.closed.Load() && time.Now().Before(limit); {
				time.Sleep(time.Millisecond)
			}
			if m.closed.Load() {
				return store.ErrClosed
			}
			return err
		}
	}},
	"claims beside a transaction and says that it did not": {"ContextEndsInside", func(m *transactional) transact {
		m.late = true
		return m.Store.Transact
	}},
}

// transactional is a store whose transactions break the contract.
type transactional struct {
	*memstore.Store
	transact transact
	keys     atomic.Uint64
	closed   atomic.Bool
	late     bool // a claim waits, and then says that its context has ended
}

func (m *transactional) Transact(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx *memstore.Tx) (store.Result, error)) error {
	return m.transact(ctx, key, token, retention, fn)
}

func (m *transactional) Claim(ctx context.Context, c store.Claim) (store.Record, bool, error) {
	if !m.late {
		return m.Store.Claim(ctx, c)
	}
	r, won, err := m.Store.Claim(context.WithoutCancel(ctx), c)
	return r, won, errors.Join(err, ctx.Err())
}

func (m *transactional) Close() error {
	m.closed.Store(true)
	return m.Store.Close()
}

// beside calls the application in a transaction that commits whatever it says.
func (m *transactional) beside(ctx context.Context, fn application) error {
	c := store.Claim{Key: store.Scope{Namespace: "beside", CallID: fmt.Sprint(m.keys.Add(1))}.Key(), Lease: time.Hour, Retention: time.Hour}
	r, _, err := m.Store.Claim(ctx, c)
	if err != nil {
		return err
	}
	return m.Store.Transact(ctx, c.Key, r.Token, time.Hour, func(tx *memstore.Tx) (store.Result, error) {
		_, _ = fn(tx)
		return store.Result{State: store.Completed}, nil
	})
}

// breakingTransactions opens stores that work or, in a process that is to fail,
// mutants.
func breakingTransactions(t *testing.T, f *folders) storetest.Open {
	t.Helper()
	name := os.Getenv(mutantName)
	if name == "" {
		return f.open
	}
	change := transactionalMutants[name].change
	if change == nil {
		t.Fatalf("there is no mutant %q", name)
	}
	return func(_ testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
		m := &transactional{Store: f.openMemory(dir, now, o)}
		m.transact = change(m)
		return m
	}
}
