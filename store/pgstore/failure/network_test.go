package failure

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
)

func TestNetworkThatFailsRepeatsNothing(t *testing.T) {
	t.Parallel()
	url := database(t)
	var stores []*pgstore.Store
	var networks []*proxy.Proxy
	for range 2 {
		network, err := proxy.New(postgres.Shared(t).Addr(), proxy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = network.Close() })
		networks = append(networks, network)
		stores = append(stores, open(t, connect(t, network.URL(url)), pgstore.Options{Timeout: 3 * time.Second}))
	}
	l := startLoad(t, stores...)
	for i, network := range networks {
		l.goesOn(t)
		faults := proxy.Random(uint64(i), 15, 150*time.Millisecond,
			proxy.Reset, proxy.Close, proxy.HalfOpen, proxy.Stall, proxy.Drop, proxy.Refuse, proxy.Slice)
		if err := network.Run(t.Context(), faults, nil); err != nil {
			t.Fatal(err)
		}
	}
	l.goesOn(t)
	l.finish(t, connect(t, url))
	if l.failed.Load() == 0 {
		t.Error("no call met the faults")
	}
}

// A database that hangs has calls fail after Options.Timeout, and what it had begun is found out when it goes on.
func TestFrozenPostgreSQLRepeatsNothing(t *testing.T) {
	t.Parallel()
	server := postgres.New(t, postgres.Options{})
	migrate(t, server.URL(""))
	pool := connect(t, server.URL(""))
	o := pgstore.Options{Timeout: 3 * time.Second}
	l := startLoad(t, open(t, pool, o), open(t, connect(t, server.URL("")), o))
	for range 2 {
		l.goesOn(t)
		if err := server.Freeze(); err != nil {
			t.Fatal(err)
		}
		failed := l.failed.Load()
		for l.failed.Load() == failed {
			time.Sleep(10 * time.Millisecond)
		}
		if err := server.Thaw(); err != nil {
			t.Fatal(err)
		}
	}
	l.goesOn(t)
	l.finish(t, pool)
}

// An address that led to the standby, and leads to the primary now, is followed: what cannot be written tells so, and its
// connections are given up.
func TestStandbyIsToldAndLeft(t *testing.T) {
	t.Parallel()
	pair := postgres.NewPair(t, postgres.Options{})
	migrate(t, pair.Primary().URL(""))
	patience.Eventually(t, "the standby has the tables", func() bool {
		out, err := pair.Standby().Exec(t.Context(), "SELECT 1 FROM pg_tables WHERE tablename = 'effects'")
		return err == nil && out == "1"
	})
	var target atomic.Pointer[string]
	leadTo := func(s *postgres.Server) { addr := s.Addr(); target.Store(&addr) }
	leadTo(pair.Standby())
	moved := func(c *pgxpool.Config) {
		c.ConnConfig.DialFunc = func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, *target.Load())
		}
	}
	pool := connect(t, pair.Primary().URL(""), moved)
	if s, err := pgstore.Open(t.Context(), pool, pgstore.Options{}); err == nil {
		_ = s.Close()
		t.Error("a store was opened on a standby, where it cannot tell that it is there")
	} else {
		named(t, "open", err, "read-only")
	}
	s := open(t, pool, pgstore.Options{NoSession: true})
	r := begun(t, open(t, connect(t, pair.Primary().URL("")), pgstore.Options{}), "a call")
	get(t, s, "a call") // a standby is good for that
	_, _, err := s.Claim(t.Context(), claimOf("another"))
	named(t, "claim", err, "read-only")
	named(t, "complete", finish(t.Context(), s, r), "read-only")

	leadTo(pair.Primary())
	patience.Eventually(t, "the connections to the standby are given up", func() bool {
		_, _, err := s.Claim(t.Context(), claimOf("a third"))
		if err != nil {
			named(t, "claim", err, "read-only")
		}
		return t.Failed() || err == nil
	})
	inTransaction := begun(t, s, "in a transaction")
	patience.Eventually(t, "those of the pool, too", func() bool {
		err := transact(t.Context(), s, inTransaction)
		if err != nil {
			named(t, "transact", err, "read-only")
		}
		return t.Failed() || err == nil
	})
	works(t, s, pool, "afterwards")
}
