package chaospg

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

// Backend is that of servers that share a schema of PostgreSQL. A place is a URL with the
// parameters schema, which has the store's tables and the application's, and search_path,
// which is the same.
type Backend struct{}

// Shared implements workload.Backend.
func (Backend) Shared() bool { return true }

// Create implements workload.Backend.
func (Backend) Create(ctx context.Context, place string) error {
	conn, schema, err := connect(ctx, place)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := pgstore.Migrate(ctx, conn, pgstore.MigrateOptions{Schema: schema}); err != nil {
		return err
	}
	if _, err = conn.Exec(ctx, tables); err != nil {
		return fmt.Errorf("make the application's tables: %w", err)
	}
	return nil
}

// Open implements workload.Backend.
func (Backend) Open(ctx context.Context, place string, o workload.BackendOptions) (store.Store, error) {
	st, err := pgstore.OpenURL(ctx, place, pgstore.Options{Now: o.Now, SweepEvery: o.SweepEvery, Logger: o.Logger})
	if err != nil || o.Claim == nil {
		return st, err
	}
	return watched{st, o}, nil
}

// watched is a store whose claims its backend's user sees.
type watched struct {
	*pgstore.Store

	options workload.BackendOptions
}

// Claim implements store.Store.
func (w watched) Claim(ctx context.Context, c store.Claim) (store.Record, bool, error) {
	return w.options.Claim(ctx, w.Store, c)
}

// HandleTx implements workload.Backend.
func (Backend) HandleTx(
	s *server.Server, m server.Method, do func(context.Context, workload.State, history.Op) (workload.Answer, error),
) error {
	return server.HandleTx(s, m, func(ctx context.Context, tx pgx.Tx, op history.Op) (workload.Answer, error) {
		return do(ctx, state{ctx, tx}, op)
	})
}

// Book implements workload.Backend.
func (Backend) Book(
	ctx context.Context, place string, accounts []string, fn func(history.Event) error,
) (balances map[string]int64, err error) {
	conn, _, err := connect(ctx, place)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := readBook(ctx, conn, fn); err != nil {
		return nil, err
	}
	balances = map[string]int64{}
	for _, account := range accounts {
		balances[account] = workload.Opening
	}
	rows, err := conn.Query(ctx, "SELECT name, balance FROM account")
	if err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	var name string
	var balance int64
	if _, err = pgx.ForEachRow(rows, []any{&name, &balance}, func() error {
		balances[name] = balance
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read the accounts: %w", err)
	}
	return balances, nil
}

// undefinedTable is PostgreSQL's code for a table that is not there.
const undefinedTable = "42P01"

func readBook(ctx context.Context, conn *pgx.Conn, fn func(history.Event) error) error {
	var line []byte
	rows, err := conn.Query(ctx, "SELECT effect FROM book ORDER BY id")
	if err == nil {
		_, err = pgx.ForEachRow(rows, []any{&line}, func() error {
			var e history.Event
			if err := json.Unmarshal(line, &e); err != nil {
				return fmt.Errorf("a line of the book: %w", err)
			}
			return fn(e)
		})
	}
	if broken, ok := errors.AsType[*pgconn.PgError](err); ok && broken.Code == undefinedTable {
		return fmt.Errorf("read the book: %w: %w", fs.ErrNotExist, err)
	}
	if err != nil {
		return fmt.Errorf("read the book: %w", err)
	}
	return nil
}

// connect connects to a place, and returns its schema.
func connect(ctx context.Context, place string) (conn *pgx.Conn, schema string, err error) {
	config, err := pgx.ParseConfig(place)
	if err != nil {
		return nil, "", fmt.Errorf("connect: %w", err)
	}
	schema = config.RuntimeParams["schema"]
	delete(config.RuntimeParams, "schema")
	if conn, err = pgx.ConnectConfig(ctx, config); err != nil {
		return nil, "", fmt.Errorf("connect: %w", err)
	}
	return conn, schema, nil
}
