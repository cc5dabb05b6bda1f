package storetest_test

import (
	"context"
	"sync"
	"time"

	"github.com/warren-rpc/warren/store"
)

// exclusive is a store without leases, made of one with leases: its claims last until
// it is closed, and die then.
type exclusive struct {
	store.Store
	mu    sync.Mutex
	begun map[store.Key]uint64 // tokens of the claims that this store has won
}

func newExclusive(s store.Store) *exclusive {
	return &exclusive{Store: s, begun: make(map[store.Key]uint64)}
}

func (e *exclusive) Traits() store.Traits { return store.Traits{} }

func (e *exclusive) Get(ctx context.Context, key store.Key) (store.Record, error) {
	r, err := e.Store.Get(ctx, key)
	r.Lease = time.Time{}
	return r, err
}

func (e *exclusive) Claim(ctx context.Context, c store.Claim) (store.Record, bool, error) {
	c.Lease = 1000 * time.Hour
	e.mu.Lock()
	defer e.mu.Unlock()
	r, won, err := e.Store.Claim(ctx, c)
	if won {
		e.begun[c.Key] = r.Token
	}
	r.Lease = time.Time{}
	return r, won, err
}

func (e *exclusive) Renew(ctx context.Context, key store.Key, token uint64, _ time.Duration) error {
	r, err := e.Store.Get(ctx, key)
	if err == nil && (r.State != store.InProgress || r.Token != token) {
		return store.ErrStale
	}
	return err
}

func (e *exclusive) Bury(ctx context.Context, b store.Claim) (store.Record, error) {
	r, err := e.Store.Bury(ctx, b)
	r.Lease = time.Time{}
	return r, err
}

func (e *exclusive) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for key, token := range e.begun {
		// What has ended is nobody's any more, and nothing comes of this.
		_ = e.Store.Abandon(context.Background(), key, token, store.Unended)
	}
	return e.Store.Close()
}

// exclusiveMutants are wrong about when the owner of a store without leases is dead.
var exclusiveMutants = map[string]breakage{
	"lets owners die of time": {"NoLeases Histories", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			if r.State == store.InProgress && m.now().Sub(r.Updated) > time.Minute {
				r.State = store.Interrupted
			}
			return r, err
		}
	}},
	"lets owners outlive their store": {"ReopenEndsOwners NoLeases Once", func(m *mutant) {
		m.close = func() error {
			if s, ok := m.Store.(*exclusive); ok {
				return s.Store.Close()
			}
			return m.Store.Close()
		}
	}},
	"renews for anybody": {"TokenTheft NoLeases", func(m *mutant) {
		m.renew = func(ctx context.Context, _ store.Key, _ uint64, _ time.Duration) error { return ctx.Err() }
	}},
}
