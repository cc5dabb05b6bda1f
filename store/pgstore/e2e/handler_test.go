package e2e

import (
	"context"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/postgres"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// What becomes of a transaction whose statements fail.
func TestFailedStatementsAreNoSuccess(t *testing.T) {
	o := spec{Broker: rabbit.VHost(t), Database: postgres.Database(t), Schema: "warren"}
	database(t, o.Database, o.Schema)
	pool, err := pgxpool.New(t.Context(), o.Database)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	st, err := pgstore.Open(t.Context(), pool, pgstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	wrong := func(ctx context.Context, tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "INSERT INTO nowhere VALUES (1)")
		return err
	}
	var collisions atomic.Int32
	handlers := map[string]func(ctx context.Context, tx pgx.Tx) error{
		"passes over it": func(ctx context.Context, tx pgx.Tx) error {
			_ = wrong(ctx, tx)
			return nil
		},
		"returns it": wrong,
		"undoes it by a savepoint": func(ctx context.Context, tx pgx.Tx) error {
			inner, err := tx.Begin(ctx)
			if err != nil {
				return err
			}
			_ = wrong(ctx, inner)
			return inner.Rollback(ctx)
		},
		"collides twice": func(context.Context, pgx.Tx) error {
			if collisions.Add(1) <= 2 {
				return &pgconn.PgError{Code: "40001", SeverityUnlocalized: "ERROR"}
			}
			return nil
		},
		"collides each time": func(context.Context, pgx.Tx) error {
			return &pgconn.PgError{Code: "40P01", SeverityUnlocalized: "ERROR"}
		},
	}
	s := rig.NewServer(t, server.Config{Broker: warren.Broker{URLs: []string{o.Broker}}, Store: st, Logger: slog.New(slog.DiscardHandler)})
	err = server.HandleTx(s, server.Method{Name: effect, Codec: warren.Raw}, func(ctx context.Context, tx pgx.Tx, body []byte) ([]byte, error) {
		if _, err := tx.Exec(ctx, "INSERT INTO public.effects VALUES ($1)", string(body)); err != nil {
			return nil, err
		}
		return []byte("done"), handlers[string(body)](ctx, tx)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rig.Stop(t, s) })
	c := o.caller(t)
	for name, want := range map[string]string{
		"passes over it":           "internal, not_executed",
		"returns it":               "unknown, executed",
		"undoes it by a savepoint": "",
		"collides twice":           "",
		"collides each time":       "unavailable/store_unavailable, not_executed",
	} {
		_, err := c.Call(t.Context(), effect, []byte(name), client.WithAttempts(1), client.WithTimeout(time.Minute))
		told := ""
		if e, ok := warren.AsError(err); ok {
			told = strings.TrimSuffix(e.Code.String()+"/"+e.Reason, "/") + ", " + e.Outcome.String()
		}
		if told != want || err != nil && want == "" {
			t.Errorf("a handler that %s: %v; want %q", name, err, want)
		}
		n := 0
		if want == "" {
			n = 1
		}
		if got := effectsByCall(t, o.Database)[name]; got != n {
			t.Errorf("a handler that %s has %d effects; want %d", name, got, n)
		}
	}
}
