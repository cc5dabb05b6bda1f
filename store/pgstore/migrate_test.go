package pgstore

import (
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/postgres"
)

func TestMigrateTwiceAndBySeveralAtOnceMakesOneStore(t *testing.T) {
	t.Parallel()
	d := &database{T: t, url: postgres.Database(t)}
	const several = 8
	conns := make([]*pgx.Conn, several)
	for i := range conns {
		conns[i] = d.connect()
	}
	ids := make([]string, several)
	var wg sync.WaitGroup
	for i, conn := range conns {
		wg.Go(func() {
			for range 2 {
				if err := Migrate(t.Context(), conn, MigrateOptions{}); err != nil {
					t.Errorf("Migrate: %v", err)
				}
			}
			m, err := readMeta(t.Context(), conn, defaultSchema)
			if err != nil {
				t.Error(err)
			}
			ids[i] = m.id
		})
	}
	wg.Wait()
	for _, id := range ids {
		if len(id) != 16 || id != ids[0] {
			t.Errorf("the store is %q and %q", ids[0], id)
		}
	}
}

func TestLaterSchemaIsRefusedAndLeftAsItIs(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	d.exec("UPDATE warren.meta SET version = $1", schemaVersion+1)
	var later *store.VersionError
	if _, err := readMeta(t.Context(), d.pool, defaultSchema); !errors.As(err, &later) {
		t.Errorf("reading a later schema: %v; want a *store.VersionError", err)
	}
	err := Migrate(t.Context(), d.connect(), MigrateOptions{Period: time.Minute})
	if !errors.As(err, &later) || later.Have != schemaVersion+1 || later.Known != schemaVersion {
		t.Errorf("Migrate of a later schema: %v; want a *store.VersionError", err)
	}
	if got := value[time.Duration](d, "SELECT period FROM warren.meta"); got != defaultPeriod {
		t.Errorf("Migrate of a later schema set the period to %v", got)
	}
}

func TestMissingAndEarlierSchemaNameTheCommand(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Schema: "earlier"})
	d.exec("UPDATE earlier.meta SET version = 0")
	d.exec("CREATE SCHEMA empty")
	d.exec("CREATE SCHEMA torn; CREATE TABLE torn.meta AS TABLE earlier.meta WITH NO DATA")
	d.exec("CREATE SCHEMA other; CREATE TABLE other.meta (name text)")
	for _, schema := range []string{"missing", "empty", "torn", "other", "earlier"} {
		_, err := readMeta(t.Context(), d.pool, schema)
		var outdated *SchemaError
		if !errors.As(err, &outdated) || outdated.Need != schemaVersion || !strings.Contains(err.Error(), "warren store migrate --store") {
			t.Errorf("%s: %v", schema, err)
		}
	}
}

func TestSchemaNameIsQuoted(t *testing.T) {
	t.Parallel()
	const name = `Two "words"; DROP SCHEMA public CASCADE; --`
	d := newDatabase(t, MigrateOptions{Schema: name, Role: "postgres"})
	if _, err := readMeta(t.Context(), d.pool, name); err != nil {
		t.Error(err)
	}
	if !value[bool](d, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = 'public')") {
		t.Error("the name of the schema was taken for SQL")
	}
	r := ring{pool: d.pool, schema: quote(name), now: func() *time.Time { return nil }}
	if _, err := r.sweep(t.Context()); err != nil {
		t.Errorf("sweep: %v", err)
	}
}

func TestPeriodIsCheckedAndCanBeChanged(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	for _, period := range []time.Duration{-1, time.Millisecond, maxPeriod + 1} {
		if err := Migrate(t.Context(), d.connect(), MigrateOptions{Period: period}); err == nil {
			t.Errorf("a period of %v was taken", period)
		}
	}
	for period, want := range map[time.Duration]time.Duration{time.Hour: time.Hour, 0: time.Hour} {
		if period == 0 {
			d.migrate(MigrateOptions{Period: time.Hour})
		}
		d.migrate(MigrateOptions{Period: period})
		if got := value[time.Duration](d, "SELECT period FROM warren.meta"); got != want {
			t.Errorf("after Migrate with the period %v it is %v", period, got)
		}
	}
}

func TestMigrateSaysWhatItIsNotAllowed(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Schema: "others"})
	d.exec("DROP ROLE IF EXISTS stranger")
	d.exec("CREATE ROLE stranger")
	t.Cleanup(func() {
		if _, err := postgres.Shared(t).Exec(t.Context(), "SELECT 1"); err != nil {
			t.Log(err)
		}
	})
	conn := d.connect()
	if _, err := conn.Exec(t.Context(), "SET ROLE stranger"); err != nil {
		t.Fatal(err)
	}
	for _, schema := range []string{"others", "new"} {
		if err := Migrate(t.Context(), conn, MigrateOptions{Schema: schema}); err == nil || !strings.Contains(err.Error(), "permission denied") {
			t.Errorf("%s: Migrate by a role without rights: %v", schema, err)
		}
	}
	if err := Migrate(t.Context(), d.connect(), MigrateOptions{Role: "nobody there"}); err == nil || !strings.Contains(err.Error(), `"nobody there"`) {
		t.Errorf("granting to a role that is not there: %v", err)
	}
}
