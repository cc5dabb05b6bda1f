package main

import (
	"context"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/bench"
	"github.com/warren-rpc/warren/test/postgres"
)

// benchPostgres is the database of the variants warren-classic-postgres and
// raw-inbox-postgres: a private PostgreSQL that waits for its disk.
func benchPostgres() bench.Database {
	return bench.Database{
		Name:  "postgres",
		Start: startBenchPostgres,
		Open: func(ctx context.Context, url string) (store.Store, error) {
			return pgstore.OpenURL(ctx, url, pgstore.Options{})
		},
		OpenInbox: openInbox,
	}
}

func startBenchPostgres(ctx context.Context) (url string, stop func() error, err error) {
	pg, err := postgres.Start(ctx, postgres.Options{Durable: true})
	if err != nil {
		return "", nil, err
	}
	url = pg.URL("postgres")
	if err := prepareBenchPostgres(ctx, url); err != nil {
		_ = pg.Close()
		return "", nil, err
	}
	return url, pg.Close, nil
}

func prepareBenchPostgres(ctx context.Context, url string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if err := pgstore.Migrate(ctx, conn, pgstore.MigrateOptions{}); err != nil {
		return err
	}
	_, err = conn.Exec(ctx, `CREATE TABLE inbox (id text PRIMARY KEY, received timestamptz NOT NULL DEFAULT now(), reply bytea)`)
	return err
}

// inbox is what many services have: a row for each message, written and committed when
// it comes, and again when it is answered.
type inbox struct{ pool *pgxpool.Pool }

// inboxConnections is as many as the server by hand has handlers.
const inboxConnections = 64

func openInbox(ctx context.Context, url string) (bench.Inbox, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, err
	}
	config.MaxConns = inboxConnections
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, err
	}
	return inbox{pool}, nil
}

// Begin implements bench.Inbox.
func (b inbox) Begin(ctx context.Context, id string) (isNew bool, err error) {
	tag, err := b.pool.Exec(ctx, `INSERT INTO inbox (id) VALUES ($1) ON CONFLICT DO NOTHING`, id)
	return tag.RowsAffected() == 1, err
}

// End implements bench.Inbox.
func (b inbox) End(ctx context.Context, id string, reply []byte) error {
	_, err := b.pool.Exec(ctx, `UPDATE inbox SET reply = $2 WHERE id = $1`, id, reply)
	return err
}

// Close implements bench.Inbox.
func (b inbox) Close() error {
	b.pool.Close()
	return nil
}
