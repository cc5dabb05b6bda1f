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

// lent is the transaction of a Transact as its function has it: it cannot be ended, and not be used after the function
// has returned, when the connection is another's. What Conn and LargeObjects give knows nothing of that.
type lent struct {
	pgx.Tx
	over *atomic.Bool // of the savepoints in it, too
}

func (t *lent) Commit(context.Context) error   { return errCommit }
func (t *lent) Rollback(context.Context) error { return errCommit }

func (t *lent) check() error {
	if t.over.Load() {
		return pgx.ErrTxClosed
	}
	return nil
}

func (t *lent) Begin(ctx context.Context) (pgx.Tx, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	tx, err := t.Tx.Begin(ctx)
	if err != nil {
		return nil, err
	}
	return &savepoint{lent{Tx: tx, over: t.over}}, nil
}

func (t *lent) CopyFrom(ctx context.Context, table pgx.Identifier, columns []string, from pgx.CopyFromSource) (int64, error) {
	if err := t.check(); err != nil {
		return 0, err
	}
	return t.Tx.CopyFrom(ctx, table, columns, from)
}

func (t *lent) SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults {
	if err := t.check(); err != nil {
		return pgx.FailedBatchResults(b, err)
	}
	return t.Tx.SendBatch(ctx, b)
}

func (t *lent) Prepare(ctx context.Context, name, sql string) (*pgconn.StatementDescription, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	return t.Tx.Prepare(ctx, name, sql)
}

func (t *lent) Exec(ctx context.Context, sql string, args ...any) (tag pgconn.CommandTag, err error) {
	if err := t.check(); err != nil {
		return tag, err
	}
	return t.Tx.Exec(ctx, sql, args...)
}

func (t *lent) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	return t.Tx.Query(ctx, sql, args...)
}

func (t *lent) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	if err := t.check(); err != nil {
		return failedRow{err}
	}
	return t.Tx.QueryRow(ctx, sql, args...)
}

// savepoint is a transaction in one that is lent. The function may end it, and nobody may afterwards.
type savepoint struct{ lent }

func (t *savepoint) Commit(ctx context.Context) error {
	if err := t.check(); err != nil {
		return err
	}
	return t.Tx.Commit(ctx)
}

func (t *savepoint) Rollback(ctx context.Context) error {
	if err := t.check(); err != nil {
		return err
	}
	return t.Tx.Rollback(ctx)
}

type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }
