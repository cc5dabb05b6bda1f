package redisstore

import (
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"

	kit "github.com/warren-rpc/warren/test/redis"
)

func TestMain(m *testing.M) {
	os.Exit(kit.Main(m, func() error { return goleak.Find() }))
}

// server is a Redis of a test's own.
type server struct{ *kit.Server }

// startServer starts a Redis with that configuration, in pairs of name and value.
func startServer(tb testing.TB, config ...string) server {
	tb.Helper()
	settings := make(map[string]string)
	for i := 0; i+1 < len(config); i += 2 {
		settings[config[i]] = config[i+1]
	}
	return server{kit.New(tb, kit.Options{Config: settings})}
}

// sharedServer returns a Redis that all tests have, and a prefix that no other has.
func sharedServer(tb testing.TB) (s server, prefix string) {
	tb.Helper()
	return server{kit.Shared(tb)}, "test-" + strconv.FormatInt(prefixes.Add(1), 10)
}

var prefixes atomic.Int64

func (s server) client() *redis.Client { return clientOf(s.URL()) }

func clientOf(url string) *redis.Client {
	o, err := redis.ParseURL(url)
	if err != nil {
		panic(err)
	}
	return redis.NewClient(o)
}

// do sends a command, given in words.
func (s server) do(tb testing.TB, command string) string {
	tb.Helper()
	reply, err := s.Do(tb.Context(), strings.Fields(command)...)
	if err != nil {
		tb.Fatalf("%s: %v", command, err)
	}
	return reply
}

// open opens a store with a client of its own, as a process has. Both are closed when
// the test ends.
func open(tb testing.TB, url string, o Options) *Store {
	tb.Helper()
	return openWith(tb, clientOf(url), o)
}

// openWith opens a store that closes the client.
func openWith(tb testing.TB, client *redis.Client, o Options) *Store {
	tb.Helper()
	o.Logger = slog.New(slog.DiscardHandler)
	s, err := Open(tb.Context(), client, o)
	if err != nil {
		_ = client.Close()
		tb.Fatalf("Open: %v", err)
	}
	s.own = client
	tb.Cleanup(func() { _ = s.Close() })
	return s
}
