package storetest_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"time"

	"github.com/warren-rpc/warren/store"
)

// endMutants are wrong about what they keep, for how long, and how they end.
var endMutants = map[string]breakage{
	"keeps the caller's payload": {"PayloadIsCopied", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			err := m.Store.Complete(ctx, key, token, r, retention)
			m.mu.Lock()
			defer m.mu.Unlock()
			m.buffers[key] = r.Payload
			return err
		}
		m.payloads(func(key store.Key, _ []byte) []byte { return m.buffers[key] })
	}},
	"returns a buffer that it uses again": {"PayloadIsCopied", func(m *mutant) {
		buffer := make([]byte, 0, 4096)
		m.payloads(func(_ store.Key, payload []byte) []byte {
			buffer = append(buffer[:0], payload...)
			return buffer
		})
	}},
	"cuts payloads at a page": {"PayloadSizes", func(m *mutant) {
		m.payloads(func(_ store.Key, payload []byte) []byte { return payload[:min(len(payload), 16<<10)] })
	}},
	"has no digest of what it does not keep": {"PayloadSizes", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			if !r.Retained {
				r.Digest = [sha256.Size]byte{}
			}
			return r, err
		}
	}},
	"does not say that it has not kept a payload": {"PayloadSizes", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			r.Retained = r.State.Ended()
			return r, err
		}
	}},
	"buries what is in progress": {"Bury Histories", func(m *mutant) {
		m.bury = func(ctx context.Context, b store.Claim) (store.Record, error) {
			before := m.current(ctx, b.Key)
			_ = m.Store.Abandon(ctx, b.Key, before.Token, store.Unended)
			_, err := m.Store.Bury(ctx, b)
			return before, err
		}
	}},
	"buries nothing that was begun": {"Bury Histories", func(m *mutant) {
		m.bury = func(ctx context.Context, b store.Claim) (store.Record, error) {
			if before := m.current(ctx, b.Key); before.State == store.Interrupted {
				return before, nil
			}
			return m.Store.Bury(ctx, b)
		}
	}},
	"tells of calls that were not proven": {"BuriedCalls Histories", func(m *mutant) {
		m.bury = func(ctx context.Context, b store.Claim) (store.Record, error) {
			if before := m.current(ctx, b.Key); before.State != store.Absent && b.Fingerprint.Proven() {
				b.Fingerprint = before.Fingerprint
			}
			return m.Store.Bury(ctx, b)
		}
	}},
	"buries whatever has the key": {"BuriedCalls Histories", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			m.mu.Lock()
			_, buried := m.records[c.Key]
			m.mu.Unlock()
			if r := m.current(ctx, c.Key); buried && r.State == store.Absent {
				r.State = store.Tombstone
				return r, false, nil
			}
			return m.Store.Claim(ctx, c)
		}
		m.bury = func(ctx context.Context, b store.Claim) (store.Record, error) {
			before, err := m.Store.Bury(ctx, b)
			m.mu.Lock()
			m.records[b.Key] = before
			m.mu.Unlock()
			return before, err
		}
	}},
	"forgets early what was buried": {"BuriedKeepsItsTime", func(m *mutant) {
		m.bury = func(ctx context.Context, b store.Claim) (store.Record, error) {
			before, err := m.Store.Bury(ctx, b)
			if before.State == store.Interrupted {
				m.mu.Lock()
				m.records[b.Key] = store.Record{Expires: m.now().Add(b.Retention)}
				m.mu.Unlock()
			}
			return before, err
		}
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			m.mu.Lock()
			defer m.mu.Unlock()
			if buried, ok := m.records[key]; ok {
				r.Expires = buried.Expires
			}
			return r, err
		}
	}},
	"notes any number of calls that never came": {"Tombstones", func(m *mutant) {
		m.bury = func(ctx context.Context, b store.Claim) (store.Record, error) {
			before, err := m.Store.Bury(ctx, b)
			if errors.As(err, new(*store.TombstonesError)) {
				err = nil
			}
			return before, err
		}
	}},
	"lets tombstones be claimed": {"Bury LosingClaims ClockJumps", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			if r.State == store.Tombstone {
				r.State, won = store.InProgress, true
			}
			return r, won, err
		}
	}},
	"ends as whatever it is told": {"InvalidArguments Histories", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			if r.Validate() != nil {
				r.State = store.Failed
			}
			return m.Store.Complete(ctx, key, token, r, retention)
		}
	}},
	"accepts no retention": {"InvalidArguments", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Retention = max(1, c.Retention)
			return m.Store.Claim(ctx, c)
		}
	}},
	"accepts no lease": {"InvalidArguments", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			c.Lease = max(1, c.Lease)
			return m.Store.Claim(ctx, c)
		}
	}},
	"keeps an end no longer than the claim asked": {"Completed Histories", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			if left := m.current(ctx, key).Expires.Sub(m.now()); left > 0 && retention > 0 {
				retention = left
			}
			return m.Store.Complete(ctx, key, token, r, retention)
		}
	}},
	"counts the dead among the living": {"Stats", func(m *mutant) {
		m.stats = func(ctx context.Context) (store.Stats, error) {
			s, err := m.Store.Stats(ctx)
			if n := s.Records[store.Interrupted]; n > 0 {
				s.Records[store.InProgress] += n
				delete(s.Records, store.Interrupted)
			}
			return s, err
		}
	}},
	"is younger each time that it is opened": {"ReopenKeeps", func(m *mutant) {
		born := m.now()
		m.stats = func(ctx context.Context) (store.Stats, error) {
			s, err := m.Store.Stats(ctx)
			s.Created = born
			return s, err
		}
	}},
	"remembers for ever": {"Retention", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			m.mu.Lock()
			defer m.mu.Unlock()
			if r.State == store.Absent && m.records[key].State != store.Absent {
				return m.records[key], err
			}
			m.records[key] = r
			return r, err
		}
	}},
	"forgets within half an hour": {"ClockJumps Retention", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			if r.State.Ended() && m.now().Sub(r.Updated) > 30*time.Minute {
				return store.Record{Key: key}, err
			}
			return r, err
		}
	}},
	"sweeps the living": {"LivingStay", func(m *mutant) {
		m.sweep = func(ctx context.Context) (int, error) {
			n, err := m.Store.Sweep(ctx)
			m.mu.Lock()
			defer m.mu.Unlock()
			for key, r := range m.records {
				if r.State == store.InProgress && m.now().After(r.Expires) {
					m.tokens[key] = r.Token
					n++
				}
			}
			return n, err
		}
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.records[key] = r; r.Token > 0 && m.tokens[key] == r.Token {
				return store.Record{Key: key}, err
			}
			return r, err
		}
	}},
	"sweeps nothing": {"Full", func(m *mutant) {
		m.sweep = func(ctx context.Context) (int, error) { return 0, ctx.Err() }
	}},
	"knows no limit": {"Full", func(*mutant) {}},
	"completes nothing when it is full": {"Full", func(m *mutant) {
		m.complete = func(ctx context.Context, key store.Key, token uint64, r store.Result, retention time.Duration) error {
			if s, _ := m.Store.Stats(ctx); s.Limit > 0 && s.Size > s.Limit/5*4 {
				return &store.FullError{Size: s.Size, Limit: s.Limit, RetryAfter: time.Second}
			}
			return m.Store.Complete(ctx, key, token, r, retention)
		}
	}},
	"replays nothing when it is full": {"Full", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			if s, _ := m.Store.Stats(ctx); s.Limit > 0 && s.Size > s.Limit/5*4 {
				return store.Record{}, false, &store.FullError{Size: s.Size, Limit: s.Limit, RetryAfter: time.Second}
			}
			return m.Store.Claim(ctx, c)
		}
	}},
	"does not look at contexts": {"ContextEnded", func(m *mutant) {
		m.stats = func(ctx context.Context) (store.Stats, error) { return m.Store.Stats(context.WithoutCancel(ctx)) }
	}},
	"claims for a context that had ended": {"ContextEnded", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(context.WithoutCancel(ctx), c)
			return r, won, errors.Join(err, ctx.Err())
		}
	}},
	"claims and says that it did not": {"ContextEndsInside", func(m *mutant) {
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			time.Sleep(200 * time.Microsecond)
			return r, won && ctx.Err() == nil, errors.Join(err, ctx.Err())
		}
	}},
	"answers after Close": {"Closed", func(m *mutant) {
		m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
			r, err := m.Store.Get(ctx, key)
			if errors.Is(err, store.ErrClosed) {
				return store.Record{Key: key}, nil
			}
			return r, err
		}
	}},
	"confirms what Close has refused": {"CloseUnderWork Closed", func(m *mutant) {
		told := false
		m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
			r, won, err := m.Store.Claim(ctx, c)
			m.mu.Lock()
			defer m.mu.Unlock()
			if errors.Is(err, store.ErrClosed) && !told {
				told = true
				return store.Record{Key: c.Key, State: store.InProgress, Token: 1, Attempts: 1}, true, nil
			}
			return r, won, err
		}
	}},
	"says that it is durable and is not": {"Killed", func(m *mutant) {
		m.traits = func() store.Traits { return store.Traits{Durable: true, Shared: true} }
	}},
}

// payloads has f say what payloads are returned. It is called by one goroutine at a
// time.
func (m *mutant) payloads(f func(key store.Key, payload []byte) []byte) {
	change := func(r *store.Record) {
		m.mu.Lock()
		defer m.mu.Unlock()
		if r.Retained {
			r.Payload = f(r.Key, r.Payload)
		}
	}
	m.get = func(ctx context.Context, key store.Key) (store.Record, error) {
		r, err := m.Store.Get(ctx, key)
		change(&r)
		return r, err
	}
	m.claim = func(ctx context.Context, c store.Claim) (store.Record, bool, error) {
		r, won, err := m.Store.Claim(ctx, c)
		change(&r)
		return r, won, err
	}
}
