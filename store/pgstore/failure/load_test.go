package failure

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/patience"
)

// load is many calls on several stores, each driven twice at the same time as servers drive a call that was delivered
// twice: claimed, executed and ended, and after an error claimed again, by whichever store.
type load struct {
	stores []*pgstore.Store
	begun  atomic.Int64
	ended  atomic.Int64 // confirmed by a store, or found ended
	failed atomic.Int64 // methods that told an error of the storage
	stale  atomic.Int64 // ends that came too late

	stop    chan struct{}
	workers sync.WaitGroup
	mu      sync.Mutex
	calls   []*call
}

// call is what its driver knows of it.
type call struct {
	claim     store.Claim
	atMost    bool         // it is executed at most once, outside of the database; else with effect once, in a transaction
	confirmed atomic.Bool  // a store has told that it is recorded
	executed  atomic.Int32 // how often, outside of the database
}

// startLoad drives calls on each store, half of them of either kind, until finish.
func startLoad(t *testing.T, stores ...*pgstore.Store) *load {
	t.Helper()
	l := &load{stores: stores, stop: make(chan struct{})}
	for worker := range 12 {
		l.workers.Go(func() { l.work(t, worker) })
	}
	t.Cleanup(l.end)
	return l
}

func (l *load) work(t *testing.T, worker int) {
	for n := 0; ; n++ {
		select {
		case <-l.stop:
			return
		default:
		}
		c := &call{claim: claimOf(fmt.Sprintf("call %d-%d", worker, n)), atMost: n%2 == 0}
		c.claim.Once = c.atMost
		l.mu.Lock()
		l.calls = append(l.calls, c)
		l.mu.Unlock()
		l.begun.Add(1)
		var other sync.WaitGroup
		other.Go(func() { l.drive(t, c) })
		l.drive(t, c)
		other.Wait()
		l.ended.Add(1)
	}
}

// drive has the call end.
func (l *load) drive(t *testing.T, c *call) {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Times(3*time.Minute))
	defer cancel()
	for {
		s := l.stores[rand.IntN(len(l.stores))]
		confirmed := c.confirmed.Load()
		r, won, err := s.Claim(ctx, c.claim)
		switch {
		case err != nil:
			if !l.storage(t, "claim", err) {
				return
			}
		case won && confirmed:
			t.Errorf("%s began again after its end was confirmed", c.claim.CallID)
			return
		case won:
			if !l.execute(ctx, t, s, c, r) {
				return
			}
		case r.State.Ended():
			return
		case r.State == store.Interrupted && c.atMost: // nobody will know
			return
		case r.State != store.InProgress:
			t.Errorf("%s was not begun, and is %v", c.claim.CallID, r.State)
			return
		default:
			wait, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
			_ = s.Wait(wait, r.Key, r.Token) // the next claim tells
			cancel()
		}
		if ctx.Err() != nil {
			t.Errorf("%s has no end", c.claim.CallID)
			return
		}
	}
}

// execute reports whether the call must be claimed again to know its end.
func (l *load) execute(ctx context.Context, t *testing.T, s *pgstore.Store, c *call, r store.Record) (again bool) {
	var err error
	time.Sleep(time.Duration(rand.IntN(5)) * time.Millisecond)
	if c.atMost {
		c.executed.Add(1)
		err = finish(ctx, s, r)
	} else {
		err = transact(ctx, s, r)
	}
	switch {
	case err == nil:
		c.confirmed.Store(true)
		return true // to see that it is not begun again
	case errors.Is(err, store.ErrStale):
		l.stale.Add(1)
		return true
	}
	return l.storage(t, "the end", err)
}

// storage reports whether the error is of the kinds that are documented for a storage that fails.
func (l *load) storage(t *testing.T, what string, err error) bool {
	unavailable, full := (*store.UnavailableError)(nil), (*store.FullError)(nil)
	if !errors.As(err, &unavailable) && !errors.As(err, &full) {
		t.Errorf("%s: error %v is not documented", what, err)
		return false
	}
	l.failed.Add(1)
	time.Sleep(5 * time.Millisecond)
	return true
}

// goesOn waits until calls end that have begun from here on.
func (l *load) goesOn(t *testing.T) {
	t.Helper()
	ended := l.ended.Load() + 100
	patience.Eventually(t, "calls end", func() bool { return l.ended.Load() > ended })
}

func (l *load) end() {
	select {
	case <-l.stop:
	default:
		close(l.stop)
	}
	l.workers.Wait()
}

// finish ends the load and has no call lost, and none that had its effect twice. The pool is on the effects.
func (l *load) finish(t *testing.T, pool *pgxpool.Pool) {
	t.Helper()
	l.end()
	records := make(map[store.Key]store.Record)
	err := l.stores[0].Each(t.Context(), func(r store.Record) error {
		records[r.Key] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	counts := make(map[string]int)
	rows, err := pool.Query(t.Context(), "SELECT call, count(*) FROM effects GROUP BY call")
	if err != nil {
		t.Fatal(err)
	}
	var id string
	var n int
	if _, err := pgx.ForEachRow(rows, []any{&id, &n}, func() error { counts[id] = n; return nil }); err != nil {
		t.Fatal(err)
	}
	for _, c := range l.calls {
		c.check(t, records[c.claim.Key], counts[c.claim.CallID])
	}
	t.Logf("%d calls; %d errors of the storage, %d ends that came too late", len(l.calls), l.failed.Load(), l.stale.Load())
}

func (c *call) check(t *testing.T, r store.Record, effects int) {
	t.Helper()
	completed := r.State == store.Completed && string(r.Payload) == "reply to "+c.claim.CallID
	switch {
	case c.confirmed.Load() && !completed:
		t.Errorf("%s was confirmed, and is %v with %q", c.claim.CallID, r.State, r.Payload)
	case !c.atMost && (!completed || effects != 1):
		t.Errorf("%s is %v and has %d effects", c.claim.CallID, r.State, effects)
	case c.atMost && c.executed.Load() > 1:
		t.Errorf("%s was executed %d times", c.claim.CallID, c.executed.Load())
	case c.atMost && !completed && r.State != store.Interrupted:
		t.Errorf("%s is %v", c.claim.CallID, r.State)
	}
}
