package pgstore

import (
	"context"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/test/postgres"
)

// database is a database of a test's own.
type database struct {
	*testing.T
	url  string
	pool *pgxpool.Pool
}

// newDatabase returns one with the schema "warren".
func newDatabase(t *testing.T, o MigrateOptions) *database {
	t.Helper()
	return onDatabase(t, postgres.Database(t), o)
}

func onDatabase(t *testing.T, url string, o MigrateOptions) *database {
	t.Helper()
	d := &database{T: t, url: url}
	d.migrate(o)
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	d.pool = pool
	return d
}

func (d *database) connect() *pgx.Conn {
	d.Helper()
	conn, err := pgx.Connect(d.Context(), d.url)
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func (d *database) migrate(o MigrateOptions) {
	d.Helper()
	conn := d.connect()
	if err := Migrate(d.Context(), conn, o); err != nil {
		d.Fatal(err)
	}
	_ = conn.Close(d.Context())
}

func (d *database) exec(sql string, args ...any) {
	d.Helper()
	if _, err := d.pool.Exec(d.Context(), sql, args...); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
}

// value is what a query of one row with one column returns.
func value[V any](d *database, sql string, args ...any) (v V) {
	d.Helper()
	if err := d.pool.QueryRow(d.Context(), sql, args...).Scan(&v); err != nil {
		d.Fatalf("%s: %v", sql, err)
	}
	return v
}
