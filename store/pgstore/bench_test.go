package pgstore

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/postgres"
)

// connections is the size of the pool that each side has.
const connections = 16

// benched is a server that waits for its disk, as production's does.
func benched(b *testing.B) *pgxpool.Pool {
	b.Helper()
	config, err := pgxpool.ParseConfig(postgres.New(b, postgres.Options{Durable: true}).URL(""))
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns = connections
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	execute(b, pool, "CREATE TABLE effects (key bytea PRIMARY KEY, at timestamptz NOT NULL)")
	return pool
}

func benchStore(b *testing.B, pool *pgxpool.Pool) *Store {
	b.Helper()
	c, err := pool.Acquire(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Release()
	if err := Migrate(context.Background(), c.Conn(), MigrateOptions{}); err != nil {
		b.Fatal(err)
	}
	s, err := Open(context.Background(), pool, Options{SweepEvery: -1})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	return s
}

var reply = store.Result{State: store.Completed, Payload: make([]byte, 200)}

// inFlight has so many callers make the benchmark's calls.
func inFlight(b *testing.B, callers int, call func(ctx context.Context, key store.Key) error) {
	b.Helper()
	var left atomic.Int64
	left.Store(int64(b.N))
	ended := make(chan error, callers)
	b.ResetTimer()
	for range callers {
		go func() {
			var err error
			for err == nil && left.Add(-1) >= 0 {
				err = call(context.Background(), newKey())
			}
			ended <- err
		}()
	}
	for range callers {
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	b.StopTimer()
}

const (
	inbox = `CREATE TABLE inbox (key bytea PRIMARY KEY, method text NOT NULL, call_id text NOT NULL, fingerprint bytea NOT NULL,
		state smallint NOT NULL, created timestamptz NOT NULL, expires timestamptz NOT NULL, reply bytea)`
	enter = `INSERT INTO inbox (key, method, call_id, fingerprint, state, created, expires)
		VALUES ($1, 'orders.create', 'call', $1, 1, now(), now() + interval '1 day') ON CONFLICT (key) DO NOTHING`
	leave  = `UPDATE inbox SET state = 3, reply = $2, expires = now() + interval '1 day' WHERE key = $1 AND state = 1`
	effect = `INSERT INTO effects VALUES ($1, now())`
)

// BenchmarkCalls is what the memory of a call costs, its claim and its end: with this store, and by hand with an inbox
// table, a statement and a commit for each of the two.
func BenchmarkCalls(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d/store", callers), func(b *testing.B) {
			s := benchStore(b, benched(b))
			inFlight(b, callers, func(ctx context.Context, key store.Key) error {
				r, _, err := s.Claim(ctx, claimOf(key))
				if err != nil {
					return err
				}
				return s.Complete(ctx, key, r.Token, reply, 24*time.Hour)
			})
		})
		b.Run(fmt.Sprintf("callers=%d/hand", callers), func(b *testing.B) {
			pool := benched(b)
			execute(b, pool, inbox)
			inFlight(b, callers, func(ctx context.Context, key store.Key) error {
				if _, err := pool.Exec(ctx, enter, key[:]); err != nil {
					return err
				}
				_, err := pool.Exec(ctx, leave, key[:], reply.Payload)
				return err
			})
		})
	}
}

// BenchmarkTransactions is a call whose effect commits with its record: with this store, and by hand, where one
// transaction enters the call, has the effect and keeps the reply. By hand there is one commit, and nobody knows that
// the call is under way.
func BenchmarkTransactions(b *testing.B) {
	for _, callers := range []int{1, 16, 256} {
		b.Run(fmt.Sprintf("callers=%d/store", callers), func(b *testing.B) {
			s := benchStore(b, benched(b))
			inFlight(b, callers, func(ctx context.Context, key store.Key) error {
				r, _, err := s.Claim(ctx, claimOf(key))
				if err != nil {
					return err
				}
				return s.Transact(ctx, key, r.Token, 24*time.Hour, func(tx pgx.Tx) (store.Result, error) {
					_, err := tx.Exec(ctx, effect, key[:])
					return reply, err
				})
			})
		})
		b.Run(fmt.Sprintf("callers=%d/hand", callers), func(b *testing.B) {
			pool := benched(b)
			execute(b, pool, inbox)
			inFlight(b, callers, func(ctx context.Context, key store.Key) error {
				return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
					if _, err := tx.Exec(ctx, enter, key[:]); err != nil {
						return err
					}
					if _, err := tx.Exec(ctx, effect, key[:]); err != nil {
						return err
					}
					_, err := tx.Exec(ctx, leave, key[:], reply.Payload)
					return err
				})
			})
		})
	}
}
