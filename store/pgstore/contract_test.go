package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/storetest"
	"github.com/warren-rpc/warren/test/postgres"
)

// databaseURL is the environment variable that has the processes which a test starts use the test's own server.
const databaseURL = "WARREN_PGSTORE_URL"

var setURL sync.Once

// testURL is the address of the server that the tests share.
func testURL(t testing.TB) string {
	t.Helper()
	if address := os.Getenv(databaseURL); address != "" {
		return address
	}
	address := postgres.Shared(t).URL("")
	setURL.Do(func() { _ = os.Setenv(databaseURL, address) }) //nolint:usetesting // for the life of the process
	return address
}

// testSchema is the schema that has that name in a test's own words.
func testSchema(name string) string {
	sum := sha256.Sum256([]byte(name))
	return "t" + hex.EncodeToString(sum[:8])
}

// makeSchema makes the schema, and a table of an application. It was made at the time that the test's clock shows, at the
// latest.
func makeSchema(t testing.TB, schema string, now time.Time) {
	t.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, testURL(t))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = c.Close(ctx) }()
	if err := Migrate(ctx, c, MigrateOptions{Schema: schema}); err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"UPDATE {}.meta SET created = $1 WHERE created > $1",
		"CREATE TABLE IF NOT EXISTS {}.application (key bytea PRIMARY KEY, value bytea NOT NULL)",
	} {
		sql = strings.ReplaceAll(sql, "{}", quote(schema))
		var args []any
		if strings.Contains(sql, "$1") {
			args = []any{now}
		}
		if _, err := c.Exec(ctx, sql, args...); err != nil {
			t.Fatal(err)
		}
	}
}

func opener(o Options) storetest.Open {
	return func(t testing.TB, dir string, now func() time.Time, of storetest.Options) store.Store {
		t.Helper()
		o := o
		o.Schema, o.Now, o.SweepEvery = testSchema(dir), now, -1
		makeSchema(t, o.Schema, now())
		o.MaxPayload, o.Tombstones = of.MaxPayload, of.Tombstones
		return openTest(t, testURL(t), o)
	}
}

// openTest opens a store whose pool is small, and whose search path is its schema.
func openTest(t testing.TB, address string, o Options) *Store {
	t.Helper()
	s, err := OpenURL(context.Background(), address+"&search_path="+o.Schema+"&pool_max_conns=4", o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestStoreKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(Options{}), storetest.Features{Leases: true, Deaths: true, SizeLimit: -1, Keys: 20_000, Histories: 10})
}

func TestStoreWithoutASessionKeepsItsContract(t *testing.T) {
	t.Parallel()
	storetest.Run(t, opener(Options{NoSession: true}), storetest.Features{Leases: true, SizeLimit: -1, Keys: 5000, Histories: 5})
}

// TestTransactionsKeepTheirContract has an application that takes locks at the read committed level, and one that
// relies on the database to find its collisions.
func TestTransactionsKeepTheirContract(t *testing.T) {
	t.Parallel()
	for level, lock := range map[pgx.TxIsoLevel]string{
		pgx.ReadCommitted: "LOCK TABLE application IN SHARE ROW EXCLUSIVE MODE", pgx.Serializable: "",
	} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			put := func(tx pgx.Tx, key, value []byte) error {
				_, err := tx.Exec(context.Background(), "INSERT INTO application VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value", key, value)
				return err
			}
			get := func(tx pgx.Tx, key []byte) (value []byte, err error) {
				if _, err = tx.Exec(context.Background(), lock); err != nil {
					return nil, err
				}
				err = tx.QueryRow(context.Background(), "SELECT value FROM application WHERE key = $1", key).Scan(&value)
				return value, noRows(err)
			}
			storetest.RunTransactional(t, opener(Options{TxOptions: pgx.TxOptions{IsoLevel: level}}), put, get)
		})
	}
}
