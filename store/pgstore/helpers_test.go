package pgstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
)

// schemas counts those of newStore: a test may run several times.
var schemas atomic.Int64

// newStore returns a store in a schema of the test's own, by the database's clock.
func newStore(t testing.TB, o Options) *Store {
	t.Helper()
	o.Schema, o.SweepEvery = testSchema(fmt.Sprint(t.Name(), schemas.Add(1))), -1
	makeSchema(t, o.Schema, time.Now())
	return openTest(t, testURL(t), o)
}

// another opens a second store on the same schema.
func (s *Store) another(t testing.TB) *Store {
	t.Helper()
	o := s.options
	return openTest(t, testURL(t), o)
}

func newKey() (key store.Key) {
	_, _ = rand.Read(key[:]) // it never fails
	return key
}

func claimOf(key store.Key) store.Claim {
	return store.Claim{
		Key: key, Method: "orders.create", CallID: "call", Fingerprint: store.Fingerprint{1}, Lease: time.Minute, Retention: 24 * time.Hour,
	}
}

var done = store.Result{State: store.Completed, Payload: []byte("the reply")}

func mustClaim(t testing.TB, s *Store, c store.Claim) store.Record {
	t.Helper()
	r, won, err := s.Claim(context.Background(), c)
	if err != nil || !won {
		t.Fatalf("Claim: won %v, error %v, record %v", won, err, r.State)
	}
	return r
}

func stateOf(t testing.TB, s *Store, key store.Key) store.State {
	t.Helper()
	r, err := s.Get(context.Background(), key)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return r.State
}

// put adds the key to the application's table, in its transaction.
func put(tx pgx.Tx, key string) error {
	_, err := tx.Exec(context.Background(), "INSERT INTO application VALUES ($1, '')", []byte(key))
	return err
}

// has reports whether the application's table has the key.
func has(t testing.TB, s *Store, key string) (there bool) {
	t.Helper()
	err := s.pool.QueryRow(context.Background(), "SELECT EXISTS (SELECT FROM application WHERE key = $1)", []byte(key)).Scan(&there)
	if err != nil {
		t.Fatal(err)
	}
	return there
}

func execute(t testing.TB, pool *pgxpool.Pool, sql string, args ...any) {
	t.Helper()
	if _, err := pool.Exec(context.Background(), sql, args...); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

func query[T any](t testing.TB, pool *pgxpool.Pool, sql string, args ...any) (v T) {
	t.Helper()
	if err := pool.QueryRow(context.Background(), sql, args...).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}
