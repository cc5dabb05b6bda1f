package redisstore

import (
	"context"
	"sync"
	"time"

	"github.com/warren-rpc/warren/store"
)

const (
	// lookEvery is how often the records are looked at that somebody waits for.
	lookEvery = 25 * time.Millisecond
	// maxLooked is how many records one script looks at.
	maxLooked = 200
)

// watch looks at all records that somebody waits for, together, while anybody waits.
type watch struct {
	s *Store

	mu      sync.Mutex
	waiters map[*waiter]struct{}
	looking bool
	closed  chan struct{}
	ended   bool
	group   sync.WaitGroup
}

type waiter struct {
	key   store.Key
	token uint64
	done  chan error // has room for one, which whoever takes it out of the waiters may send
}

func newWatch(s *Store) *watch {
	return &watch{s: s, waiters: make(map[*waiter]struct{}), closed: make(chan struct{})}
}

// Wait implements [store.Waiter]. It looks at Redis every 25 ms, at all records that
// are waited for at a time.
func (s *Store) Wait(ctx context.Context, key store.Key, token uint64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	w := &waiter{key: key, token: token, done: make(chan error, 1)}
	if !s.watch.add(w) {
		return store.ErrClosed
	}
	select {
	case err := <-w.done:
		return err
	case <-ctx.Done():
		s.watch.remove(w)
		return ctx.Err()
	}
}

func (w *watch) add(waiting *waiter) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	w.waiters[waiting] = struct{}{}
	if !w.looking {
		w.looking = true
		w.group.Go(w.run)
	}
	return true
}

func (w *watch) remove(waiting *waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.waiters, waiting)
}

// end ends a wait, unless it has ended.
func (w *watch) end(waiting *waiter, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, waits := w.waiters[waiting]; waits {
		delete(w.waiters, waiting)
		waiting.done <- err
	}
}

// run looks until nobody waits.
func (w *watch) run() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-w.closed:
			return
		}
		all := w.all()
		if all == nil {
			return
		}
		began := time.Now()
		for len(all) > 0 {
			n := min(len(all), maxLooked)
			w.look(all[:n])
			all = all[n:]
		}
		timer.Reset(max(lookEvery-time.Since(began), lookEvery/5))
	}
}

// all returns those that wait. If it returns nil, nobody looks any more.
func (w *watch) all() (all []*waiter) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for waiting := range w.waiters {
		all = append(all, waiting)
	}
	w.looking = all != nil
	return all
}

// look asks for some records, and ends the waits that are over.
func (w *watch) look(some []*waiter) {
	records, tokens := make([]string, len(some)), make([]any, 0, 2*len(some))
	for i, waiting := range some {
		base, turn := tokenParts(waiting.token)
		records[i] = w.s.keys.record(waiting.key)
		tokens = append(tokens, base, turn)
	}
	a, err := w.s.run(context.Background(), heldScript, records, tokens...)
	for i, waiting := range some {
		if err == nil && i < len(a.record) && a.record[i] == int64(1) {
			continue
		}
		w.end(waiting, err)
	}
}

// stop ends all waits.
func (w *watch) stop() {
	w.mu.Lock()
	w.ended = true
	close(w.closed)
	for waiting := range w.waiters {
		delete(w.waiters, waiting)
		waiting.done <- store.ErrClosed
	}
	w.mu.Unlock()
	w.group.Wait()
}
