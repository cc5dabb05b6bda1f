package boltstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

func TestWhatWaitsIsCommittedAsOne(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var commits []Commit
	s := open(t, newPath(t), Options{SweepEvery: -1, OnCommit: func(c Commit) {
		mu.Lock()
		defer mu.Unlock()
		commits = append(commits, c)
	}})
	release := hold(t, s)
	const callers = 2 * maxOps
	var group sync.WaitGroup
	for i := range callers {
		group.Go(func() {
			if _, won, err := s.Claim(context.Background(), claimOf(numbered(i))); err != nil || !won {
				t.Errorf("claim %d: won %v, error %v", i, won, err)
			}
		})
	}
	patience.Eventually(t, "all are in the queue", func() bool { return waiting(s) == callers })
	release()
	group.Wait()
	shut(t, s)
	// The claim of what held the store, that, and two groups.
	if len(commits) != 4 {
		t.Fatalf("there were %d commits: %+v", len(commits), commits)
	}
	for i, want := range []Commit{{Operations: 1}, {Operations: 1}, {Operations: maxOps, Waiting: callers - maxOps}, {Operations: maxOps}} {
		got := commits[i]
		if got.Operations != want.Operations || got.Waiting != want.Waiting || got.Took <= 0 || got.Size <= 0 || got.Err != nil {
			t.Errorf("commit %d is %+v; want %+v", i, got, want)
		}
	}
}

func TestWhatChangesNothingIsNotWritten(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{SweepEvery: -1})
	r := must(t, s, numbered(1))
	before := s.durable.Load()
	for range 3 {
		if _, won, err := s.Claim(t.Context(), claimOf(r.Key)); err != nil || won {
			t.Errorf("Claim: won %v, error %v", won, err)
		}
		if err := s.Renew(t.Context(), r.Key, r.Token, time.Minute); err != nil {
			t.Errorf("Renew: %v", err)
		}
		if err := s.Abandon(t.Context(), r.Key, r.Token+1, store.Unended); !errors.Is(err, store.ErrStale) {
			t.Errorf("Abandon: %v", err)
		}
	}
	if after := s.durable.Load(); after != before {
		t.Errorf("transaction %d, and %d before", after, before)
	}
}

// Close ends what waits, and waits for what runs.
func TestCloseEndsWhatWaits(t *testing.T) {
	t.Parallel()
	s := open(t, newPath(t), Options{SweepEvery: -1})
	release := hold(t, s)
	ended := make(chan error, 1)
	go func() {
		_, _, err := s.Claim(context.Background(), claimOf(numbered(1)))
		ended <- err
	}()
	patience.Eventually(t, "it is in the queue", func() bool { return waiting(s) == 1 })
	var closed sync.WaitGroup
	for range 3 {
		closed.Go(func() { shut(t, s) })
	}
	if err := <-ended; !errors.Is(err, store.ErrClosed) {
		t.Errorf("what waited: %v", err)
	}
	release() // which checks that what ran has been committed
	closed.Wait()
	if _, err := s.Stats(t.Context()); !errors.Is(err, store.ErrClosed) {
		t.Errorf("Stats: %v", err)
	}
}

// A sweep is done in parts, so that others get in between, and by the store itself.
func TestSweepsForgetInParts(t *testing.T) {
	t.Parallel()
	var now atomic.Int64
	now.Store(time.Now().UnixNano())
	var commits atomic.Int32
	o := Options{
		SweepEvery: -1, SweepBatch: 10, Now: func() time.Time { return time.Unix(0, now.Load()) },
		OnCommit: func(Commit) { commits.Add(1) },
	}
	path := newPath(t)
	s := open(t, path, o)
	fill(t, s, 0, 95)
	if n, err := s.Sweep(t.Context()); err != nil || n != 0 || s.journal.Versions() != 0 {
		t.Errorf("Sweep forgot %d, error %v; the journal has %d versions", n, err, s.journal.Versions())
	}
	now.Add(int64(time.Hour))
	before := commits.Load()
	n, err := s.Sweep(t.Context())
	if err != nil || n != 48 { // the others are in progress, and their owner is alive
		t.Errorf("Sweep forgot %d, error %v", n, err)
	}
	patience.Eventually(t, "ten commits", func() bool { return commits.Load()-before == 10 })
	shut(t, s)
	o.SweepEvery = time.Millisecond
	s = open(t, path, o)
	patience.Eventually(t, "a sweep of the store's own", func() bool {
		stats, err := s.Stats(t.Context())
		return err == nil && stats.Total() == 0
	})
}

// The clock decides on retentions alone. Set back, it keeps records longer; set
// forward, it ends retentions; and what is in progress does not mind.
func TestClockThatJumps(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var ahead atomic.Int64
	path := newPath(t)
	o := Options{SweepEvery: -1, Now: func() time.Time { return start.Add(time.Duration(ahead.Load())) }}
	s := open(t, path, o)
	living := must(t, s, numbered(1))
	complete(t, s, must(t, s, numbered(2))) // for an hour
	for _, jump := range []struct {
		to    time.Duration
		state store.State
	}{
		{-time.Hour, store.Completed}, {-1e6 * time.Hour, store.Completed}, {59 * time.Minute, store.Completed},
		{61 * time.Minute, store.Absent}, {0, store.Completed},
	} {
		ahead.Store(int64(jump.to))
		if got := stateOf(t, s, numbered(2)); got != jump.state {
			t.Errorf("at %v it is %v; want %v", jump.to, got, jump.state)
		}
		if err := s.Renew(t.Context(), living.Key, living.Token, time.Minute); err != nil {
			t.Errorf("at %v: Renew: %v", jump.to, err)
		}
		if jump.state == store.Completed {
			if n, err := s.Sweep(t.Context()); err != nil || n != 0 {
				t.Errorf("at %v: Sweep: %d, error %v", jump.to, n, err)
			}
		}
	}
	ahead.Store(int64(-1e6 * time.Hour)) // before 1970
	must(t, s, numbered(3))
	ahead.Store(int64(2 * time.Hour))
	if n, err := s.Sweep(t.Context()); err != nil || n != 1 {
		t.Errorf("Sweep: %d, error %v; what is in progress stays", n, err)
	}
	complete(t, s, living)
	shut(t, s)
	s = open(t, path, o)
	if n, err := s.Sweep(t.Context()); err != nil || n != 1 || stateOf(t, s, living.Key) != store.Completed {
		t.Errorf("in another epoch: Sweep: %d, error %v", n, err)
	}
}
