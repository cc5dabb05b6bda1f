package failure

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
)

func TestMain(m *testing.M) {
	os.Exit(postgres.Main(m, func() error { return goleak.Find() }))
}

// migrate makes the tables of the store and of the effects.
func migrate(t *testing.T, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if err := pgstore.Migrate(t.Context(), conn, pgstore.MigrateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := conn.Exec(t.Context(), "CREATE TABLE effects (call text NOT NULL)"); err != nil {
		t.Fatal(err)
	}
}

// database is one of the test's own, with all tables, on the shared server.
func database(t *testing.T) string {
	t.Helper()
	url := postgres.Database(t)
	migrate(t, url)
	return url
}

// connect opens a pool that ends with the test.
func connect(t *testing.T, url string, change ...func(*pgxpool.Config)) *pgxpool.Pool {
	t.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.MaxConns = 8
	for _, c := range change {
		c(config)
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// open opens a store that ends with the test, before its pool.
func open(t *testing.T, pool *pgxpool.Pool, o pgstore.Options) *pgstore.Store {
	t.Helper()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s, err := pgstore.Open(t.Context(), pool, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// claimOf is the claim of a call.
func claimOf(id string) store.Claim {
	return store.Claim{
		Key: store.Scope{Namespace: "failure", Method: "m", CallID: id}.Key(), Method: "m", CallID: id,
		Lease: 2 * time.Second, Retention: 24 * time.Hour,
	}
}

// begun claims a call that is new.
func begun(t *testing.T, s *pgstore.Store, id string) store.Record {
	t.Helper()
	r, won, err := s.Claim(t.Context(), claimOf(id))
	if err != nil || !won {
		t.Fatalf("claim of %s: won %v, %v", id, won, err)
	}
	return r
}

// finish completes what was begun.
func finish(ctx context.Context, s *pgstore.Store, r store.Record) error {
	return s.Complete(ctx, r.Key, r.Token, resultOf(r.CallID), 24*time.Hour)
}

// transact completes it in the transaction that has its effect.
func transact(ctx context.Context, s *pgstore.Store, r store.Record) error {
	return s.Transact(ctx, r.Key, r.Token, 24*time.Hour, func(tx pgx.Tx) (store.Result, error) {
		_, err := tx.Exec(ctx, "INSERT INTO effects VALUES ($1)", r.CallID)
		return resultOf(r.CallID), err
	})
}

func resultOf(id string) store.Result {
	return store.Result{State: store.Completed, Payload: []byte("reply to " + id)}
}

// get asks for a record until it can be had.
func get(t *testing.T, s *pgstore.Store, id string) (r store.Record) {
	t.Helper()
	patience.Eventually(t, "the store answers", func() (ok bool) {
		var err error
		r, err = s.Get(t.Context(), claimOf(id).Key)
		return err == nil
	})
	return r
}

// effects counts those of a call.
func effects(t *testing.T, pool *pgxpool.Pool, id string) (n int) {
	t.Helper()
	patience.Eventually(t, "the database answers", func() bool {
		return pool.QueryRow(t.Context(), "SELECT count(*) FROM effects WHERE call = $1", id).Scan(&n) == nil
	})
	return n
}

// unavailable fails the test if err is not of this kind.
func unavailable(t *testing.T, what string, err error) {
	t.Helper()
	if e := (*store.UnavailableError)(nil); !errors.As(err, &e) {
		t.Errorf("%s: error %v, want an UnavailableError", what, err)
	}
}

// works has a call of each kind end well.
func works(t *testing.T, s *pgstore.Store, pool *pgxpool.Pool, id string) {
	t.Helper()
	patience.Eventually(t, "the store works again", func() bool {
		_, err := s.Get(t.Context(), store.Key{})
		return err == nil
	})
	if err := finish(t.Context(), s, begun(t, s, id+" plain")); err != nil {
		t.Error(err)
	}
	if err := transact(t.Context(), s, begun(t, s, id+" transaction")); err != nil {
		t.Error(err)
	}
	if r, n := get(t, s, id+" transaction"), effects(t, pool, id+" transaction"); r.State != store.Completed || n != 1 {
		t.Errorf("afterwards a call is %v and has %d effects", r.State, n)
	}
}
