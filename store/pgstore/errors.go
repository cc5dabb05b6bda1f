package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/warren-rpc/warren/store"
)

// SQLSTATEs that mean something to the store.
const (
	divisionByZero       = "22012"
	readOnly             = "25006"
	forbidden            = "42501"
	serializationFailure = "40001"
	deadlock             = "40P01"
	undefinedSchema      = "3F000"
	undefinedTable       = "42P01"
	diskFull             = "53100"
	queryCanceled        = "57014"
	lockNotAvailable     = "55P03"
)

// sqlState returns the SQLSTATE of an error that the database has told, or "".
func sqlState(err error) string {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code
	}
	return ""
}

// refused reports whether the database has told that it did not do it. An error that ends the session does not tell: the
// transaction may have been committed before.
func refused(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.SeverityUnlocalized == "ERROR" // Severity is in the database's language
}

// outage reports whether the database has told that it, and not the statement, is what failed.
func outage(err error) bool {
	code := sqlState(err)
	if code == readOnly {
		return true
	}
	if code == "" || code == queryCanceled {
		return false
	}
	switch code[:2] {
	case "08", "53", "57", "58": // the connection, resources, somebody who ends sessions, the system below
		return true
	}
	return false
}

// collided reports whether the transaction failed because of others that ran at the same time: the next attempt may
// well succeed. Nothing was changed.
func collided(err error) bool {
	code := sqlState(err)
	return code == serializationFailure || code == deadlock
}

// single reports whether the error may be one request's, and others of its transaction have nothing to do with it.
// Nothing was changed.
func single(err error) bool {
	code := sqlState(err)
	if code == "" {
		return false
	}
	if code == lockNotAvailable { // somebody has a key, or a table, for long
		return true
	}
	switch code[:2] {
	case "21", "22", "23", "40", "54": // cardinality, data, constraints, collisions, limits of a value's size
		return true
	}
	return false
}

// translate returns the store's error for one of the database or of the way to it.
func (s *Store) translate(op string, err error) error {
	switch code := sqlState(err); code {
	case diskFull:
		if op == "claim" || op == "bury" {
			return &store.FullError{RetryAfter: s.options.retryAfter()}
		}
		err = fmt.Errorf("the database's disk is full: %w", err)
	case readOnly:
		err = fmt.Errorf("the database is read-only: a standby, or its disk is being saved: %w", err)
	case undefinedSchema, undefinedTable:
		err = fmt.Errorf("the tables of schema %s are gone; make them with: warren store migrate --store URL: %w", s.options.Schema, err)
	case queryCanceled:
		err = fmt.Errorf("the database gave up a statement: %w", err)
	case "":
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("not within %v: %w", s.options.Timeout, err)
		}
	}
	return &store.UnavailableError{Op: op, Cause: err}
}
