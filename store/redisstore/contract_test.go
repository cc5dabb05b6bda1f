package redisstore

import (
	"crypto/sha256"
	"encoding/hex"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/storetest"
)

// opener returns a function that opens stores in the Redis at the address, each with a
// client of its own, as a process has.
func opener(addr string, o Options) storetest.Open {
	return func(t testing.TB, dir string, now func() time.Time, of storetest.Options) store.Store {
		t.Helper()
		sum := sha256.Sum256([]byte(dir))
		o := o
		o.Prefix, o.Now = hex.EncodeToString(sum[:8]), now
		o.MaxPayload, o.Tombstones = of.MaxPayload, of.Tombstones
		client := redis.NewClient(&redis.Options{Addr: addr})
		t.Cleanup(func() { _ = client.Close() })
		s, err := Open(t.Context(), client, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// addressEnv tells a process that is to be killed which Redis it works on.
const addressEnv = "WARREN_REDISSTORE_TEST"

func address(t *testing.T, config ...string) string {
	t.Helper()
	if addr := os.Getenv(addressEnv); addr != "" {
		return addr
	}
	return startServer(t, config...).addr
}

func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(address(t), Options{}), storetest.Features{Leases: true, Deaths: true, SizeLimit: -1, Keys: 20_000})
}

func TestStoreOnDiskKeepsItsContract(t *testing.T) {
	addr := address(t, "appendonly", "yes", "appendfsync", "always")
	t.Setenv(addressEnv, addr)
	storetest.Run(t, opener(addr, Options{Durability: OnDisk}), storetest.Features{Leases: true, Deaths: true, SizeLimit: -1, Keys: 2000, Histories: 5})
}
