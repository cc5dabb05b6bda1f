package memstore_test

import (
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/store/storetest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// opener opens stores on data that outlive them.
func opener() storetest.Open {
	var folders sync.Map
	return func(_ testing.TB, dir string, now func() time.Time, o storetest.Options) store.Store {
		data, _ := folders.LoadOrStore(dir, new(memstore.Data))
		return memstore.Open(data.(*memstore.Data), memstore.Options{
			Now: now, MaxPayload: o.MaxPayload, SizeLimit: o.SizeLimit,
		})
	}
}

func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(), storetest.Features{Leases: true, Histories: 100})
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
