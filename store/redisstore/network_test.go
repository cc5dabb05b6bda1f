package redisstore

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
)

// again runs a script twice, as a client does whose connection was lost before the reply.
func again(t *testing.T, s *Store, sc *script, records []store.Key, args ...any) (first, second answer) {
	t.Helper()
	var keys []string
	for _, key := range records {
		keys = append(keys, s.keys.record(key))
	}
	o := s.op(sc, keys, args...)
	answers := make([]answer, 2)
	for i := range answers {
		sent := &op{script: sc, keys: o.keys, args: o.args, done: make(chan struct{})}
		var err error
		if answers[i], err = s.answered(t.Context(), sent, s.line.do(t.Context(), sent)); err != nil {
			t.Fatalf("%s: %v", sc.name, err)
		}
	}
	return answers[0], answers[1]
}

func TestScriptThatIsSentTwiceIsDoneOnce(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s := open(t, server.URL(), Options{Prefix: prefix})
	c := claimOf(numbered(1))
	tomb := c.Key.Tombstone(c.Fingerprint)
	proven := store.ByProof(c.Fingerprint.Proof())
	first, second := again(t, s, claimScript, []store.Key{c.Key, tomb}, span(c.Lease), span(c.Retention), "0", "0", c.Fingerprint[:], c.Method, c.CallID)
	r, err := s.record("claim", c.Key, second)
	if first.word != "won" || second.word != "won" || err != nil || r.Attempts != 1 {
		t.Fatalf("a claim: %v, and again %v: %+v, error %v", first.word, second.word, r, err)
	}
	base, turn := tokenParts(r.Token)
	if first, second = again(t, s, abandonScript, []store.Key{c.Key}, base, turn, int(store.Ended)); first.word != "ok" || second.word != "ok" {
		t.Errorf("an end without a result: %v, and again %v", first.word, second.word)
	}
	if got, err := s.Get(t.Context(), c.Key); err != nil || got.Attempts != 0 {
		t.Errorf("it has left %+v: %v", got, err)
	}
	r = win(t, s, c)
	base, turn = tokenParts(r.Token)
	first, second = again(t, s, completeScript, []store.Key{c.Key}, base, turn, int(store.Completed), span(time.Hour), 0, "", "")
	if first.word != "ok" || second.word != "ok" {
		t.Errorf("an end: %v, and again %v", first.word, second.word)
	}
	for _, begun := range []bool{true, false} {
		b := claimOf(numbered(2))
		if begun {
			b = claimOf(numbered(3))
			r := win(t, s, b)
			if err := s.Abandon(t.Context(), b.Key, r.Token, store.Unended); err != nil {
				t.Fatal(err)
			}
		}
		_, second := again(t, s, buryScript, []store.Key{b.Key, b.Key.Tombstone(proven)}, span(time.Hour), proven[:], b.Method, b.CallID, 10)
		r, err := s.record("bury", b.Key, second)
		if want := map[bool]store.State{true: store.Interrupted, false: store.Absent}[begun]; err != nil || r.State != want {
			t.Errorf("Bury, again, of what was %v: %v, error %v", want, r.State, err)
		}
	}
}

// Connections are cut at any moment. An operation that fails may have been done; the
// token tells.
func TestCutConnectionsLoseAndRepeatNothing(t *testing.T) {
	t.Parallel()
	server := startServer(t)
	cuts, err := proxy.New(server.Addr(), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cuts.Close() })
	s := open(t, server.URLAt(cuts.Addr()), Options{})
	w := startWork(s, func(err error) {
		if _, ok := errors.AsType[*store.UnavailableError](err); !ok {
			t.Errorf("while connections are cut: %v; want an UnavailableError", err)
		}
	})
	for i := range 60 {
		before := w.next.Load()
		patience.Eventually(t, "calls are made", func() bool { return w.next.Load() > before+20 })
		cuts.Cut([]proxy.How{proxy.RST, proxy.FIN}[i%2])
	}
	direct := open(t, server.URL(), Options{})
	for key, state := range w.end() {
		got, err := direct.Get(t.Context(), key)
		if err != nil || state == store.Completed && got.State != store.Completed || got.State == store.Absent || got.Attempts != 1 {
			t.Errorf("what was confirmed as %v is %+v: %v", state, got, err)
		}
	}
}

func TestStoreWorksInACluster(t *testing.T) {
	t.Parallel()
	server := startServer(t, "cluster-enabled", "yes")
	server.do(t, "cluster addslotsrange 0 16383")
	patience.Eventually(t, "the cluster is up", func() bool { return strings.Contains(server.do(t, "cluster info"), "cluster_state:ok") })
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	u.Path, u.RawQuery = "", "addr="+u.Host
	client, _, err := Connect(u.String())
	if err != nil {
		t.Fatal(err)
	}
	if s, err := Open(t.Context(), client, Options{Replicas: 1}); err == nil {
		_ = s.Close()
		t.Error("a store that waits for replicas is opened in a cluster")
	}
	_ = client.Close()
	s, err := OpenURL(t.Context(), u.String(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	r := win(t, s, claimOf(numbered(1)))
	win(t, s, claimOf(numbered(2)))
	if err := s.Renew(t.Context(), r.Key, r.Token, time.Minute); err != nil {
		t.Error(err)
	}
	complete(t, s, r)
	if before, err := s.Bury(t.Context(), claimOf(numbered(3))); err != nil || before.State != store.Absent {
		t.Errorf("Bury: %v, error %v", before.State, err)
	}
	stats, err := s.Stats(t.Context())
	if err != nil || stats.Total() != 3 || stats.Records[store.Completed] != 1 || stats.Size == 0 {
		t.Errorf("Stats: %+v, error %v", stats, err)
	}
}

func TestURLNamesTheStore(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s, err := OpenURL(t.Context(), server.URL()+"?prefix="+prefix, Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	password := passwordOf(t, server.URL())
	if s.opts.Prefix != prefix || strings.Contains(s.Identity().String(), password) || !strings.Contains(s.Identity().Place, server.Addr()) {
		t.Errorf("the store is %v, with the prefix %s", s.Identity(), s.opts.Prefix)
	}
	for _, wrong := range []string{"redis://u:secret@host:x y/0", "http://u:secret@host/0", "redis://u:secret@host/a/b", "redis://u:secret@host/0?what=1", "redis://u:secret@host/%zz"} {
		if _, err := OpenURL(t.Context(), wrong, Options{}); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
}

func passwordOf(t *testing.T, address string) string {
	t.Helper()
	o, err := redis.ParseURL(address)
	if err != nil {
		t.Fatal(err)
	}
	return o.Password
}

// Time is that of Redis, and records are forgotten by it.
func TestRecordsAreForgottenByRedis(t *testing.T) {
	t.Parallel()
	server, prefix := sharedServer(t)
	s := open(t, server.URL(), Options{Prefix: prefix})
	c := claimOf(numbered(1))
	c.Retention = time.Second
	r := win(t, s, c)
	ttl := func() time.Duration {
		client := server.client()
		defer client.Close()
		return client.PTTL(context.Background(), s.keys.record(c.Key)).Val()
	}
	if got := ttl(); got <= c.Lease || got > c.Lease+time.Minute {
		t.Errorf("a call in progress is forgotten in %v", got)
	}
	if err := s.Complete(t.Context(), r.Key, r.Token, done, c.Retention); err != nil {
		t.Fatal(err)
	}
	if got := ttl(); got <= 0 || got > c.Retention+time.Minute {
		t.Errorf("what has ended is forgotten in %v", got)
	}
	patience.Eventually(t, "it is absent after its retention", func() bool {
		got, err := s.Get(t.Context(), c.Key)
		return err == nil && got.State == store.Absent
	})
}
