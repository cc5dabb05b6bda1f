package memstore_test

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/store/storetest"
	"github.com/warren-rpc/warren/test/patience"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener opens stores on data that outlive them.
func opener() storetest.Open {
	var mu sync.Mutex
	folders := make(map[string]*memstore.Data)
	return func(_ testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
		mu.Lock()
		defer mu.Unlock()
		if folders[dir] == nil {
			folders[dir] = new(memstore.Data)
		}
		return memstore.Open(folders[dir], memstore.Options{Now: now, MaxPayload: o.MaxPayload, SizeLimit: o.SizeLimit, Tombstones: o.Tombstones})
	}
}

func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(), storetest.Features{Leases: true})
}

func TestTransactionsKeepTheirContract(t *testing.T) {
	t.Parallel()
	storetest.RunTransactional(t, opener(),
		func(tx *memstore.Tx, key, value []byte) error {
			tx.Put(string(key), value)
			return nil
		},
		func(tx *memstore.Tx, key []byte) ([]byte, error) { return tx.Get(string(key)), nil })
}

func claim(n uint64) store.Claim {
	c := store.Claim{Method: "orders.get", CallID: "call-1", Lease: time.Hour, Retention: time.Hour}
	binary.LittleEndian.PutUint64(c.Key[:], n)
	return c
}

// begin returns a store and a record in progress in it.
func begin(t *testing.T, o memstore.Options) (*memstore.Store, store.Record) {
	t.Helper()
	s := memstore.New(o)
	t.Cleanup(func() { _ = s.Close() })
	r, won, err := s.Claim(t.Context(), claim(1))
	if err != nil || !won {
		t.Fatalf("Claim: won %v, error %v", won, err)
	}
	return s, r
}

func TestTraitsPromiseNothingThatEndsWithTheProcess(t *testing.T) {
	t.Parallel()
	s, _ := begin(t, memstore.Options{})
	if got := s.Traits(); got != (store.Traits{}) {
		t.Errorf("a store with data of its own has the traits %+v", got)
	}
	o := memstore.Open(new(memstore.Data), memstore.Options{})
	defer o.Close()
	if got := o.Traits(); got != (store.Traits{Shared: true}) {
		t.Errorf("a store on data that others may use has the traits %+v", got)
	}
}

func TestDataAreNotSharedUnasked(t *testing.T) {
	t.Parallel()
	_, r := begin(t, memstore.Options{})
	s := memstore.New(memstore.Options{})
	defer s.Close()
	if got, err := s.Get(t.Context(), r.Key); err != nil || got.State != store.Absent {
		t.Errorf("another store has %v, error %v", got.State, err)
	}
}

func TestContextEndsTheWaitForATransaction(t *testing.T) {
	t.Parallel()
	s, r := begin(t, memstore.Options{})
	called, release := make(chan struct{}), make(chan struct{})
	ended := make(chan error, 1)
	go func() {
		ended <- s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(*memstore.Tx) (store.Result, error) {
			close(called)
			<-release
			return store.Result{State: store.Completed}, nil
		})
	}()
	<-called
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Millisecond)
	defer cancel()
	// The transaction is held until this has returned.
	if _, err := s.Get(ctx, r.Key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get while a transaction has the data: %v", err)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("Transact: %v", err)
	}
}

func TestTransactionSeesAndKeepsItsOwnValues(t *testing.T) {
	t.Parallel()
	s, r := begin(t, memstore.Options{})
	mine := []byte("mine")
	err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx *memstore.Tx) (store.Result, error) {
		if v := tx.Get("a"); v != nil {
			t.Errorf("before it was set: %q", v)
		}
		tx.Put("a", mine)
		clear(mine)
		clear(tx.Get("a"))
		tx.Put("empty", nil)
		tx.Put("gone", []byte("x"))
		tx.Delete("gone")
		if a, empty, gone := tx.Get("a"), tx.Get("empty"), tx.Get("gone"); string(a) != "mine" || empty == nil || gone != nil {
			t.Errorf("within the transaction: %q, %q, %q", a, empty, gone)
		}
		return store.Result{State: store.Completed}, nil
	})
	if err != nil {
		t.Fatalf("Transact: %v", err)
	}
	for key, want := range map[string]string{"a": "mine", "empty": ""} {
		if v, err := s.Value(t.Context(), key); err != nil || v == nil || string(v) != want {
			t.Errorf("the value of %s is %q, error %v", key, v, err)
		}
	}
	if v, err := s.Value(t.Context(), "gone"); err != nil || v != nil {
		t.Errorf("the value that was deleted is %q, error %v", v, err)
	}
}

func TestTransactionIsOfNoUseAfterwards(t *testing.T) {
	t.Parallel()
	s, r := begin(t, memstore.Options{})
	var kept *memstore.Tx
	err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx *memstore.Tx) (store.Result, error) {
		kept = tx
		return store.Result{State: store.Completed}, nil
	})
	if err != nil {
		t.Fatalf("Transact: %v", err)
	}
	for name, use := range map[string]func(){
		"Get": func() { kept.Get("a") }, "Put": func() { kept.Put("a", nil) }, "Delete": func() { kept.Delete("a") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s after the end does not panic", name)
				}
			}()
			use()
		}()
	}
}

func TestPayloadsMayAllBeTooLarge(t *testing.T) {
	t.Parallel()
	s, r := begin(t, memstore.Options{MaxPayload: -1})
	if err := s.Complete(t.Context(), r.Key, r.Token, store.Result{State: store.Completed, Payload: []byte("x")}, time.Hour); err != nil {
		t.Fatalf("Complete: %v", err)
	}
	if got, err := s.Get(t.Context(), r.Key); err != nil || got.Retained || got.Payload != nil || got.Size != 1 {
		t.Errorf("the record is %+v, error %v", got, err)
	}
}

func TestStoreSweepsByItself(t *testing.T) {
	t.Parallel()
	start := time.Now()
	var since atomic.Int64
	s, _ := begin(t, memstore.Options{
		Now: func() time.Time { return start.Add(time.Duration(since.Load())) }, SweepEvery: time.Millisecond,
	})
	since.Store(int64(2 * time.Hour))
	patience.Eventually(t, "what is past its retention takes no room", func() bool {
		stats, err := s.Stats(t.Context())
		if err != nil {
			t.Fatalf("Stats: %v", err)
		}
		return stats.Size == 0
	})
}

func BenchmarkClaimAndComplete(b *testing.B) {
	s := memstore.New(memstore.Options{SweepEvery: -1})
	defer s.Close()
	payload := make([]byte, 200)
	b.ReportAllocs()
	var n uint64
	for b.Loop() {
		n++
		r, _, err := s.Claim(b.Context(), claim(n))
		if err != nil {
			b.Fatal(err)
		}
		if err := s.Complete(b.Context(), r.Key, r.Token, store.Result{State: store.Completed, Payload: payload}, time.Hour); err != nil {
			b.Fatal(err)
		}
	}
}
