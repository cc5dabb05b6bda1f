package pgstore

import (
	"context"
	"errors"
	"sync/atomic"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// errCommit is what the function of a Transact gets that would end its transaction.
var errCommit = errors.New("pgstore: the transaction is the store's, which commits it with the call's record when the function returns")

// loan is the time for which a function has the transaction.
type loan struct {
	over atomic.Bool // the connection is another's
	// failure is the first error of a statement that is the storage's, or a collision's, whatever the function makes of
	// it. It is of the function's goroutine.
	failure error
}

func (l *loan) check() error {
	if l.over.Load() {
		return pgx.ErrTxClosed
	}
	return nil
}

// note returns err.
func (l *loan) note(err error) error {
	if l.failure == nil && !l.over.Load() && (outage(err) || collided(err)) {
		l.failure = err
	}
	return err
}

// savepoint is a transaction as a function has it that was lent one, which can use it until the function has returned. What
// is told by Conn and LargeObjects is not noted.
type savepoint struct {
	pgx.Tx
	loan *loan
}

// lent is the transaction of a Transact, which its function cannot end.
type lent struct{ savepoint }

func (lent) Commit(context.Context) error   { return errCommit }
func (lent) Rollback(context.Context) error { return errCommit }

func (t savepoint) Commit(ctx context.Context) error {
	if err := t.loan.check(); err != nil {
		return err
	}
	return t.loan.note(t.Tx.Commit(ctx))
}

func (t savepoint) Rollback(ctx context.Context) error {
	if err := t.loan.check(); err != nil {
		return err
	}
	return t.loan.note(t.Tx.Rollback(ctx))
}

func (t savepoint) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := t.loan.check(); err != nil {
		return nil, err
	}
	tx, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, t.loan.note(err)
	}
	return savepoint{tx, t.loan}, nil
}

func (t savepoint) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, from pgx.CopyFromSource) (int64, error) {
	if err := t.loan.check(); err != nil {
		return 0, err
	}
	n, err := t.Tx.CopyFrom(ctx, table, columns, from)
	return n, t.loan.note(err)
}

func (t savepoint) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := t.loan.check(); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return lentResults{t.Tx.SendBatch(ctx, b), t.loan}
}

func (t savepoint) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := t.loan.check(); err != nil {
		return nil, err
	}
	d, err := t.Tx.Prepare(ctx, name, sql)
	return d, t.loan.note(err)
}

func (t savepoint) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	if err := t.loan.check(); err != nil {
		return tag, err
	}
	tag, err = t.Tx.Exec(ctx, sql, args...)
	return tag, t.loan.note(err)
}

func (t savepoint) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := t.loan.check(); err != nil {
		return nil, err
	}
	rows, err := t.Tx.Query(ctx, sql, args...)
	return lentRows{rows, t.loan}, t.loan.note(err)
}

func (t savepoint) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := t.loan.check(); err != nil {
		return failedRow{err}
	}
	return lentRow{t.Tx.QueryRow(ctx, sql, args...), t.loan}
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

type lentRow struct {
	pgx.Row
	loan *loan
}

func (r lentRow) Scan(to ...any) error { return r.loan.note(r.Row.Scan(to...)) }

// lentRows notes what has failed, though nobody may ask for it.
type lentRows struct {
	pgx.Rows
	loan *loan
}

func (r lentRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	_ = r.loan.note(r.Err())
	return false
}

func (r lentRows) Close() {
	r.Rows.Close()
	_ = r.loan.note(r.Err())
}

type lentResults struct {
	pgx.BatchResults
	loan *loan
}

func (r lentResults) Exec() (pgconn.CommandTag, error) {
	tag, err := r.BatchResults.Exec()
	return tag, r.loan.note(err)
}

func (r lentResults) Query() (pgx.Rows, error) {
	rows, err := r.BatchResults.Query()
	return lentRows{rows, r.loan}, r.loan.note(err)
}

func (r lentResults) QueryRow() pgx.Row { return lentRow{r.BatchResults.QueryRow(), r.loan} }

func (r lentResults) Close() error { return r.loan.note(r.BatchResults.Close()) }
