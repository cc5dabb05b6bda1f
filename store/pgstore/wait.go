package pgstore

import (
	"context"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
)

const (
	// pollEvery is how long records that are waited for are left alone between two looks at them; longer if a look
	// takes long.
	pollEvery = 25 * time.Millisecond
	// pollTogether is how many records a look is at, at most.
	pollTogether = 10_000
)

// claimID is a claim that somebody waits for.
type claimID struct {
	key   store.Key
	token uint64
}

// waiters are all who wait in Wait. One goroutine looks for all of them, while there are any: NOTIFY would have all
// commits of the database wait for one another, and does not pass a pooler.
type waiters struct {
	mu      sync.Mutex
	waiting map[claimID]*waiter
	polling bool
	poller  sync.WaitGroup
}

// waiter is a claim that is waited for, by so many.
type waiter struct {
	claim claimID
	users int
	done  chan struct{} // closed when err is set
	err   error
}

// Wait implements [store.Waiter].
func (s *Store) Wait(ctx context.Context, key store.Key, token uint64) error {
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	w := s.join(claimID{key, token})
	defer s.waiters.leave(w)
	select {
	case <-w.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.ending:
		return store.ErrClosed
	}
}

func (s *Store) join(c claimID) *waiter {
	all := &s.waiters
	all.mu.Lock()
	defer all.mu.Unlock()
	w := all.waiting[c]
	if w == nil {
		w = &waiter{claim: c, done: make(chan struct{})}
		if all.waiting == nil {
			all.waiting = make(map[claimID]*waiter)
		}
		all.waiting[c] = w
	}
	w.users++
	if !all.polling {
		all.polling = true
		all.poller.Go(s.poll)
	}
	return w
}

func (all *waiters) leave(w *waiter) {
	all.mu.Lock()
	defer all.mu.Unlock()
	if w.users--; w.users == 0 && all.waiting[w.claim] == w {
		delete(all.waiting, w.claim)
	}
}

// look returns the claims to look at; none if nobody waits: the poller ends then.
func (all *waiters) look() (claims []claimID) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for c := range all.waiting {
		if claims = append(claims, c); len(claims) == pollTogether {
			break
		}
	}
	all.polling = len(claims) > 0
	return claims
}

// answer tells those who wait for the claims.
func (all *waiters) answer(claims []claimID, err error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	for _, c := range claims {
		if w := all.waiting[c]; w != nil {
			delete(all.waiting, c)
			w.err = err
			close(w.done)
		}
	}
}

// poll looks at all claims that are waited for, again and again, until there are none.
func (s *Store) poll() {
	for {
		claims := s.waiters.look()
		if claims == nil {
			return
		}
		begun := time.Now()
		changed, err := s.changed(claims)
		if err != nil {
			changed = claims
		}
		s.waiters.answer(changed, err)
		took := time.Since(begun)
		select {
		case <-time.After(max(pollEvery-took, took)):
		case <-s.ending:
			s.waiters.answer(claims, store.ErrClosed)
		}
	}
}

// changed returns those claims that are not in progress any more with an owner that is alive.
func (s *Store) changed(claims []claimID) (changed []claimID, err error) {
	ctx, cancel := s.detached(context.Background())
	defer cancel()
	conn, err := s.own.Acquire(ctx)
	if err != nil {
		return nil, s.translate("wait", err)
	}
	defer func() { release(ctx, conn, err) }()
	ks, keys, tokens := make([]int64, len(claims)), make([][]byte, len(claims)), make([]int64, len(claims))
	for i, c := range claims {
		ks[i], keys[i], tokens[i] = prefix(c.key), c.key[:], signed(c.token)
	}
	var p pgx.Batch
	p.Queue(settings)
	p.Queue(s.queries.changed, s.options.now(), ks, keys, tokens).Query(func(rows pgx.Rows) error {
		var i int
		_, err := pgx.ForEachRow(rows, []any{&i}, func() error {
			changed = append(changed, claims[i-1])
			return nil
		})
		return err
	})
	if err = conn.SendBatch(ctx, &p).Close(); err != nil {
		return nil, s.translate("wait", err)
	}
	return changed, nil
}
