package redisstore

import (
	"errors"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

func TestFullRedisBeginsNothingAndEndsWhatItHas(t *testing.T) {
	t.Parallel()
	server := startServer(t, "maxmemory", "16mb", "maxmemory-policy", "noeviction")
	s := open(t, server.URL(), Options{})
	waiting := []store.Record{win(t, s, claimOf(numbered(-1))), win(t, s, claimOf(numbered(-2))), win(t, s, claimOf(numbered(-3)))}
	dead := win(t, s, claimOf(numbered(-4)))
	if err := s.Abandon(t.Context(), dead.Key, dead.Token, store.Unended); err != nil {
		t.Fatal(err)
	}
	large := store.Result{State: store.Completed, Payload: make([]byte, 256<<10)}
	var full *store.FullError
	last := claimOf(numbered(0))
	for i := int64(1); full == nil; i++ {
		c := claimOf(numbered(i))
		r, won, err := s.Claim(t.Context(), c)
		if errors.As(err, &full) {
			if got, err := s.Get(t.Context(), c.Key); err != nil || got.State != store.Absent || won {
				t.Errorf("a claim that was refused (won: %v) has left %v: %v", won, got.State, err)
			}
			break
		}
		if err != nil || !won || i > 200 {
			t.Fatalf("claim %d: won %v, error %v", i, won, err)
		}
		if err := s.Complete(t.Context(), c.Key, r.Token, large, time.Hour); err != nil {
			t.Fatalf("Complete: %v", err)
		}
		last = c
	}
	if full.Limit != 16<<20 || full.Size < 12<<20 || full.RetryAfter <= 0 {
		t.Errorf("it is full with %+v", full)
	}
	if r, won, err := s.Claim(t.Context(), last); err != nil || won || r.State != store.Completed {
		t.Errorf("a claim of what has ended, in a full Redis: %v, won %v, error %v", r.State, won, err)
	}
	if err := s.Renew(t.Context(), waiting[0].Key, waiting[0].Token, time.Hour); err != nil {
		t.Errorf("Renew in a full Redis: %v", err)
	}
	for _, r := range waiting[:2] {
		if err := s.Complete(t.Context(), r.Key, r.Token, large, time.Hour); err != nil {
			t.Errorf("Complete in a full Redis: %v", err)
		}
	}
	if err := s.Abandon(t.Context(), waiting[2].Key, waiting[2].Token, store.Ended); err != nil {
		t.Errorf("Abandon in a full Redis: %v", err)
	}
	if _, _, err := s.Claim(t.Context(), claimOf(numbered(-9))); !errors.As(err, &full) {
		t.Errorf("a claim after that: %v; want a FullError", err)
	}
	if _, err := s.Bury(t.Context(), claimOf(numbered(-8))); !errors.As(err, &full) {
		t.Errorf("a tombstone after that: %v; want a FullError", err)
	}
	next := open(t, server.URL(), Options{})
	if next.Identity() != s.Identity() {
		t.Errorf("a server that starts while Redis is full has the store %v", next.Identity())
	}
	server.do(t, "config set maxmemory 0")
	complete(t, s, win(t, s, claimOf(numbered(-9))))
	server.do(t, "config set maxmemory 1mb")
	s.owners.stop() // so that a call notices the loss
	defer s.owners.start()
	server.do(t, "del "+s.keys.changes)
	lost(t, s, last)
}

func TestRedisIsTakenAsItIsConfigured(t *testing.T) {
	t.Parallel()
	server := startServer(t, "maxmemory", "16mb", "maxmemory-policy", "allkeys-lru")
	client := server.client()
	t.Cleanup(func() { _ = client.Close() })
	steps := []struct {
		what    string
		command string
		options Options
		refused bool
	}{
		{"with eviction", "ping", Options{}, true},
		{"with eviction of what expires", "config set maxmemory-policy volatile-ttl", Options{}, true},
		{"with eviction as soon as there is a limit", "config set maxmemory 0", Options{}, true},
		{"without eviction", "config set maxmemory-policy noeviction", Options{}, false},
		{"with fsync every second", "ping", Options{Durability: OnDisk}, true},
		{"with fsync always", "config set appendfsync always", Options{Durability: OnDisk}, false},
		{"without fsync during a rewrite", "config set no-appendfsync-on-rewrite yes", Options{Durability: OnDisk}, true},
		{"with fsync always again", "config set no-appendfsync-on-rewrite no", Options{Durability: OnDisk}, false},
		{"without a file", "config set appendonly no", Options{Durability: OnDisk}, true},
		{"without replicas to wait for", "ping", Options{Durability: OnReplicas}, true},
		{"with an unknown durability", "ping", Options{Durability: 9}, true},
		{"with a prefix in braces", "ping", Options{Prefix: "{a}"}, true},
		{"where the configuration is not told", "acl setuser default -config", Options{Durability: OnDisk}, false},
	}
	for _, step := range steps {
		server.do(t, step.command)
		s, err := Open(t.Context(), client, step.options)
		if (err != nil) != step.refused {
			t.Errorf("%s: %v; refused should be %v", step.what, err, step.refused)
		}
		if err == nil {
			if got := s.Traits(); got != (store.Traits{Durable: step.options.Durability == OnDisk, Shared: true}) {
				t.Errorf("%s the traits are %+v", step.what, got)
			}
			_ = s.Close()
		}
	}
}

// An open store does nothing while Redis is configured otherwise than Open would take it.
func TestRedisThatIsConfiguredOtherwiseLaterIsRefused(t *testing.T) {
	t.Parallel()
	server := startServer(t, "appendfsync", "always")
	s := open(t, server.URL(), Options{Durability: OnDisk})
	c := claimOf(numbered(1))
	complete(t, s, win(t, s, c))
	for _, change := range [][2]string{
		{"config set maxmemory-policy volatile-ttl", "config set maxmemory-policy noeviction"},
		{"config set appendfsync everysec", "config set appendfsync always"},
	} {
		server.do(t, change[0])
		patience.Eventually(t, "the store is refused after "+change[0], func() bool {
			_, err := s.Get(t.Context(), c.Key)
			var unavailable *store.UnavailableError
			var refusal *refusedError
			return errors.As(err, &unavailable) && errors.As(err, &refusal)
		})
		server.do(t, change[1])
		patience.Eventually(t, "it works again after "+change[1], func() bool {
			got, err := s.Get(t.Context(), c.Key)
			return err == nil && got.State == store.Completed
		})
	}
}

// What was evicted is lost, though the configuration is as it should be when it is looked
// at, and though who made the changes has ended.
func TestRedisThatHasEvictedKeysHasLostData(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	s, other, ended := open(t, server.URL(), Options{}), open(t, server.URL(), Options{}), open(t, server.URL(), Options{})
	c := claimOf(numbered(1))
	complete(t, ended, win(t, ended, c))
	_ = ended.Close()
	server.do(t, "config set maxmemory-policy volatile-ttl")
	server.do(t, "config set maxmemory 1")
	_, _ = server.Do(t.Context(), "set", "something", "else")
	server.do(t, "config set maxmemory 0")
	server.do(t, "config set maxmemory-policy noeviction")
	patience.Eventually(t, "the store has another identity", func() bool {
		return server.do(t, "hget {warren}:store id") != s.Identity().ID
	})
	patience.Eventually(t, "nothing keeps the store from saying so", func() bool {
		_, err := s.Get(t.Context(), c.Key)
		var refusal *refusedError
		return !errors.As(err, &refusal)
	})
	lost(t, s, c)
	lost(t, other, c)
}

func TestStoreOfALaterVersionIsRefused(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	open(t, server.URL(), Options{Prefix: prefix})
	server.do(t, "hset {"+prefix+"}:store version 2")
	client := server.client()
	defer client.Close()
	_, err := Open(t.Context(), client, Options{Prefix: prefix})
	var later *store.VersionError
	if !errors.As(err, &later) || later.Have != 2 || later.Known != version {
		t.Errorf("Open of version 2: %v", err)
	}
}
