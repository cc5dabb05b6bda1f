package pgstore

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// migrations are the versions of the schema: the file of version n is what makes it
// of version n-1. A file that was released does not change any more.
//
//go:embed migrations/*.sql
var migrations embed.FS

// schemaVersion is the version of the schema that this program works with.
const schemaVersion = 1

// defaultSchema is the schema's name if none is given.
const defaultSchema = "warren"

const (
	defaultPeriod = 6 * time.Hour
	minPeriod     = time.Second
	maxPeriod     = 90 * 24 * time.Hour
)

// MigrateOptions say how the schema is made. The zero value is ready.
type MigrateOptions struct {
	// Schema is the name of the schema. Default "warren".
	Schema string
	// Period is how much of time the records of one partition expire in. Of 13
	// partitions, 12 hold a period each and are emptied by TRUNCATE when it is over; what
	// is kept for longer than eleven periods is deleted row by row, which costs more.
	// So it should be a tenth of the longest retention, or more; the longer it is, the
	// longer records lie there that are past their retention. From 1 s to 90 days;
	// default 6 h. 0 leaves that of a schema that is there as it is; another one
	// takes effect as the partitions are emptied.
	Period time.Duration
	// Role is granted what a server needs, and no more. Default: nobody is granted
	// anything.
	Role string
}

func (o MigrateOptions) complete() (MigrateOptions, error) {
	if o.Schema == "" {
		o.Schema = defaultSchema
	}
	if o.Period != 0 && (o.Period < minPeriod || o.Period > maxPeriod) {
		return o, fmt.Errorf("pgstore: a period of %v is not between %v and %v", o.Period, minPeriod, maxPeriod)
	}
	return o, nil
}

// Migrate makes the schema, or brings one of an earlier version up to date. It is the
// only thing that does: [Open] does not. Each version is applied in a transaction of its
// own: a Migrate that was interrupted goes on where it stopped. Called again, or by
// several at once, it changes nothing more. A schema of a later version is a
// [store.VersionError], and is left as it is.
//
// The role of conn must be allowed to create the schema, if it is not there, and must
// own it else. conn must not be in a transaction.
func Migrate(ctx context.Context, conn *pgx.Conn, o MigrateOptions) error {
	o, err := o.complete()
	if err != nil {
		return err
	}
	for version := 1; version <= schemaVersion; version++ {
		if err := alone(ctx, conn, o.Schema, func(tx pgx.Tx) error { return upgrade(ctx, tx, o, version) }); err != nil {
			return err
		}
	}
	return alone(ctx, conn, o.Schema, func(tx pgx.Tx) error {
		if o.Period != 0 {
			if _, err := tx.Exec(ctx, "UPDATE meta SET period = $1 WHERE period <> $1", o.Period); err != nil {
				return fmt.Errorf("pgstore: set the period: %w", err)
			}
		}
		if o.Role != "" {
			return grant(ctx, tx, o.Schema, o.Role)
		}
		return nil
	})
}

// alone calls f in a transaction whose search path is the schema, one at a time of all
// who migrate it.
func alone(ctx context.Context, conn *pgx.Conn, schema string, f func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrationLock(schema)); err != nil {
			return fmt.Errorf("pgstore: wait for others who migrate schema %q: %w", schema, err)
		}
		if _, err := tx.Exec(ctx, "SELECT set_config('search_path', $1, true)", quote(schema)); err != nil {
			return fmt.Errorf("pgstore: %w", err)
		}
		return f(tx)
	})
	return err
}

// migrationLock is the advisory lock of those who migrate the schema.
func migrationLock(schema string) int64 {
	sum := sha256.Sum256([]byte("warren/migrate/" + schema))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// upgrade makes the schema one of version, if it is of the one before.
func upgrade(ctx context.Context, tx pgx.Tx, o MigrateOptions, version int) error {
	var have int
	m, err := readMeta(ctx, tx, o.Schema)
	var outdated *SchemaError
	switch {
	case err == nil:
		have = m.version
	case errors.As(err, &outdated):
		have = outdated.Have
	default:
		return err
	}
	if have >= version {
		return nil
	}
	if have == 0 {
		if err := found(ctx, tx, o); err != nil {
			return err
		}
	}
	sql, err := migrations.ReadFile(fmt.Sprintf("migrations/%04d.sql", version))
	if err != nil {
		return fmt.Errorf("pgstore: %w", err)
	}
	if _, err := tx.Exec(ctx, string(sql)); err != nil {
		return fmt.Errorf("pgstore: make schema %q one of version %d: %w", o.Schema, version, err)
	}
	if _, err := tx.Exec(ctx, "UPDATE meta SET version = $1", version); err != nil {
		return fmt.Errorf("pgstore: %w", err)
	}
	return nil
}

// found makes the schema, and tells the first migration what it is to be.
func found(ctx context.Context, tx pgx.Tx, o MigrateOptions) error {
	var there bool
	err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", o.Schema).Scan(&there)
	if err != nil {
		return fmt.Errorf("pgstore: %w", err)
	}
	if !there {
		if _, err := tx.Exec(ctx, "CREATE SCHEMA "+quote(o.Schema)); err != nil {
			return fmt.Errorf("pgstore: create schema %q: %w", o.Schema, err)
		}
	}
	period := o.Period
	if period == 0 {
		period = defaultPeriod
	}
	_, err = tx.Exec(ctx, "SELECT set_config('warren.id', $1, true), set_config('warren.period', $2, true)",
		rand.Text()[:16], fmt.Sprintf("%d microseconds", period.Microseconds()))
	if err != nil {
		return fmt.Errorf("pgstore: %w", err)
	}
	return nil
}

// quote returns the name as an SQL identifier.
func quote(name string) string { return pgx.Identifier{name}.Sanitize() }
