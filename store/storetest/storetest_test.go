package storetest_test

import (
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// folders are the data of stores in memory, by the folder that they stand for.
type folders struct {
	exclusive bool // the stores have no leases
	mu        sync.Mutex
	data      map[string]*memstore.Data
}

func (f *folders) openMemory(dir string, now func() time.Time, o storetest.Options) *memstore.Store {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.data == nil {
		f.data = make(map[string]*memstore.Data)
	}
	if f.data[dir] == nil {
		f.data[dir] = new(memstore.Data)
	}
	return memstore.Open(f.data[dir], memstore.Options{Now: now, MaxPayload: o.MaxPayload, SizeLimit: o.SizeLimit, Tombstones: o.Tombstones})
}

func (f *folders) open(_ testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
	if f.exclusive {
		return newExclusive(f.openMemory(dir, now, o))
	}
	return f.openMemory(dir, now, o)
}

func TestEveryHistoryIsThatOfTheModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		storetest.History(t, rt, new(folders).open, storetest.Features{Leases: true}, func(n int) int {
			return rapid.IntRange(0, n-1).Draw(rt, "pick")
		})
	})
}

func TestStoreThatKeepsTheContractPasses(t *testing.T) {
	t.Parallel()
	features := storetest.Features{Leases: true, Keys: 10_000}
	if os.Getenv(mutantName) != "" {
		features.Histories = 300 // chance must not save a mutant
		features.Patience = 5 * time.Second
	}
	t.Run("WithLeases", func(t *testing.T) {
		t.Parallel()
		storetest.Run(t, breaking(t, new(folders).open), features)
	})
	t.Run("WithoutLeases", func(t *testing.T) {
		t.Parallel()
		features := features
		features.Leases = false
		storetest.Run(t, breaking(t, (&folders{exclusive: true}).open), features)
	})
	t.Run("Served", func(t *testing.T) {
		t.Parallel()
		features := features
		features.Deaths, features.SizeLimit = true, -1
		f := new(served)
		f.serve(t)
		storetest.Run(t, breaking(t, f.open), features)
	})
	t.Run("Transactions", func(t *testing.T) {
		t.Parallel()
		storetest.RunTransactional(t, breakingTransactions(t, new(folders)), put, get)
	})
}

func put(tx *memstore.Tx, key, value []byte) error {
	tx.Put(string(key), value)
	return nil
}

func get(tx *memstore.Tx, key []byte) ([]byte, error) { return tx.Get(string(key)), nil }
