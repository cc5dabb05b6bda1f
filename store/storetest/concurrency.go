package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren/store"
)

var concurrencyGroups = []group{
	{name: "Concurrent", run: concurrent,
		sentence: "All methods are safe for concurrent use, and each is atomic."},
	{name: "ContextEnded", run: contextEnded,
		sentence: "A method whose ctx ends before its change was begun returns ctx's error, and has changed nothing."},
	{name: "ContextEndsInside", run: contextEndsInside,
		sentence: "A method whose ctx ends before its change was begun has changed nothing; one whose change was under way may return after it."},
	{name: "CloseUnderWork", run: closeUnderWork,
		sentence: "Close ends all that is under way, and then answers ErrClosed."},
	{name: "Closed", run: closed,
		sentence: "Close ends all that is under way, and then answers ErrClosed. Records in progress are left as they are."},
}

// watched is what all goroutines together know of a key.
type watched struct {
	key    store.Key
	holder atomic.Uint64 // the token of who has won and has not let go; 0: nobody
	mu     sync.Mutex
	seen   uint64 // the highest token that anybody was shown
	wins   map[uint64]bool
	ended  store.Record // once somebody has completed it
}

func (w *watched) see(token uint64) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.seen = max(w.seen, token)
}

func (w *watched) highest() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.seen
}

// concurrent lets goroutines do everything to a few keys. No owner dies, and no clock
// moves, so whoever has won is the only owner until it lets go.
func concurrent(e *env) {
	const workers, steps = 8, 60
	keys := make([]*watched, 5)
	for i := range keys {
		keys[i] = &watched{key: e.key(), wins: make(map[uint64]bool)}
	}
	race(workers, func(worker int) {
		random := rand.New(rand.NewPCG(uint64(worker), 1))
		for range steps {
			if wrong := e.anything(random, keys[random.IntN(len(keys))]); wrong != "" {
				e.Errorf("%s", wrong)
				return
			}
		}
	})
	for _, w := range keys {
		r := e.get(w.key)
		if r.Attempts != len(w.wins) || r.State != store.Tombstone && r.Token != w.seen {
			e.Errorf("%d claims won, the highest token seen is %d, and the record is %v", len(w.wins), w.seen, brief(r))
		}
		if w.ended.State != store.Absent {
			e.unchanged(w.ended, "something")
		}
	}
}

// anything does one thing, and returns what is wrong with the answer, if anything is.
func (e *env) anything(random *rand.Rand, w *watched) string {
	seen := w.highest()
	switch random.IntN(12) {
	case 0, 1, 2, 3, 4, 5:
		r, won, err := e.store.Claim(e.ctx, claimOf(w.key))
		if err != nil {
			return fmt.Sprintf("a claim: %v", err)
		}
		if r.Token < seen {
			return fmt.Sprintf("a claim was shown token %d after somebody had been shown %d", r.Token, seen)
		}
		w.see(r.Token)
		if won {
			return e.attempt(random, w, r)
		}
	case 6, 7:
		w.mu.Lock()
		ended := w.ended
		w.mu.Unlock()
		r, err := e.store.Get(e.ctx, w.key)
		if err != nil {
			return fmt.Sprintf("a Get: %v", err)
		}
		if r.Token < seen {
			return fmt.Sprintf("a Get was shown token %d after somebody had been shown %d", r.Token, seen)
		}
		if d := difference(ended, r); ended.State != store.Absent && d != "" {
			return fmt.Sprintf("what had ended has changed:%s", d)
		}
	case 8:
		if seen < 2 {
			return ""
		}
		result := store.Result{State: store.Completed, Payload: []byte("stale")}
		if err := e.store.Complete(e.ctx, w.key, seen-1, result, retention); !errors.Is(err, store.ErrStale) {
			return fmt.Sprintf("an end with token %d after %d had been seen: %v; want ErrStale", seen-1, seen, err)
		}
	case 9:
		if random.IntN(20) != 0 {
			return ""
		}
		if _, err := e.store.Bury(e.ctx, claimOf(w.key)); err != nil {
			return fmt.Sprintf("a Bury: %v", err)
		}
	case 10:
		if n, err := e.store.Sweep(e.ctx); err != nil || n != 0 {
			return fmt.Sprintf("a Sweep with nothing to forget forgot %d: %v", n, err)
		}
	default:
		if _, err := e.store.Stats(e.ctx); err != nil {
			return fmt.Sprintf("a Stats: %v", err)
		}
	}
	return ""
}

// attempt is what the winner of a claim does.
func (e *env) attempt(random *rand.Rand, w *watched, r store.Record) string {
	w.mu.Lock()
	again := w.wins[r.Token]
	w.wins[r.Token] = true
	w.mu.Unlock()
	if again {
		return fmt.Sprintf("token %d was given twice", r.Token)
	}
	if !w.holder.CompareAndSwap(0, r.Token) {
		return fmt.Sprintf("a claim won token %d while the owner of %d was alive and at work", r.Token, w.holder.Load())
	}
	runtime.Gosched() // others find the record held, on a machine with few cores too
	if err := e.store.Renew(e.ctx, w.key, r.Token, lease); err != nil {
		return fmt.Sprintf("a Renew by the owner: %v", err)
	}
	if got, err := e.store.Get(e.ctx, w.key); err != nil || got.Token != r.Token || got.State != store.InProgress {
		return fmt.Sprintf("to its owner, a record is %v, error %v", brief(got), err)
	}
	w.holder.Store(0)
	if random.IntN(20) != 0 {
		if err := e.store.Abandon(e.ctx, w.key, r.Token, store.Unended); err != nil {
			return fmt.Sprintf("an Abandon by the owner: %v", err)
		}
		return ""
	}
	body := fmt.Appendf(nil, "the end by token %d", r.Token)
	if err := e.store.Complete(e.ctx, w.key, r.Token, store.Result{State: store.Completed, Payload: body}, retention); err != nil {
		return fmt.Sprintf("an end by the owner: %v", err)
	}
	got, err := e.store.Get(e.ctx, w.key)
	if err != nil || got.State != store.Completed || !bytes.Equal(got.Payload, body) {
		return fmt.Sprintf("what was completed is %v, error %v", brief(got), err)
	}
	w.mu.Lock()
	w.ended = got
	w.mu.Unlock()
	return ""
}

// everything calls each method that takes a context. r is a record in progress.
func everything(ctx context.Context, s store.Store, r store.Record, absent store.Key) map[string]error {
	errs := make(map[string]error)
	_, errs["Get"] = s.Get(ctx, r.Key)
	_, _, errs["Claim"] = s.Claim(ctx, claimOf(absent))
	errs["Renew"] = s.Renew(ctx, r.Key, r.Token, 10*lease)
	errs["Complete"] = s.Complete(ctx, r.Key, r.Token, store.Result{State: store.Completed}, retention)
	errs["Abandon"] = s.Abandon(ctx, r.Key, r.Token, store.Unended)
	_, errs["Bury"] = s.Bury(ctx, claimOf(absent))
	_, errs["Sweep"] = s.Sweep(ctx)
	_, errs["Stats"] = s.Stats(ctx)
	return errs
}

func contextEnded(e *env) {
	over := e.end(e.win(claimOf(e.key())), store.Completed, []byte("over"))
	e.clock.move(retention + instant)
	r := e.win(claimOf(e.key()))
	absent := e.key()
	canceled, cancel := context.WithCancel(e.ctx)
	cancel()
	late, cancel := context.WithDeadline(e.ctx, time.Now().Add(-time.Second))
	defer cancel()
	for ctx, want := range map[context.Context]error{canceled: context.Canceled, late: context.DeadlineExceeded} {
		for method, err := range everything(ctx, e.store, r, absent) {
			if !errors.Is(err, want) {
				e.Errorf("%s with a context that has ended: error %v; want %v", method, err, want)
			}
		}
	}
	e.unchanged(r, "a method whose context had ended")
	for _, key := range []store.Key{absent, over.Key} {
		if got := e.get(key); got.State != store.Absent {
			e.Errorf("a method whose context had ended has made %v", brief(got))
		}
	}
	e.end(r, store.Completed, nil)
}

// contextEndsInside ends contexts while claims and ends are made, and then asks.
func contextEndsInside(e *env) {
	race(16, func(worker int) {
		random := rand.New(rand.NewPCG(uint64(worker), 2))
		for range 8 {
			ctx, cancel := context.WithCancel(e.ctx)
			stop := time.AfterFunc(time.Duration(random.IntN(400))*time.Microsecond, cancel)
			wrong := e.claimAndEnd(ctx)
			stop.Stop()
			cancel()
			if wrong != "" {
				e.Errorf("%s", wrong)
			}
		}
	})
}

func (e *env) claimAndEnd(ctx context.Context) string {
	afterwards := context.WithoutCancel(ctx)
	c := claimOf(e.key())
	r, won, err := e.store.Claim(ctx, c)
	got, failed := e.store.Get(afterwards, c.Key)
	switch {
	case failed != nil:
		return fmt.Sprintf("a Get: %v", failed)
	case err != nil && (!errors.Is(err, context.Canceled) || got.State != store.Absent):
		return fmt.Sprintf("a claim failed with %v, and the record is %s", err, brief(got))
	case err != nil:
		return ""
	case !won || got.State != store.InProgress || got.Token != r.Token:
		return fmt.Sprintf("a claim won: %v, %v; and the record is %s", won, brief(r), brief(got))
	}
	err = e.store.Complete(ctx, c.Key, r.Token, store.Result{State: store.Completed}, retention)
	got, failed = e.store.Get(afterwards, c.Key)
	switch {
	case failed != nil:
		return fmt.Sprintf("a Get: %v", failed)
	case err != nil && (!errors.Is(err, context.Canceled) || got.State != store.InProgress):
		return fmt.Sprintf("an end failed with %v, and the record is %s", err, brief(got))
	case err == nil && got.State != store.Completed:
		return fmt.Sprintf("an end was confirmed, and the record is %s", brief(got))
	}
	return ""
}

// closeUnderWork closes a store that works. What was confirmed before is there after,
// and what was refused is not.
func closeUnderWork(e *env) {
	const workers = 8
	won := make([][]store.Record, workers)
	lost := make([]store.Key, workers)
	var begun sync.WaitGroup
	begun.Add(workers)
	var working sync.WaitGroup
	for i := range workers {
		working.Go(func() {
			for n := range 100_000 {
				c := claimOf(e.key())
				r, _, err := e.store.Claim(e.ctx, c)
				if n == 0 {
					begun.Done()
				}
				if err != nil {
					lost[i] = c.Key
					if !errors.Is(err, store.ErrClosed) {
						e.Errorf("a claim while the store is closed: %v; want ErrClosed", err)
					}
					return
				}
				won[i] = append(won[i], r)
			}
		})
	}
	begun.Wait()
	race(3, func(int) {
		if err := e.store.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
			e.Errorf("Close: %v", err)
		}
	})
	working.Wait()
	e.store = e.another()
	for i, records := range won {
		for _, r := range records {
			if got := e.get(r.Key); got.Token != r.Token || got.Attempts != 1 {
				e.Errorf("what was claimed before Close is %v", brief(got))
			}
		}
		if got := e.get(lost[i]); got.State != store.Absent {
			e.Errorf("what was refused by Close is %v", brief(got))
		}
	}
}

func closed(e *env) {
	r := e.win(claimOf(e.key()))
	absent := e.key()
	owner, traits := e.store.Owner(), e.store.Traits()
	e.close()
	for method, err := range everything(e.ctx, e.store, r, absent) {
		if !errors.Is(err, store.ErrClosed) {
			e.Errorf("%s after Close: error %v; want ErrClosed", method, err)
		}
	}
	if err := e.store.Close(); err != nil && !errors.Is(err, store.ErrClosed) {
		e.Errorf("a second Close: %v", err)
	}
	if e.store.Owner() != owner || e.store.Traits() != traits {
		e.Errorf("after Close the store is another: %q, %+v", e.store.Owner(), e.store.Traits())
	}
	e.store = e.another()
	if got := e.get(r.Key); got.Token != r.Token || got.State == store.Completed {
		e.Errorf("what was in progress when the store was closed is %v", brief(got))
	}
	if got := e.get(absent); got.State != store.Absent {
		e.Errorf("a closed store has made %v", brief(got))
	}
}
