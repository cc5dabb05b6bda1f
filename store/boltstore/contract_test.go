package boltstore

import (
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/storetest"
)

// openShort opens stores whose journals are settled all the time.
func openShort(t testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
	t.Helper()
	return openFor(t, dir, Options{Now: now, MaxPayload: o.MaxPayload, SizeLimit: o.SizeLimit, Tombstones: o.Tombstones, SweepEvery: -1, journal: 3})
}

func openForSuite(t testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
	t.Helper()
	return openFor(t, dir, Options{Now: now, MaxPayload: o.MaxPayload, SizeLimit: o.SizeLimit, Tombstones: o.Tombstones, SweepEvery: -1})
}

func openFor(t testing.TB, dir string, o Options) store.Store {
	t.Helper()
	s, err := Open(filepath.Join(dir, "store.db"), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// The kills of a process are in TestKilledProcessLosesNothingThatItWasAnswered too,
// many more of them.
func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openForSuite, storetest.Features{SizeLimit: 4 << 20, Keys: 20_000})
}

func TestStoreWithAShortJournalKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, openShort, storetest.Features{SizeLimit: 4 << 20, Keys: 5000})
}

func TestTransactionsKeepTheirContract(t *testing.T) {
	t.Parallel()
	name := []byte("application")
	put := func(tx *bbolt.Tx, key, value []byte) error {
		b, err := tx.CreateBucketIfNotExists(name)
		if err != nil {
			return err
		}
		return b.Put(key, value)
	}
	get := func(tx *bbolt.Tx, key []byte) ([]byte, error) {
		b := tx.Bucket(name)
		if b == nil {
			return nil, nil
		}
		return b.Get(key), nil
	}
	storetest.RunTransactional(t, openForSuite, put, get)
}
