package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/postgres"
	"github.com/warren-rpc/warren/test/redis"
)

// demoStore opens the memory that the demo's servers share. After an error nothing is
// left of it.
type demoStore func(ctx context.Context, out *output) (*demoMemory, error)

// newDemoStore reads --store; nil if it is not given.
func newDemoStore(cmd *cli.Command) (demoStore, error) {
	switch text := cmd.String("store"); {
	case !cmd.IsSet("store"):
		return nil, nil
	case text == "postgres":
		return privatePostgres, nil
	case text == "redis":
		return privateRedis, nil
	default:
		at, err := storeLocationOf(cmd, text)
		if err != nil {
			return nil, err
		}
		if _, ok := at.(*postgresLocation); !ok {
			return nil, usageError(cmd, "--store is %.60q; it must be postgres, redis, or the URL of a PostgreSQL database", at)
		}
		return func(ctx context.Context, out *output) (*demoMemory, error) { return memoryInPostgres(ctx, out, text) }, nil
	}
}

// demoMemory is what the demo's servers remember calls in. A nil one is none.
type demoMemory struct {
	name, remark string // for people; remark is on calls that were executed twice
	url          string // for servers
	mode         server.Mode
	// count reads what was executed from where the effects are; nil if the handlers
	// have said it.
	count  func(ctx context.Context) (effectSums, error)
	closes func()
}

func openDemoMemory(ctx context.Context, out *output, open demoStore) (*demoMemory, error) {
	if open == nil {
		return nil, nil
	}
	return open(ctx, out)
}

func (m *demoMemory) close() {
	if m != nil {
		m.closes()
	}
}

// env tells the demo's servers of it.
func (m *demoMemory) env() []string {
	if m == nil {
		return nil
	}
	return []string{demoStoreVariable + "=" + m.url, demoModeVariable + "=" + m.mode.String()}
}

// points are those at which servers are killed.
func (m *demoMemory) points() []crashpoint.Point {
	if m == nil {
		return plainPoints
	}
	return storePoints
}

func privatePostgres(ctx context.Context, out *output) (*demoMemory, error) {
	out.note("starting a private PostgreSQL")
	s, err := postgres.Start(ctx, postgres.Options{})
	if err != nil {
		return nil, notStarted(out, exitInternal, err)
	}
	stop := closer(out, s)
	m, err := memoryInPostgres(ctx, out, s.URL(""))
	if err != nil {
		stop()
		return nil, err
	}
	m.closes = stop // the schema goes with it
	return m, nil
}

func privateRedis(ctx context.Context, out *output) (*demoMemory, error) {
	out.note("starting a private Redis")
	s, err := redis.Start(ctx, redis.Options{Durable: true})
	if err != nil {
		return nil, notStarted(out, exitInternal, err)
	}
	return &demoMemory{
		name: "Redis", remark: "at-most-once: what a kill interrupts is aborted",
		url: s.URL() + "?durability=disk", mode: server.AtMostOnce, closes: closer(out, s),
	}, nil
}

// demoEffects is the table in which handlers write the numbers that they square.
const demoEffects = "demo_effects"

// demoConnections is how many connections each server of the demo has to PostgreSQL.
const demoConnections = 16

// memoryInPostgres makes a schema of the demo's own in a database.
func memoryInPostgres(ctx context.Context, out *output, database string) (*demoMemory, error) {
	schema := "warren_demo_" + strings.ToLower(rand.Text()[:10])
	u, err := url.Parse(database)
	if err != nil {
		return nil, exit(exitUsage, "--store is no URL: a password with special characters must be percent-encoded")
	}
	query := u.Query()
	query.Set("schema", schema)
	query.Set("search_path", schema) // of the handlers
	query.Set("pool_max_conns", fmt.Sprint(demoConnections))
	u.RawQuery = query.Encode()
	p, err := newPostgresLocation(u.String())
	if err != nil {
		return nil, exit(exitUsage, "--store: %w", err)
	}
	drop := func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
		defer cancel()
		if err := p.run(ctx, "DROP SCHEMA IF EXISTS "+schema+" CASCADE"); err != nil {
			out.note("the schema %s could not be dropped: %v", schema, err)
		}
	}
	if _, err := p.migrate(ctx, pgstore.MigrateOptions{}); err != nil {
		if _, unreached := errors.AsType[*pgconn.ConnectError](err); !unreached {
			drop()
		}
		return nil, storeError(ctx, err)
	}
	if err := p.run(ctx, "CREATE TABLE "+demoEffects+" (n bigint NOT NULL)"); err != nil {
		drop()
		return nil, storeError(ctx, err)
	}
	return &demoMemory{
		name: "PostgreSQL", remark: "each effect commits with the record of its call",
		url: u.String(), mode: server.Transactional, closes: drop,
		count: func(ctx context.Context) (sums effectSums, err error) {
			err = p.with(ctx, func(conn *pgx.Conn) error {
				return conn.QueryRow(ctx, "SELECT count(*), count(*) FILTER (WHERE times > 1) FROM "+
					"(SELECT count(*) AS times FROM "+demoEffects+" GROUP BY n) AS calls").Scan(&sums.executed, &sums.repeated)
			})
			return sums, err
		},
	}, nil
}
