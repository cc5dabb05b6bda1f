package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warren-rpc/warren/store"
)

// SchemaError says that the schema is not there, or is of an earlier version than this
// program works with. Servers do not change it: [Migrate] does.
type SchemaError struct {
	Schema string
	// Have is the version that was found, 0 if there is none, and Need the one that
	// this program works with.
	Have, Need int
}

// Error implements error.
func (e *SchemaError) Error() string {
	what := "is not there, or holds no store"
	if e.Have > 0 {
		what = fmt.Sprintf("is of version %d, and this program needs version %d", e.Have, e.Need)
	}
	return fmt.Sprintf("pgstore: schema %q %s; run: warren store migrate --store 'postgres://…?schema=%s'", e.Schema, what, e.Schema)
}

// querier is what a connection, a pool and a transaction have in common.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// meta is what a schema says of itself.
type meta struct {
	version int
	id      string
	created time.Time
	period  time.Duration
}

// readMeta returns what the schema says of itself: a *store.VersionError if it is of a
// later version, a *SchemaError if it is of an earlier one or is not there.
func readMeta(ctx context.Context, q querier, schema string) (m meta, err error) {
	// The first look does not fail if the table is not there: it would end a transaction.
	var there bool
	if err = q.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", quote(schema)+".meta").Scan(&there); err != nil {
		return m, fmt.Errorf("pgstore: look for schema %q: %w", schema, err)
	}
	if there {
		err = q.QueryRow(ctx, "SELECT version, id, created, period FROM "+quote(schema)+".meta").Scan(&m.version, &m.id, &m.created, &m.period)
		if err != nil && !missing(err) {
			return m, fmt.Errorf("pgstore: read schema %q: %w", schema, err)
		}
	}
	switch {
	case m.version > schemaVersion:
		return m, &store.VersionError{Path: fmt.Sprintf("schema %q", schema), Have: m.version, Known: schemaVersion}
	case m.version < schemaVersion:
		return m, &SchemaError{Schema: schema, Have: m.version, Need: schemaVersion}
	}
	return m, nil
}

// missing reports whether the schema, or what should be in it, is not there.
func missing(err error) bool {
	if errors.Is(err, pgx.ErrNoRows) {
		return true
	}
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "42P01", // undefined_table
		"3F000", // invalid_schema_name
		"42703": // undefined_column
		return true
	}
	return false
}
