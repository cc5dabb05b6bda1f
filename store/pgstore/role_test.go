package pgstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/storetest"
	"github.com/warren-rpc/warren/test/postgres"
)

// role makes a role that may log in and nothing else, and returns the URL with which it does.
func (d *database) role(name string) string {
	d.Helper()
	conn := d.connect()
	const sql = "DO $$ BEGIN CREATE ROLE %name% LOGIN PASSWORD 'secret'; EXCEPTION WHEN duplicate_object THEN NULL; END $$"
	if _, err := conn.Exec(d.Context(), strings.ReplaceAll(sql, "%name%", quote(name))); err != nil {
		d.Fatal(err)
	}
	u, err := url.Parse(d.url)
	if err != nil {
		d.Fatal(err)
	}
	u.User = url.UserPassword(name, "secret")
	return u.String()
}

// openAs opens stores in schemas of the database, which the owner of the database makes for the role.
func (d *database) openAs(role, address string, o Options) storetest.Open {
	return func(t testing.TB, dir string, now func() time.Time, with storetest.Options) store.Store {
		t.Helper()
		sum := sha256.Sum256([]byte(dir))
		o := o
		o.Schema = "t" + hex.EncodeToString(sum[:8])
		o.Now, o.SweepEvery = now, -1
		o.MaxPayload, o.Tombstones = with.MaxPayload, with.Tombstones
		conn, err := pgx.Connect(context.Background(), d.url)
		if err != nil {
			t.Fatal(err)
		}
		defer discard(context.Background(), conn)
		if err := Migrate(context.Background(), conn, MigrateOptions{Schema: o.Schema, Role: role}); err != nil {
			t.Fatal(err)
		}
		// The suite's clock may be late.
		_, err = conn.Exec(context.Background(), "UPDATE "+quote(o.Schema)+".meta SET created = $1 WHERE created > $1", now())
		if err != nil {
			t.Fatal(err)
		}
		s, err := OpenURL(context.Background(), address, o)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
}

// ofParent is the database that the test of a parent process has, or a new one, which the processes that this one
// starts will have.
func ofParent(t *testing.T, env string) *database {
	t.Helper()
	if address := os.Getenv(env); address != "" {
		return &database{T: t, url: address}
	}
	d := &database{T: t, url: postgres.Database(t)}
	_ = os.Setenv(env, d.url) //nolint:usetesting // t.Setenv allows no parallel tests
	t.Cleanup(func() { _ = os.Unsetenv(env) })
	return d
}

func TestServerNeedsNoMoreThanItsRoleIsGranted(t *testing.T) {
	t.Parallel()
	d := ofParent(t, "WARREN_TEST_ROLE_URL")
	const name = `the "server"`
	address := d.role(name) + "&pool_max_conns=4"
	storetest.Run(t, d.openAs(name, address, Options{}), storetest.Features{
		Leases: true, Deaths: true, SizeLimit: -1, Keys: -1, Histories: 5, Kills: 1,
	})
}

func TestServersRoleMayNotDoMore(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	address := d.role("servers")
	d.migrate(MigrateOptions{Role: "servers"})
	d.migrate(MigrateOptions{Role: "servers"})
	conn, err := pgx.Connect(t.Context(), address)
	if err != nil {
		t.Fatal(err)
	}
	defer discard(context.Background(), conn)
	if err := Migrate(t.Context(), conn, MigrateOptions{}); err != nil {
		t.Errorf("Migrate by the servers' role, with nothing to do: %v", err)
	}
	for _, sql := range []string{
		"CREATE TABLE warren.more ()", "DROP TABLE warren.records_3", "ALTER TABLE warren.records ADD more text",
		"UPDATE warren.meta SET id = 'another'", "DELETE FROM warren.meta", "INSERT INTO warren.slots VALUES (7, now())",
		"DELETE FROM warren.slots", "TRUNCATE warren.records", "TRUNCATE warren.tombstones", "TRUNCATE warren.records_0",
		"DELETE FROM warren.records_1", "UPDATE warren.owners SET name = ''", "SELECT setval('warren.tokens', 1)",
	} {
		if _, err := conn.Exec(t.Context(), sql); err == nil {
			t.Errorf("the servers' role may %s", sql)
		} else if code := sqlState(err); code != "42501" {
			t.Errorf("%s: %v", sql, err)
		}
	}
}
