package failure

import (
	"testing"

	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/postgres"
)

func TestKilledPostgreSQLLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	server := postgres.New(t, postgres.Options{})
	migrate(t, server.URL(""))
	pool := connect(t, server.URL(""))
	l := startLoad(t, open(t, pool, pgstore.Options{}), open(t, connect(t, server.URL("")), pgstore.Options{}))
	for range 5 {
		l.goesOn(t)
		server.Kill()
		if err := server.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.goesOn(t)
	l.finish(t, pool)
	if l.failed.Load() == 0 {
		t.Error("no call met the kills")
	}
}

func TestFailoverToASynchronousStandbyLosesNothingAndRepeatsNothing(t *testing.T) {
	t.Parallel()
	pair := postgres.NewPair(t, postgres.Options{})
	migrate(t, pair.Primary().URL(""))
	pool := connect(t, pair.URL(""))
	l := startLoad(t, open(t, pool, pgstore.Options{}), open(t, connect(t, pair.URL("")), pgstore.Options{}))
	for range 3 {
		l.goesOn(t)
		if err := pair.Failover(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	l.goesOn(t)
	l.finish(t, pool)
	if l.failed.Load() == 0 {
		t.Error("no call met the fail-overs")
	}
}
