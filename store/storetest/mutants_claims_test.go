package storetest_test

import (
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/warren-rpc/warren/store"
)

// claimMutants are wrong about who may do what to a record.
var claimMutants = map[string]breakage{
	"lets any token complete": {"TokenTheft Histories", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			err := m.Store.Complete(ctx, key, token, r, retention)
			if errors.Is(err, store.ErrStale) {
				return m.Store.Complete(ctx, key, m.current(ctx, key).Token, r, retention)
			}
			return err
		}
	}},
	"completes what has ended": {"TokenTheft EndsRace Completed", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			err := m.Store.Complete(ctx, key, token, r, retention)
			if errors.Is(err, store.ErrStale) && m.current(ctx, key).State.Ended() {
				return nil
			}
			return err
		}
	}},
	"lets any token renew": {"TokenTheft LeaseEnds", func(m *mutant) {
		m.renew = func(ctx context.Context, key store.Key, _ uint64, lease time.Duration) error {
			return m.Store.Renew(ctx, key, m.current(ctx, key).Token, lease)
		}
	}},
	"lets any token abandon": {"TokenTheft TakeoversRace", func(m *mutant) {
		m.abandon = func(ctx context.Context, key store.Key, _ uint64, end store.AttemptEnd) error {
			return m.Store.Abandon(ctx, key, m.current(ctx, key).Token, end)
		}
	}},
	"counts attempts that ended": {"Histories", func(m *mutant) {
		m.abandon = func(ctx context.Context, key store.Key, token uint64, _ store.AttemptEnd) error {
			return m.Store.Abandon(ctx, key, token, store.Unended)
		}
	}},
	"keeps what was undone": {"Undone Histories", func(m *mutant) {
		m.abandon = func(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
			if end == store.Undone {
				end = store.Ended
			}
			return m.Store.Abandon(ctx, key, token, end)
		}
	}},
	"takes each claim for the first": {"Undone Histories", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			r.First = r.First || won
			return r, won, err
		}
	}},
	"lets the newest token but one complete": {"TokenTheft LeaseEnds ReopenEndsOwners Histories", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			if now := m.current(ctx, key); now.State == store.InProgress && token+1 == now.Token {
				token = now.Token
			}
			return m.Store.Complete(ctx, key, token, r, retention)
		}
	}},
	"lets all claims win": {"ClaimsRace LosingClaims Concurrent", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			return r, won || err == nil && r.State == store.InProgress, err
		}
	}},
	"looks and then claims": {"ClaimsRace TakeoversRace SeveralOwners", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			before := m.current(ctx, c.Key).State
			time.Sleep(time.Millisecond)
			r, won, err := m.Store.Claim(ctx, c)
			return r, won || before == store.Absent || before == store.Interrupted, err
		}
	}},
	"looks and then buries": {"BuryRacesClaim", func(m *mutant) {
		m.bury = func(ctx context.Context, b store.Claim) (store.Record, error) {
			before := m.current(ctx, b.Key)
			time.Sleep(time.Millisecond)
			_, err := m.Store.Bury(ctx, b)
			return before, err
		}
	}},
	"takes others' claims for dead": {"SeveralOwners", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			if r := m.current(ctx, c.Key); r.State == store.InProgress && r.Owner != m.Store.Owner() {
				_ = m.Store.Abandon(ctx, c.Key, r.Token, store.Unended)
			}
			return m.Store.Claim(ctx, c)
		}
	}},
	"forgets the method": {"ClaimBegins", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Method = ""
			return m.Store.Claim(ctx, c)
		}
	}},
	"returns the losing claim's own call": {"LosingClaims", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			r.CallID = c.CallID
			return r, won, err
		}
	}},
	"loses the fingerprint": {"Fingerprints ClaimBegins", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Fingerprint = store.Fingerprint{}
			return m.Store.Claim(ctx, c)
		}
	}},
	"looks at fingerprints while a record is in progress only": {"Fingerprints Histories", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			if r := m.current(ctx, c.Key); r.State.Ended() {
				c.Fingerprint = r.Fingerprint
			}
			return m.Store.Claim(ctx, c)
		}
	}},
	"takes the zero fingerprint for one like others": {"Fingerprints", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			if r := m.current(ctx, c.Key); r.State != store.Absent && r.Fingerprint != c.Fingerprint {
				return r, false, store.ErrKeyReused
			}
			return m.Store.Claim(ctx, c)
		}
	}},
	"ignores Once": {"Once ReopenEndsOwners Histories", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Once = false
			return m.Store.Claim(ctx, c)
		}
	}},
	"ignores Unpark": {"Unpark Histories", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Unpark = false
			return m.Store.Claim(ctx, c)
		}
	}},
	"takes out of Parked unasked": {"LosingClaims Unpark", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Unpark = true
			return m.Store.Claim(ctx, c)
		}
	}},
	"keeps the end of what is taken out of Parked": {"Unpark", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			before := m.current(ctx, c.Key)
			r, won, err := m.Store.Claim(ctx, c)
			if won && before.State == store.Parked {
				r.Payload, r.Retained = before.Payload, true
			}
			return r, won, err
		}
	}},
	"counts attempts anew": {"TokensRise LeaseEnds ClaimsRace", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			r.Attempts = min(r.Attempts, 1)
			return r, err
		}
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			r.Attempts = min(r.Attempts, 1)
			return r, won, err
		}
	}},
	"begins tokens at 1 when it is opened": {"ReopenEndsOwners Histories", func(m *mutant) {
		if m.opened > 1 {
			m.tokens = make(map[store.Key]uint64)
		}
		m.rebase(m.opened > 1)
	}},
	"begins tokens at 1 after a record was forgotten": {"TokensOutliveRecords", func(m *mutant) { m.rebase(true) }},
	"gives up without a trace": {"Abandon Once", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			if r.State == store.Interrupted {
				return store.Record{Key: key}, err
			}
			return r, err
		}
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			if m.current(ctx, c.Key).State == store.Interrupted {
				c.Once = false
			}
			return m.Store.Claim(ctx, c)
		}
	}},
	"shows the dead as living": {"LeaseEnds ReopenEndsOwners", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			if r.State == store.Interrupted {
				r.State = store.InProgress
			}
			return r, err
		}
	}},
	"renews nothing": {"RenewExtends LivingStay Histories", func(m *mutant) {
		m.renew = func(ctx context.Context, key store.Key, token uint64, _ time.Duration) error {
			r := m.current(ctx, key)
			return m.Store.Renew(ctx, key, token, max(1, r.Lease.Sub(m.now())))
		}
	}},
	"refuses late ends": {"LateOwner Histories", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			if m.current(ctx, key).State == store.Interrupted {
				return store.ErrStale
			}
			return m.Store.Complete(ctx, key, token, r, retention)
		}
	}},
	"is another store each time": {"IdentityStays", func(m *mutant) {
		m.identity = func() store.Identity { return store.Identity{ID: rand.Text(), Created: m.Store.Identity().Created} }
	}},
	"is the same store as all": {"IdentityStays", func(m *mutant) {
		m.identity = func() store.Identity { return store.Identity{ID: "me", Created: m.Store.Identity().Created} }
	}},
	"has one name for ever": {"OwnerIsNew", func(m *mutant) {
		m.owner = func() string { return "me" }
	}},
	"gives up its claims when it is closed": {"ReopenEndsOwners", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.tokens[c.Key] = r.Token
			return r, won, err
		}
		m.close = func() error {
			m.mu.Lock()
			defer m.mu.Unlock()
			for key, token := range m.tokens {
				_ = m.Store.Abandon(context.Background(), key, token, store.Unended)
			}
			return m.Store.Close()
		}
	}},
	"takes one key for another": {"ManyKeys", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			clear(c.Key[2:])
			return m.Store.Claim(ctx, c)
		}
	}},
}

// current returns the record of the store that works.
func (m *mutant) current(ctx context.Context, key store.Key) store.Record {
	r, _ := m.Store.Get(context.WithoutCancel(ctx), key)
	return r
}

// rebase lets tokens begin at 1 from the claims on that make a record or, if that is
// not asked for, from the first one that is seen.
func (m *mutant) rebase(again bool) {
	base := func(key store.Key) uint64 {
		m.mu.Lock()
		defer m.mu.Unlock()
		return m.tokens[key]
	}
	m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
		r, err := m.Store.Get(ctx, key)
		r.Token -= min(r.Token, base(key))
		return r, err
	}
	m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
		r, won, err := m.Store.Claim(ctx, c)
		m.mu.Lock()
		defer m.mu.Unlock()
		if _, known := m.tokens[c.Key]; won && again && (!known || r.Attempts == 1) {
			m.tokens[c.Key] = r.Token - 1
		}
		r.Token -= min(r.Token, m.tokens[c.Key])
		return r, won, err
	}
	m.renew = func(ctx context.Context, key store.Key, token uint64, lease time.Duration) error {
		return m.Store.Renew(ctx, key, token+base(key), lease)
	}
	m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
		return m.Store.Complete(ctx, key, token+base(key), r, retention)
	}
	m.abandon = func(ctx context.Context, key store.Key, token uint64, end store.AttemptEnd) error {
		return m.Store.Abandon(ctx, key, token+base(key), end)
	}
}
