package pgstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/test/patience"
)

// TestServerThatHangsInATransactionIsInNobodysWay has a server hang with the lock of a key. What others do with other keys
// goes on at once, and the key is free in some seconds.
func TestServerThatHangsInATransactionIsInNobodysWay(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {NoSession: true}} {
		s := newStore(t, o)
		other := s.another(t)
		c := claimOf(newKey())
		c.Lease = time.Millisecond
		mustClaim(t, s, c)

		frozen, thaw, thawed := make(chan struct{}), make(chan struct{}), make(chan struct{})
		go func() {
			defer close(thawed)
			_ = s.exclusive(context.Background(), "claim", c.Key, nil, func(*locked) error {
				close(frozen)
				<-thaw
				return errors.New("it was not meant")
			})
		}()
		<-frozen
		taken := make(chan error, 1)
		go func() {
			var err error
			for won := false; !won && err == nil; {
				_, won, err = other.Claim(context.Background(), c)
			}
			taken <- err
		}()
		if err := <-taken; err != nil {
			t.Errorf("the call was not taken over: %v", err)
		}
		close(thaw)
		<-thawed
	}
}

// TestKeyThatIsLockedHoldsUpItsOwnRequestsAlone has claims of a key that is locked for ever, and of others, in one
// transaction.
func TestKeyThatIsLockedHoldsUpItsOwnRequestsAlone(t *testing.T) {
	t.Parallel()
	for _, o := range []Options{{}, {NoSession: true}} {
		o.Timeout = 8 * time.Second
		s := newStore(t, o)
		locked, other := claimOf(newKey()), claimOf(newKey())
		tx, err := s.pool.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), s.queries.lock, s.class, []int32{lockOf(locked.Key)}); err != nil {
			t.Fatal(err)
		}
		w := writer{store: s, connect: s.writers[0].connect}
		requests := []*request{{claim: &locked}, {claim: &other}}
		w.write(requests)
		for _, r := range requests {
			if r.done || r.err != nil { // it is to be done alone
				t.Errorf("done %v, error %v", r.done, r.err)
			}
		}
		w.close(t.Context())
		mustClaim(t, s, other)
		_ = tx.Rollback(t.Context())
		mustClaim(t, s, locked)
	}
}

// TestSweeperThatHangsLetsGo leaves a sweep where it has locks and waits for its server.
func TestSweeperThatHangsLetsGo(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Hour})
	conn, err := d.pool.Acquire(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	r := d.ring(nil)
	// A slot that has not ended is looked at, and nothing more.
	if _, err := r.empty(t.Context(), conn.Conn(), 1, time.Second); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "the others have its lock", func() bool {
		return pgx.BeginFunc(t.Context(), d.pool, func(tx pgx.Tx) error {
			_, err := tx.Exec(t.Context(), "SELECT FROM warren.slots WHERE slot = 0 FOR UPDATE NOWAIT")
			return err
		}) == nil
	})
}
