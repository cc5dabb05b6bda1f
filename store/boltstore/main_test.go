package boltstore

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/store"
)

func TestMain(m *testing.M) {
	if path := os.Getenv(crashFile); path != "" {
		crashWork(path)
	}
	goleak.VerifyTestMain(m)
}

// settings are the options of stores with a journal and without one.
var settings = map[string]Options{
	"journal": {SweepEvery: -1}, "no journal": {SweepEvery: -1, NoJournal: true},
}

// inBothSettings runs a test of stores with a journal and without one.
func inBothSettings(t *testing.T, test func(t *testing.T, o Options)) {
	for name, o := range settings {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, o)
		})
	}
}

// open opens a store for the test's life.
func open(t testing.TB, path string, o Options) *Store {
	t.Helper()
	s, err := Open(path, o)
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(func() { shut(t, s) })
	return s
}

func shut(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

func newPath(t testing.TB) string { return filepath.Join(t.TempDir(), "store.db") }

func numbered(i int) store.Key { return store.Scope{CallID: fmt.Sprint(i)}.Key() }

func claimOf(key store.Key) store.Claim {
	return store.Claim{
		Key: key, Method: "orders.get", CallID: "call", Fingerprint: store.Fingerprint{1}, Lease: time.Minute, Retention: time.Hour,
	}
}

var done = store.Result{State: store.Completed, Payload: []byte("the reply")}

// must claims a key, which has to win.
func must(t testing.TB, s *Store, key store.Key) store.Record {
	t.Helper()
	r, won, err := s.Claim(context.Background(), claimOf(key))
	if err != nil || !won {
		t.Fatalf("Claim: won %v, error %v, record %v", won, err, r.State)
	}
	return r
}

func complete(t testing.TB, s *Store, r store.Record) {
	t.Helper()
	if err := s.Complete(context.Background(), r.Key, r.Token, done, time.Hour); err != nil {
		t.Fatalf("Complete: %v", err)
	}
}

func stateOf(t testing.TB, s *Store, key store.Key) store.State {
	t.Helper()
	r, err := s.Get(context.Background(), key)
	if err != nil {
		t.Fatalf("Get: %v", err)
	}
	return r.State
}
