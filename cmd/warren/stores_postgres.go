package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
)

// postgresLocation is a store in a schema of a PostgreSQL database.
type postgresLocation struct {
	shown  string // the URL without passwords
	config *pgxpool.Config
	schema string // empty: the default
}

// newPostgresLocation reads a URL as libpq does, with the parameter schema.
func newPostgresLocation(raw string) (*postgresLocation, error) {
	config, err := pgxpool.ParseConfig(raw)
	if err != nil {
		_, cause, _ := strings.Cut(err.Error(), "`: ") // the URL is before it
		return nil, errors.New(cmp.Or(cause, "is not a URL of PostgreSQL"))
	}
	settings := config.ConnConfig.RuntimeParams
	p := &postgresLocation{shown: withoutPassword(raw), config: config, schema: settings["schema"]}
	delete(settings, "schema")
	if settings["application_name"] == "" {
		settings["application_name"] = "warren"
	}
	// Hosts are tried one after the other, and one whose machine is gone does not answer.
	if config.ConnConfig.ConnectTimeout == 0 {
		config.ConnConfig.ConnectTimeout = connectTimeout
	}
	return p, nil
}

// connectTimeout is what each host of a URL without connect_timeout has to answer.
const connectTimeout = 3 * time.Second

func (p *postgresLocation) String() string { return p.shown }

func (*postgresLocation) states() []store.State { return sharedStates }

// open opens the store on a pool of its own, which closes ends.
func (p *postgresLocation) open(ctx context.Context, o pgstore.Options) (s *pgstore.Store, pool *pgxpool.Pool, closes func() error, err error) {
	if pool, err = pgxpool.NewWithConfig(ctx, p.config); err != nil {
		return nil, nil, nil, err
	}
	o.Schema = p.schema
	if s, err = pgstore.Open(ctx, pool, o); err != nil {
		pool.Close()
		return nil, nil, nil, err
	}
	return s, pool, func() error {
		defer pool.Close()
		return s.Close()
	}, nil
}

func (p *postgresLocation) inspect(ctx context.Context) (inspector, error) {
	s, _, closes, err := p.open(ctx, pgstore.Options{SweepEvery: -1, NoSession: true, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	return &sharedInspector{s, p.shown, closes}, nil
}

func (p *postgresLocation) check(ctx context.Context) (*storeCheckResult, error) {
	return checkShared(ctx, p)
}

func (p *postgresLocation) sweep(ctx context.Context) (int, error) { return sweepShared(ctx, p) }

// migrate makes the schema, or brings it up to date, and returns its name.
func (p *postgresLocation) migrate(ctx context.Context, o pgstore.MigrateOptions) (string, error) {
	o.Schema = cmp.Or(o.Schema, p.schema, "warren")
	return o.Schema, p.with(ctx, func(conn *pgx.Conn) error { return pgstore.Migrate(ctx, conn, o) })
}

// with calls f with a connection.
func (p *postgresLocation) with(ctx context.Context, f func(*pgx.Conn) error) error {
	opening, cancel := context.WithTimeout(ctx, openingTimeout)
	defer cancel()
	conn, err := pgx.ConnectConfig(opening, p.config.ConnConfig)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }() // what it did is committed, or not
	return f(conn)
}

// run executes one statement.
func (p *postgresLocation) run(ctx context.Context, sql string) error {
	return p.with(ctx, func(conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, sql)
		return err
	})
}

func (p *postgresLocation) remember(ctx context.Context, mode server.Mode, log *slog.Logger) (*memory, error) {
	s, pool, closes, err := p.open(ctx, pgstore.Options{Logger: log})
	if err != nil {
		return nil, err
	}
	if err := makeCounter(ctx, pool); err != nil {
		return nil, fmt.Errorf("the counter: %w", errors.Join(err, closes()))
	}
	m := &memory{store: s, closes: closes}
	m.count = func(srv *server.Server, settings server.Method) error {
		if mode == server.Transactional {
			return server.HandleTx(srv, settings, func(ctx context.Context, tx pgx.Tx, _ anyText) (string, error) {
				return incrementInPostgres(ctx, tx)
			})
		}
		return server.Handle(srv, settings, func(ctx context.Context, _ anyText) (string, error) {
			return incrementInPostgres(ctx, pool)
		})
	}
	return m, nil
}

// makeCounter makes the table of sample.count if it is not there. Of several servers
// that start one does; and one that may not make tables uses what is there.
func makeCounter(ctx context.Context, pool *pgxpool.Pool) error {
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtext('warren_samples'))"); err != nil {
			return err
		}
		var there bool
		err := tx.QueryRow(ctx, "SELECT to_regclass('warren_samples') IS NOT NULL").Scan(&there)
		if err != nil || there {
			return err
		}
		_, err = tx.Exec(ctx, "CREATE TABLE warren_samples (name text PRIMARY KEY, n bigint NOT NULL)")
		return err
	})
}

// incrementInPostgres adds one to the counter, in a transaction or by a statement alone.
func incrementInPostgres(ctx context.Context, db interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (string, error) {
	var n int64
	err := db.QueryRow(ctx, `INSERT INTO warren_samples AS s (name, n) VALUES ('sample.count', 1)
		ON CONFLICT (name) DO UPDATE SET n = s.n + 1 RETURNING n`).Scan(&n)
	if err != nil {
		return "", fmt.Errorf("the counter: %w", err)
	}
	return strconv.FormatInt(n, 10), nil
}
