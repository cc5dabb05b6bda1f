package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/postgres"
	"github.com/warren-rpc/warren/test/redis"
)

// databases are the private servers that the tests of this package share. Each test has a
// schema, or a prefix, of its own.
var databases struct {
	mu       sync.Mutex
	postgres *postgres.Server
	redis    *redis.Server
	stores   atomic.Int64
}

func sharedPostgres(t testing.TB) *postgres.Server {
	t.Helper()
	databases.mu.Lock()
	defer databases.mu.Unlock()
	if databases.postgres == nil {
		s, err := postgres.Start(context.Background(), postgres.Options{})
		if err != nil {
			t.Fatal(err)
		}
		databases.postgres = s
	}
	return databases.postgres
}

func sharedRedis(t testing.TB) *redis.Server {
	t.Helper()
	databases.mu.Lock()
	defer databases.mu.Unlock()
	if databases.redis == nil {
		s, err := redis.Start(context.Background(), redis.Options{Durable: true})
		if err != nil {
			t.Fatal(err)
		}
		databases.redis = s
	}
	return databases.redis
}

// closeDatabases is for the end of all tests.
func closeDatabases() (err error) {
	if databases.postgres != nil {
		err = databases.postgres.Close()
	}
	if databases.redis != nil {
		err = errors.Join(err, databases.redis.Close())
	}
	return err
}

// withQuery adds settings to a URL, in pairs of name and value.
func withQuery(t testing.TB, raw string, settings ...string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	query := u.Query()
	for i := 0; i < len(settings); i += 2 {
		query.Set(settings[i], settings[i+1])
	}
	u.RawQuery = query.Encode()
	return u.String()
}

// newPostgresURL is that of a schema that is not there yet.
func newPostgresURL(t testing.TB) string {
	t.Helper()
	schema := fmt.Sprintf("tool_%d", databases.stores.Add(1))
	return withQuery(t, sharedPostgres(t).URL(""), "schema", schema, "search_path", schema, "pool_max_conns", "16")
}

// databaseURLs are of empty stores of this test's own.
func databaseURLs(t testing.TB) map[string]string {
	t.Helper()
	inPostgres := newPostgresURL(t)
	invokeStore(t, "migrate", inPostgres).want(t, 0)
	prefix := fmt.Sprintf("tool%d", databases.stores.Add(1))
	return map[string]string{
		"postgres": inPostgres,
		"redis":    withQuery(t, sharedRedis(t).URL(), "prefix", prefix, "durability", "disk"),
	}
}

// passwordOf is what must not be shown of a URL.
func passwordOf(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	password, has := u.User.Password()
	if !has || len(password) < 8 {
		t.Fatalf("the URL has no password to speak of: %q", password)
	}
	return password
}

// wantNoPassword demands that a run has not shown the password of a URL.
func (r *tool) wantNoPassword(t testing.TB, raw string) *tool {
	t.Helper()
	if all := r.stdout.String() + r.stderr.String(); strings.Contains(all, passwordOf(t, raw)) {
		t.Errorf("%q shows the password: %s", r.cmd.Args[1:], all)
	}
	return r
}

// fillStore writes the calls of storedCalls, one that was interrupted, one that was
// buried, and one that is in progress until the test has ended.
func fillStore(t testing.TB, raw string) {
	t.Helper()
	at, err := newStoreLocation(raw)
	if err != nil {
		t.Fatal(err)
	}
	mem, err := at.remember(t.Context(), storeModes[0], discarded)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := mem.closes(); err != nil {
			t.Error(err)
		}
	})
	s := mem.store
	claim := func(scope store.Scope) store.Record {
		r, won, err := s.Claim(t.Context(), store.Claim{
			Key: scope.Key(), Method: scope.Method, CallID: scope.CallID, Lease: 5 * time.Minute, Retention: time.Hour,
		})
		if err != nil || !won {
			t.Fatalf("%v: won %v, %v", scope, won, err)
		}
		return r
	}
	for id, result := range storedCalls {
		r := claim(scopeOf(id))
		if err := s.Complete(t.Context(), r.Key, r.Token, result, 24*time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	given := claim(scopeOf("interrupted"))
	if err := s.Abandon(t.Context(), given.Key, given.Token, store.Unended); err != nil {
		t.Fatal(err)
	}
	claim(scopeOf("working"))
	buried := scopeOf("buried")
	if _, err := s.Bury(t.Context(), store.Claim{
		Key: buried.Key(), Fingerprint: store.ByProof(buriedProof), Method: buried.Method, CallID: buried.CallID, Retention: 30 * time.Hour,
	}); err != nil {
		t.Fatal(err)
	}
}
