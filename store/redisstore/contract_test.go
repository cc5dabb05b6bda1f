package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/storetest"
)

// opener returns a function that opens stores in the Redis at the URL, each with a
// client of its own, as a process has.
func opener(url string, o Options) storetest.Open {
	return func(t testing.TB, dir string, now func() time.Time, of storetest.Options) store.Store {
		t.Helper()
		sum := sha256.Sum256([]byte(dir))
		o := o
		o.Prefix, o.Now = hex.EncodeToString(sum[:8]), now
		o.MaxPayload, o.Tombstones = of.MaxPayload, of.Tombstones
		return open(t, url, o)
	}
}

// urlEnv tells a process that is to be killed which Redis it works on.
const urlEnv = "WARREN_REDISSTORE_TEST"

func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	server, _ := sharedServer(t)
	storetest.Run(t, opener(server.URL(), Options{}), storetest.Features{Leases: true, Deaths: true, SizeLimit: -1, Keys: 20_000})
}

func TestStoreOnDiskKeepsItsContract(t *testing.T) {
	url := os.Getenv(urlEnv)
	if url == "" {
		url = startServer(t, "appendfsync", "always").URL()
	}
	t.Setenv(urlEnv, url)
	storetest.Run(t, opener(url, Options{Durability: OnDisk}),
		storetest.Features{Leases: true, Deaths: true, SizeLimit: -1, Keys: 2000, Histories: 5})
}
