package storetest_test

import (
	"context"
	"time"

	"github.com/warren-rpc/warren/store"
)

const learnsNoDeath = "does not learn of deaths"

// sharedMutants are wrong about what several processes do to one store.
var sharedMutants = map[string]breakage{
	"lets an owner complete that was replaced": {"PausedOwnerIsFenced SeveralOwners", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			if now, err := m.Store.Get(ctx, key); err == nil && now.State == store.InProgress {
				token = now.Token
			}
			return m.Store.Complete(ctx, key, token, r, retention)
		}
	}},
	"lets an owner give up what it was replaced in": {"PausedOwnerIsFenced SeveralOwners", func(m *mutant) {
		m.abandon = func(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
			if now, err := m.Store.Get(ctx, key); err == nil && now.State == store.InProgress {
				token = now.Token
			}
			return m.Store.Abandon(ctx, key, token, end)
		}
	}},
	"lets each process win": {"ProcessesShareCalls SeveralOwners", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			if err == nil && !won && r.State == store.InProgress && r.Owner != m.Store.Owner() {
				won = true
			}
			return r, won, err
		}
	}},
	"knows its own records alone": {"ProcessesShareCalls KilledOwnerIsReplaced SeveralOwners", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			owner := m.Store.Owner()
			for i := range c.Key {
				c.Key[i] ^= owner[len(owner)-1-i%10]
			}
			return m.Store.Claim(ctx, c)
		}
	}},
	// See mortal.Close.
	learnsNoDeath: {"KilledOwnerIsReplaced ClosedOwnerDies", func(*mutant) {}},
	"takes who is connected for alive": {"PausedOwnerIsFenced", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Lease = 1000 * time.Hour
			return m.Store.Claim(ctx, c)
		}
	}},
	"wakes nobody": {"WaitEnds WaitForNothing", func(m *mutant) {
		m.wait = func(ctx context.Context, _ store.Key, _ uint64) error {
			<-ctx.Done()
			return ctx.Err()
		}
	}},
	"wakes everybody": {"WaitEnds WaitGivesUp", func(m *mutant) {
		m.wait = func(ctx context.Context, _ store.Key, _ uint64) error { return ctx.Err() }
	}},
	"wakes late": {"WaitEnds", func(m *mutant) {
		m.wait = func(ctx context.Context, key store.Key, token uint64) error {
			err := m.delegate(ctx, key, token)
			time.Sleep(100 * time.Millisecond)
			return err
		}
	}},
	"waits when it is closed": {"WaitGivesUp", func(m *mutant) {
		m.wait = func(ctx context.Context, key store.Key, token uint64) error {
			err := m.delegate(ctx, key, token)
			if err != nil {
				<-ctx.Done()
				return ctx.Err()
			}
			return nil
		}
	}},
}
