package pgstore

import (
	"bytes"
	"context"
	crand "crypto/rand"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
)

// TestNothingThatIsRememberedIsEverForgotten has callers do what they like to records that live for moments, in a ring that
// turns each second, while several sweep as often and as rarely as chance has it, and transactions of others keep
// slots from being emptied. Each caller has keys of its own, and so knows what must be there.
func TestNothingThatIsRememberedIsEverForgotten(t *testing.T) {
	t.Parallel()
	const stores, callers = 3, 24
	d := newDatabase(t, MigrateOptions{Period: time.Second})
	var all []*Store
	for range stores {
		s, err := Open(t.Context(), d.pool, Options{SweepEvery: -1, MaxPayload: 4096})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = s.Close() })
		all = append(all, s)
	}
	length := 10 * time.Second
	if testing.Short() {
		length = 3 * time.Second
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()

	const last = "SELECT max(ends) FROM warren.slots WHERE slot > 0"
	before := value[time.Time](d, last)
	var wg sync.WaitGroup
	var forgot, steps atomic.Int64
	for i, s := range all {
		wg.Go(func() {
			for ctx.Err() == nil {
				n, err := s.Sweep(context.Background())
				if err != nil {
					t.Errorf("Sweep: %v", err)
				}
				forgot.Add(int64(n))
				// The first hurries, the last lets the ring get late.
				_ = pause(ctx, rand.N(time.Duration(1+i*i)*500*time.Millisecond))
			}
		})
	}
	wg.Go(func() { d.hinder(ctx) })
	for range callers {
		wg.Go(func() {
			for ctx.Err() == nil {
				c := remembering{T: t, stores: all}
				c.live(ctx)
				steps.Add(int64(c.steps))
			}
		})
	}
	wg.Wait()
	turned := value[time.Time](d, last).Sub(before)
	t.Logf("%d steps, %d records forgotten, the ring turned by %v", steps.Load(), forgot.Load(), turned)
	if forgot.Load() == 0 || steps.Load() < 100 || turned < time.Second {
		t.Error("that shows nothing")
	}
}

// hinder has transactions read the records, and hold what that takes for a while.
func (d *database) hinder(ctx context.Context) {
	for ctx.Err() == nil {
		tx, err := d.pool.Begin(context.Background())
		if err != nil {
			d.Errorf("begin: %v", err)
			return
		}
		if _, err := tx.Exec(context.Background(), "SELECT count(*) FROM warren.records"); err != nil {
			d.Errorf("count: %v", err)
		}
		_ = pause(ctx, rand.N(400*time.Millisecond))
		_ = tx.Rollback(context.Background())
		_ = pause(ctx, rand.N(400*time.Millisecond))
	}
}

// remembering is a record that one caller alone changes, and what it knows of it.
type remembering struct {
	*testing.T
	stores []*Store
	steps  int

	want    store.Record // Absent until it is claimed
	expires time.Time    // not before that
	lease   time.Time    // likewise, while it is in progress
}

// live is the life of a record.
func (r *remembering) live(ctx context.Context) {
	_, _ = crand.Read(r.want.Key[:])
	for range 2 + rand.IntN(12) {
		if ctx.Err() != nil || r.Failed() {
			return
		}
		r.steps++
		s := r.stores[rand.IntN(len(r.stores))]
		switch n := rand.IntN(10); {
		case r.want.State == store.Absent || n == 0:
			r.claim(s)
		case r.want.State == store.InProgress && n < 3:
			r.change(s, "Renew", func(at time.Time) error {
				lease := moment()
				r.lease = at.Add(lease)
				return s.Renew(context.Background(), r.want.Key, r.want.Token, lease)
			})
		case r.want.State == store.InProgress && n < 5:
			r.change(s, "Complete", func(at time.Time) error {
				retention := moment()
				r.expires, r.lease = at.Add(retention), time.Time{}
				r.want.State, r.want.Payload = store.Completed, bytes.Repeat([]byte{byte(n)}, rand.IntN(4096))
				return s.Complete(context.Background(), r.want.Key, r.want.Token, store.Result{State: store.Completed, Payload: r.want.Payload}, retention)
			})
		case r.want.State == store.InProgress && n < 6:
			r.change(s, "Abandon", func(time.Time) error {
				r.lease = time.Time{}
				r.want.State = store.Interrupted
				return s.Abandon(context.Background(), r.want.Key, r.want.Token, store.Unended)
			})
		case n < 8:
			_ = pause(ctx, rand.N(1500*time.Millisecond))
		}
		r.look(s)
	}
}

// moment is a lease or a retention: some are longer than a turn of the ring.
func moment() time.Duration {
	if rand.IntN(8) == 0 {
		return 10*time.Second + rand.N(10*time.Second)
	}
	return 100*time.Millisecond + rand.N(4*time.Second)
}

// safe reports whether the record must be there at a time that is still to come.
func (r *remembering) safe() bool {
	now := time.Now()
	return now.Before(r.expires) || r.want.State == store.InProgress && now.Before(r.lease)
}

// claim begins a call, or begins it again, if it may.
func (r *remembering) claim(s *Store) {
	lease, retention := moment(), moment()
	before, at := r.want, time.Now()
	got, won, err := s.Claim(context.Background(), store.Claim{Key: r.want.Key, Method: "m", CallID: "c", Lease: lease, Retention: retention})
	switch {
	case err != nil:
		r.Errorf("Claim: %v", err)
	case !won && before.State == store.Absent:
		r.Errorf("a claim of what is not there found %v", got)
	case won && r.safe() && before.State != store.Absent && (got.Token != before.Token+1 || before.State == store.Completed):
		r.Errorf("%v, to be kept until %v, was forgotten: a claim of it won token %d", before, r.expires, got.Token)
	case won && got.Token == before.Token:
		r.Errorf("two claims have the token %d", got.Token)
	case won:
		r.want, r.expires, r.lease = got, at.Add(retention), at.Add(lease)
	}
}

// change changes the record in progress. If it is not there any more, nothing must have kept it.
func (r *remembering) change(s *Store, what string, f func(at time.Time) error) {
	before := *r
	err := f(time.Now())
	if err == nil {
		return
	}
	*r = before
	if !errors.Is(err, store.ErrStale) || r.safe() {
		r.Errorf("%s by %s of %v, which lives until %v, leased until %v: %v", what, s.Owner(), r.want, r.expires, r.lease, err)
	}
	r.want.State = store.Absent
	r.expires = time.Time{}
	_, _ = crand.Read(r.want.Key[:])
}

// look checks that the record is there, if it must.
func (r *remembering) look(s *Store) {
	if r.want.State == store.Absent {
		return
	}
	got, err := s.Get(context.Background(), r.want.Key)
	if err != nil {
		r.Errorf("Get: %v", err)
	}
	if !r.safe() {
		return
	}
	same := got.Token == r.want.Token && bytes.Equal(got.Payload, r.want.Payload) &&
		(got.State == r.want.State || r.want.State == store.InProgress && got.State == store.Interrupted && !time.Now().Before(r.lease))
	if !same {
		r.Errorf("there is %s; want %s, until %v, leased until %v", brief(got), brief(r.want), r.expires, r.lease)
	}
}

func brief(r store.Record) string {
	return fmt.Sprintf("%v with token %d and %d bytes", r.State, r.Token, len(r.Payload))
}
