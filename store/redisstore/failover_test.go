package redisstore

import (
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
	kit "github.com/warren-rpc/warren/test/redis"
)

// pair is a primary with a replica. Clients find whichever is the primary.
type pair struct {
	primary, replica server
	now              atomic.Pointer[string] // the primary's address
}

func newPair(t *testing.T) *pair {
	t.Helper()
	p := &pair{primary: startServer(t)}
	p.replica = server{kit.New(t, kit.Options{ReplicaOf: p.primary.Server})}
	addr := p.primary.Addr()
	p.now.Store(&addr)
	return p
}

// open opens a store of a process of its own.
func (p *pair) open(t *testing.T, o Options) *Store {
	t.Helper()
	options, err := redis.ParseURL(p.primary.URL())
	if err != nil {
		t.Fatal(err)
	}
	options.Dialer = func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, *p.now.Load())
	}
	return openWith(t, redis.NewClient(options), o)
}

// pause has the replica get nothing of what changes from here on.
func (p *pair) pause(t *testing.T) {
	t.Helper()
	offset := func(s server, field string) string {
		for line := range strings.Lines(s.do(t, "info replication")) {
			if value, found := strings.CutPrefix(strings.TrimSpace(line), field+":"); found {
				return value
			}
		}
		return ""
	}
	patience.Eventually(t, "the replica has what the primary has", func() bool {
		return offset(p.replica, "slave_repl_offset") == offset(p.primary, "master_repl_offset")
	})
	p.replica.do(t, "replicaof 127.0.0.1 1")
}

// failover kills the primary and has the replica take its place.
func (p *pair) failover(t *testing.T) {
	t.Helper()
	p.primary.Kill()
	if err := p.replica.Promote(t.Context()); err != nil {
		t.Fatal(err)
	}
	addr := p.replica.Addr()
	p.now.Store(&addr)
}

// kill ends the store as kill -9 ends its process.
func (s *Store) kill() {
	s.owners.stop()
	s.owners.quiet = true
	_ = s.own.Close()
}

// A change that the replica did not have is noticed by who had it confirmed, and stops
// all servers of the store.
func TestFailoverThatLosesChangesStopsTheStore(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s, other := p.open(t, Options{}), p.open(t, Options{})
	before, after := claimOf(numbered(1)), claimOf(numbered(2))
	complete(t, s, win(t, s, before))
	patience.Eventually(t, "the owners are known", func() bool { return p.primary.do(t, "hlen {warren}:owners") == "2" })
	p.pause(t)
	complete(t, s, win(t, s, after))
	p.failover(t)
	patience.Eventually(t, "the loss is noticed without a call", func() bool {
		return p.replica.do(t, "hget {warren}:store id") != s.Identity().ID
	})
	lost(t, s, after)
	lost(t, other, after)
	next := p.open(t, Options{})
	if next.Identity().ID == s.Identity().ID || !next.Identity().Created.After(s.Identity().Created) {
		t.Errorf("the store was %v, and is %v after the loss", s.Identity(), next.Identity())
	}
	if got, err := next.Get(t.Context(), before.Key); err != nil || got.State != store.Completed {
		t.Errorf("what the replica had is %v: %v", got.State, err)
	}
}

// If the owner has died with the primary, nobody knows. The call is begun again, and with
// Once, too: this is what Options.Durability has an application accept.
func TestFailoverForgetsTheCallsOfAnOwnerThatDiedToo(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s, other := p.open(t, Options{}), p.open(t, Options{})
	p.pause(t)
	c := claimOf(numbered(1))
	complete(t, s, win(t, s, c))
	s.kill()
	p.failover(t)
	c.Once = true
	patience.Eventually(t, "the call is begun a second time", func() bool {
		r, won, err := other.Claim(t.Context(), c)
		if won && (!r.First || r.Attempts != 1) {
			t.Errorf("it is not as if it had never been: %+v", r)
		}
		return won && err == nil
	})
}

// What a replica has to have is not confirmed without it, and not lost with it.
func TestFailoverLosesNothingThatTheReplicaHadToHave(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	o := Options{Durability: OnReplicas, Replicas: 1, ReplicaTimeout: 2 * time.Second}
	s, other := p.open(t, o), p.open(t, o)
	c := claimOf(numbered(1))
	complete(t, s, win(t, s, c))
	p.pause(t)
	late := claimOf(numbered(2))
	var unavailable *store.UnavailableError
	if _, won, err := s.Claim(t.Context(), late); !errors.As(err, &unavailable) || won {
		t.Errorf("a claim that no replica has: won %v, error %v; want an UnavailableError", won, err)
	}
	if _, err := other.Get(t.Context(), c.Key); !errors.As(err, &unavailable) {
		t.Errorf("a Get of what may be lost: %v; want an UnavailableError", err)
	}
	p.failover(t)
	// The new primary has no replica: it confirms nothing until it has one.
	if _, err := s.Get(t.Context(), c.Key); !errors.As(err, &unavailable) {
		t.Errorf("a Get of a primary without a replica: %v; want an UnavailableError", err)
	}
	server{kit.New(t, kit.Options{ReplicaOf: p.replica.Server})}.do(t, "ping")
	patience.Eventually(t, "the store works again", func() bool {
		_, err := s.Get(t.Context(), c.Key)
		return err == nil
	})
	for _, each := range []*Store{s, other} {
		if got, err := each.Get(t.Context(), c.Key); err != nil || got.State != store.Completed {
			t.Errorf("what was confirmed is %v: %v", got.State, err)
		}
	}
	complete(t, s, win(t, s, late))
}

// A replica may not have the last changes: it is not asked.
func TestReplicaAnswersNothing(t *testing.T) {
	t.Parallel()
	p := newPair(t)
	s := p.open(t, Options{})
	c := claimOf(numbered(1))
	complete(t, s, win(t, s, c))
	addr := p.replica.Addr()
	p.now.Store(&addr)
	p.primary.Kill()
	absent := claimOf(numbered(2))
	_, get := s.Get(t.Context(), absent.Key)
	_, _, claim := s.Claim(t.Context(), absent)
	_, _, replay := s.Claim(t.Context(), c)
	wait := s.Wait(t.Context(), absent.Key, 1)
	client := clientOf(p.replica.URL())
	defer client.Close()
	_, opened := Open(t.Context(), client, Options{})
	for name, err := range map[string]error{"Get": get, "Claim": claim, "Claim of what has ended": replay, "Wait": wait, "Open": opened} {
		if _, ok := errors.AsType[*store.UnavailableError](err); !ok {
			t.Errorf("%s of a replica: %v; want an UnavailableError", name, err)
		}
	}
}
