package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren/store"
)

// waitGroups judge a store.Waiter.
var waitGroups = []group{
	{name: "WaitForNothing", run: waitForNothing,
		sentence: "Wait returns nil when the record is not in progress any more with this token and an owner that is alive."},
	{name: "WaitEnds", run: waitEnds,
		sentence: "Wait returns nil when the record has ended, was abandoned, taken over or forgotten, or its owner is dead; within 50 ms of that as a rule."},
	{name: "WaitGivesUp", run: waitGivesUp,
		sentence: "Wait returns ctx's error when ctx ends, or fails as Get does."},
}

func isWaiter(s store.Store) bool {
	_, ok := s.(store.Waiter)
	return ok
}

// wait begins to wait. The channel gets what comes of it.
func (e *env) wait(ctx context.Context, r store.Record) <-chan error {
	e.Helper()
	w, ok := e.store.(store.Waiter)
	if !ok {
		e.Fatalf("%T, opened again, is no store.Waiter any more", e.store)
	}
	ended := make(chan error, 1)
	go func() { ended <- w.Wait(ctx, r.Key, r.Token) }()
	return ended
}

// ends checks that a wait ends with nil.
func (e *env) ends(ended <-chan error, after string) {
	e.Helper()
	select {
	case err := <-ended:
		if err != nil {
			e.Errorf("a wait that %s should end: %v", after, err)
		}
	case <-time.After(e.f.Patience):
		e.Fatalf("a wait does not end after %s", after)
	}
}

func waitForNothing(e *env) {
	for state, r := range e.everyState() {
		if state != store.InProgress {
			e.ends(e.wait(e.ctx, r), "a record that is "+state.String())
			continue
		}
		r.Token++
		e.ends(e.wait(e.ctx, r), "another token")
	}
	e.ends(e.wait(e.ctx, store.Record{Key: e.key(), Token: 1}), "an absent record")
}

func waitEnds(e *env) {
	for what, f := range map[string]func(r store.Record){
		"Complete": func(r store.Record) { e.end(r, store.Completed, []byte("done")) },
		"Abandon":  func(r store.Record) { e.abandon(r) },
		"Abandon of a first claim as undone": func(r store.Record) {
			if err := e.store.Abandon(e.ctx, r.Key, r.Token, store.Undone); err != nil {
				e.Errorf("Abandon: %v", err)
			}
		},
		"a takeover": func(r store.Record) {
			e.abandon(r)
			e.win(claimOf(r.Key))
		},
		"the end of a lease": func(r store.Record) {
			if e.clock.move(lease + instant); !e.f.Leases {
				e.abandon(r)
			}
		},
	} {
		r := e.win(claimOf(e.key()))
		// Two wait for this one, and one for another that goes on.
		other := claimOf(e.key())
		other.Lease = 100 * lease
		ctx, cancel := context.WithCancel(e.ctx)
		first, second, unmoved := e.wait(e.ctx, r), e.wait(e.ctx, r), e.wait(ctx, e.win(other))
		time.Sleep(20 * time.Millisecond)
		if len(first) > 0 {
			e.Errorf("a wait ended before %s: %v", what, <-first)
			cancel()
			continue
		}
		f(r)
		e.ends(first, what)
		e.ends(second, what)
		cancel()
		if err := <-unmoved; !errors.Is(err, context.Canceled) {
			e.Errorf("a wait for a record that goes on has ended after %s of another: %v", what, err)
		}
	}
	e.waitsAreShort()
}

// waitsAreShort measures the best of some waits: others may have had to wait for the
// processor.
func (e *env) waitsAreShort() {
	e.Helper()
	const most = 50 * time.Millisecond
	best := time.Hour
	for range 10 {
		r := e.win(claimOf(e.key()))
		ended := e.wait(e.ctx, r)
		time.Sleep(30 * time.Millisecond)
		result := store.Result{State: store.Completed}
		if err := e.store.Complete(e.ctx, r.Key, r.Token, result, retention); err != nil {
			e.Fatalf("Complete: %v", err)
		}
		began := time.Now()
		e.ends(ended, "Complete")
		best = min(best, time.Since(began))
	}
	if best > most {
		e.Errorf("the shortest of ten waits ended %v after the record", best)
	}
}

func waitGivesUp(e *env) {
	r := e.win(claimOf(e.key()))
	ctx, cancel := context.WithCancel(e.ctx)
	ended := e.wait(ctx, r)
	time.Sleep(20 * time.Millisecond)
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		e.Errorf("a wait whose context was cancelled: %v", err)
	}
	if err := <-e.wait(ctx, r); !errors.Is(err, context.Canceled) {
		e.Errorf("a wait with a context that had ended: %v", err)
	}
	e.unchanged(r, "a wait")
	ended = e.wait(e.ctx, r)
	time.Sleep(20 * time.Millisecond)
	e.close()
	select {
	case err := <-ended:
		if !errors.Is(err, store.ErrClosed) {
			e.Errorf("a wait while the store is closed: %v; want ErrClosed", err)
		}
	case <-time.After(e.f.Patience):
		e.Fatalf("a wait does not end when the store is closed")
	}
	if err := <-e.wait(e.ctx, r); !errors.Is(err, store.ErrClosed) {
		e.Errorf("a wait after Close: %v; want ErrClosed", err)
	}
}
