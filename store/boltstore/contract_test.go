package boltstore

import (
	"path/filepath"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/storetest"
)

// opener returns a function that opens stores with the settings of the journal of o.
func opener(o Options) storetest.Open {
	return func(t testing.TB, dir string, now func() time.Time, of storetest.Options) store.Store {
		t.Helper()
		o := o
		o.Now, o.SweepEvery = now, -1
		o.MaxPayload, o.SizeLimit, o.Tombstones = of.MaxPayload, of.SizeLimit, of.Tombstones
		s, err := Open(filepath.Join(dir, "store.db"), o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// The kills of a process are in TestKilledProcessLosesNothingThatItWasAnswered too,
// many more of them.
func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(Options{}), storetest.Features{SizeLimit: 4 << 20, Keys: 20_000})
}

func TestStoreWithAShortJournalKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(Options{journalVersions: 3}), storetest.Features{SizeLimit: 4 << 20, Keys: 5000})
}

func TestStoreWithoutAJournalKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(Options{NoJournal: true}), storetest.Features{SizeLimit: 4 << 20, Keys: 20_000})
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
	inBothSettings(t, func(t *testing.T, o Options) { storetest.RunTransactional(t, opener(o), put, get) })
}
