package redisstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

// win claims, and the claim must win.
func win(tb testing.TB, s *Store, c store.Claim) store.Record {
	tb.Helper()
	r, won, err := s.Claim(tb.Context(), c)
	if err != nil || !won {
		tb.Fatalf("Claim: won %v, error %v, record %+v", won, err, r)
	}
	return r
}

func complete(tb testing.TB, s *Store, r store.Record) {
	tb.Helper()
	if err := s.Complete(tb.Context(), r.Key, r.Token, done, time.Hour); err != nil {
		tb.Fatalf("Complete: %v", err)
	}
}

// work claims and completes calls until it is stopped, and keeps what was confirmed.
type work struct {
	next      atomic.Int64
	mu        sync.Mutex
	confirmed map[store.Key]store.State
	stop      chan struct{}
	group     sync.WaitGroup
}

// startWork has workers call the store. They judge each error, and go on.
func startWork(s *Store, judge func(error)) *work {
	w := &work{confirmed: make(map[store.Key]store.State), stop: make(chan struct{})}
	for range 8 {
		w.group.Go(func() {
			for {
				select {
				case <-w.stop:
					return
				default:
				}
				if err := w.call(s); err != nil {
					judge(err)
					time.Sleep(time.Millisecond)
				}
			}
		})
	}
	return w
}

func (w *work) call(s *Store) error {
	key := numbered(w.next.Add(1))
	r, won, err := s.Claim(context.Background(), claimOf(key))
	if err != nil {
		return err
	}
	if !won {
		return fmt.Errorf("a new call was not begun: %+v", r)
	}
	w.note(key, store.InProgress)
	if err := s.Complete(context.Background(), key, r.Token, done, time.Hour); err != nil {
		w.note(key, store.Absent) // nobody knows
		return err
	}
	w.note(key, store.Completed)
	return nil
}

func (w *work) note(key store.Key, state store.State) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.confirmed[key] = state
}

func (w *work) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.confirmed)
}

func (w *work) end() map[store.Key]store.State {
	close(w.stop)
	w.group.Wait()
	return w.confirmed
}

// It shows what a kill of the process leaves, which is what the system has taken from it. That
// Redis has it on the disk then, for when the power fails, is for its configuration to say:
// TestRedisIsTakenAsItIsConfigured.
func TestRedisWhoseProcessIsKilledLosesNothing(t *testing.T) {
	t.Parallel()
	server := startServer(t, "appendfsync", "always")
	s := open(t, server.URL(), Options{Durability: OnDisk})
	w := startWork(s, func(err error) {
		if _, ok := errors.AsType[*store.UnavailableError](err); !ok {
			t.Errorf("while Redis is killed: %v; want an UnavailableError", err)
		}
	})
	for range 3 {
		before := w.count()
		patience.Eventually(t, "calls are made", func() bool { return w.count() > before+100 })
		server.Kill()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := w.count()
	patience.Eventually(t, "calls are made after a restart", func() bool { return w.count() > before+100 })
	for key, state := range w.end() {
		got, err := s.Get(t.Context(), key)
		if err != nil || state == store.Completed && got.State != store.Completed || got.State == store.Absent {
			t.Errorf("what was confirmed as %v is %v: %v", state, got.State, err)
		}
	}
}

// lost checks that the store does nothing any more.
func lost(t *testing.T, s *Store, c store.Claim) {
	t.Helper()
	_, get := s.Get(t.Context(), c.Key)
	_, won, claim := s.Claim(t.Context(), c)
	_, bury := s.Bury(t.Context(), c)
	_, stats := s.Stats(t.Context())
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	for name, err := range map[string]error{
		"Get": get, "Claim": claim, "Bury": bury, "Wait": s.Wait(ctx, c.Key, 1), "Renew": s.Renew(t.Context(), c.Key, 1, time.Hour),
		"Stats": stats, "Each": s.Each(t.Context(), func(store.Record) error { return nil }),
		"Complete": s.Complete(t.Context(), c.Key, 1, done, time.Hour), "Abandon": s.Abandon(t.Context(), c.Key, 1, store.Ended),
	} {
		if _, ok := errors.AsType[*store.CorruptError](err); !ok {
			t.Errorf("%s after data were lost: %v; want a CorruptError", name, err)
		}
	}
	if won {
		t.Error("a claim has won after data were lost")
	}
}

func TestRedisThatWasEmptiedIsNoticed(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	s := open(t, server.URL(), Options{})
	idle := open(t, server.URL(), Options{})
	first := claimOf(numbered(-1))
	complete(t, s, win(t, s, first))
	var refused atomic.Int64
	w := startWork(s, func(err error) {
		if _, ok := errors.AsType[*store.CorruptError](err); !ok {
			t.Errorf("after FLUSHALL: %v; want a CorruptError", err)
		}
		refused.Add(1)
	})
	patience.Eventually(t, "calls are made", func() bool { return w.count() > 100 })
	server.do(t, "flushall")
	patience.Eventually(t, "calls are refused", func() bool { return refused.Load() > 20 })
	before := w.count()
	patience.Eventually(t, "more calls are refused", func() bool { return refused.Load() > 100 })
	if after := w.count(); after != before {
		t.Errorf("%d calls were begun in an empty Redis", after-before)
	}
	w.end()
	lost(t, s, first)
	lost(t, idle, first)
	next := open(t, server.URL(), Options{})
	if next.Identity().ID == s.Identity().ID {
		t.Errorf("the store that was made after it has the same identity, %s", s.Identity().ID)
	}
	win(t, next, first)
	lost(t, s, first)
}
