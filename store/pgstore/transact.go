package pgstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
)

// Transact implements [store.Transactional]. The transaction has a connection of the pool for itself, and no lock of the
// record while fn runs: who is believed dead is in nobody's way, and its commit fails.
//
// fn is called again if the transaction fails by a collision with another (SQLSTATE 40001 or 40P01), several times;
// then that is a *store.UnavailableError, whoever met it: a later attempt may end otherwise. It does not matter what fn
// makes of the error of such a collision, or of the storage, unless it undoes the statement by a savepoint and succeeds.
//
// Rows that fn leaves open are ErrRolledBack; so is what is checked with the commit, and fails: a deferred constraint. fn
// cannot commit or roll back: tx.Commit and tx.Rollback return an error and do nothing, and fn must not do it by a
// statement, nor make the transaction read-only. If fn takes another role it must give it back, as that of the store completes
// the record; a limit of time that fn sets is for its own statements. tx.Begin makes savepoints, as ever. When fn has
// returned, neither tx nor they can be used; what tx.Conn and tx.LargeObjects give must not be.
//
// If the connection is lost with the commit on its way, the record tells whether it was made.
func (s *Store) Transact(
	ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx pgx.Tx) (store.Result, error),
) error {
	if retention <= 0 {
		return errRetention
	}
	if err := s.enter(ctx); err != nil {
		return err
	}
	defer s.calls.Done()
	for attempt := 1; ; attempt++ {
		t := &transaction{store: s, key: key, token: token, retention: retention}
		err := t.run(ctx, fn)
		switch {
		case t.collided && attempt < attempts:
			if err := backoff(ctx, attempt); err != nil {
				return err
			}
		case t.collided:
			return &store.UnavailableError{Op: "transact", Cause: err}
		case t.unknown:
			return s.findOut(ctx, key, token, err)
		default:
			return err
		}
	}
}

// transaction is an attempt of a Transact.
type transaction struct {
	store     *Store
	key       store.Key
	token     uint64
	retention time.Duration
	conn      *pgxpool.Conn

	collided bool // it failed because of others, and has changed nothing
	unknown  bool // it may have been committed
}

func (t *transaction) run(ctx context.Context, fn func(tx pgx.Tx) (store.Result, error)) (err error) {
	conn, err := t.store.acquire(ctx, t.store.pool)
	if err != nil {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return t.store.translate("transact", err)
	}
	t.conn = conn
	defer func() { t.release(ctx, err) }()
	tx, err := t.begin(ctx)
	if err != nil {
		return err
	}
	l := new(loan)
	result, err := call(fn, tx, l)
	if l.failure != nil && (err != nil || conn.Conn().PgConn().TxStatus() == 'E') {
		err = l.failure // an error of the function's may say no more than that, or nothing
	}
	if err != nil {
		t.collided = collided(err)
		// The connection of a context that has ended is closed, too.
		if outage(err) || ctx.Err() == nil && conn.Conn().IsClosed() {
			return t.store.translate("transact", err)
		}
		return err
	}
	e, err := t.store.options.completion("transact", t.key, t.token, result, t.retention)
	if err != nil {
		return err
	}
	return t.commit(ctx, e)
}

// call lends the transaction to fn, and takes it back however fn ends.
func call(fn func(tx pgx.Tx) (store.Result, error), tx pgx.Tx, l *loan) (store.Result, error) {
	defer l.over.Store(true)
	return fn(lent{savepoint{tx, l}})
}

// begin begins the transaction, and checks that the token is the owner's.
func (t *transaction) begin(ctx context.Context) (pgx.Tx, error) {
	s := t.store
	ctx, cancel := s.detached(ctx)
	defer cancel()
	var mine bool
	var p pgx.Batch
	p.BeginTx(s.options.TxOptions)
	p.Queue(settings)
	p.Queue(s.queries.owned, s.options.now(), s.identity.ID, prefix(t.key), t.key[:], signed(t.token)).
		QueryRow(func(r pgx.Row) error { return noRows(r.Scan(&mine)) })
	p.Queue(lookIsOver)
	p.Queue(lend, s.idle())
	results := t.conn.SendBatch(ctx, &p)
	err := results.Close()
	switch {
	case err != nil:
		t.collided = collided(err)
		return nil, s.translate("transact", err)
	case !mine:
		return nil, store.ErrStale
	}
	return results.Tx(), nil
}

// commit ends the record and the transaction.
func (t *transaction) commit(ctx context.Context, e end) error {
	s := t.store
	switch conn := t.conn.Conn(); {
	case conn.IsClosed():
		return s.translate("transact", errors.New("the connection was lost before the commit"))
	case conn.PgConn().IsBusy():
		return fmt.Errorf("%w: the function has left rows, or a batch, open", store.ErrRolledBack)
	case conn.PgConn().TxStatus() == 'E':
		return store.ErrRolledBack
	case conn.PgConn().TxStatus() != 'T':
		return errEnded
	}
	ctx, cancel := s.detached(ctx)
	defer cancel()
	back, ended := false, false
	var p pgx.Batch
	p.Queue(takeBack).Exec(func(pgconn.CommandTag) error {
		back = true
		return nil
	})
	p.Queue(settings)
	p.Queue(s.queries.complete, s.options.now(), s.identity.ID, prefix(e.key), e.key[:], signed(e.token), e.state, microseconds(e.retention),
		e.size, e.digest, e.retained, e.payload).
		QueryRow(func(r pgx.Row) error {
			err := r.Scan(nil)
			ended = err == nil
			return err
		})
	p.Queue("commit")
	err := t.conn.SendBatch(ctx, &p).Close()
	switch {
	case err == nil:
		return nil
	case !refused(err):
		t.unknown = true
	case collided(err):
		t.collided = true
	case outage(err) || sqlState(err) == queryCanceled:
	case !back && sqlState(err) == divisionByZero:
		return errEnded
	case ended || sqlState(err) == forbidden: // fn may have taken another role
		return fmt.Errorf("%w: %w", store.ErrRolledBack, err)
	case sqlState(err) == divisionByZero:
		return store.ErrStale
	}
	return s.translate("transact", err)
}

// errEnded is told when the transaction is not the one that was lent.
var errEnded = errors.New("pgstore: the function has ended its transaction, and what it did may be committed without the record")

// release rolls back what was not committed.
func (t *transaction) release(ctx context.Context, err error) {
	ctx, cancel := t.store.detached(ctx)
	defer cancel()
	rollback(ctx, t.conn.Conn())
	release(ctx, t.conn, err)
}

// idle is how long the function may leave the transaction alone, in milliseconds; 0: for ever.
func (s *Store) idle() int64 { return max(0, s.options.TxIdle.Milliseconds()) }

// detached is the context of what was begun and cannot be given up with the caller's.
func (s *Store) detached(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), s.options.Timeout)
}

// findOut asks the record whether a transaction was committed whose connection was lost. The look waits for a backend
// that has changed the record and still commits. What it finds in progress may be changed later still, by one that has
// not begun to: so that is not an end of the call, but an error that leaves it open.
func (s *Store) findOut(ctx context.Context, key store.Key, token uint64, lost error) error {
	ctx, cancel := s.detached(ctx)
	defer cancel()
	for attempt := 1; ; attempt++ {
		err := s.exclusive(ctx, "transact", key, nil, func(l *locked) error {
			switch {
			case l.row == nil:
				return lost
			case l.row.Token != token:
				return store.ErrStale
			case l.row.State.Ended():
				// Its session may have ended before a standby had it. This commit waits for the standby as well.
				r := l.row.Record
				l.update(&r)
				return nil
			}
			return lost
		})
		var unavailable *store.UnavailableError
		if err == nil || errors.Is(err, store.ErrStale) || errors.Is(err, lost) {
			return err
		}
		if !errors.As(err, &unavailable) || backoff(ctx, attempt) != nil {
			return lost
		}
	}
}
