package pgstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
)

// raise has a statement fail with the SQLSTATE.
func raise(code string) string {
	return "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '" + code + "'; END $$"
}

// TestWhatTheFunctionMakesOfTheStoragesErrorsDoesNotMatter has a statement fail for a reason that is not the function's, by
// every way to make one.
func TestWhatTheFunctionMakesOfTheStoragesErrorsDoesNotMatter(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStore(t, Options{})
	const fails = "SELECT fail($1)"
	execute(t, s.pool, `CREATE FUNCTION fail(code text) RETURNS int LANGUAGE plpgsql AS
		$$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = code; END $$`)
	batch := func(tx pgx.Tx, code string) pgx.BatchResults {
		b := new(pgx.Batch)
		b.Queue(fails, code)
		return tx.SendBatch(ctx, b)
	}
	for name, statement := range map[string]func(tx pgx.Tx, code string){
		"Exec":     func(tx pgx.Tx, code string) { _, _ = tx.Exec(ctx, fails, code) },
		"QueryRow": func(tx pgx.Tx, code string) { _ = tx.QueryRow(ctx, fails, code).Scan(nil) },
		"Query, Next": func(tx pgx.Tx, code string) {
			rows, _ := tx.Query(ctx, fails, code)
			for rows.Next() {
			}
		},
		"Query, Close": func(tx pgx.Tx, code string) {
			rows, _ := tx.Query(ctx, fails, code)
			rows.Close()
		},
		"SendBatch, Close":    func(tx pgx.Tx, code string) { _ = batch(tx, code).Close() },
		"SendBatch, QueryRow": func(tx pgx.Tx, code string) { b := batch(tx, code); _ = b.QueryRow().Scan(nil); _ = b.Close() },
		"Begin, Exec": func(tx pgx.Tx, code string) {
			_ = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, fails, code)
				return err
			})
		},
	} {
		opaque := errors.New("the order could not be made")
		for _, code := range []string{diskFull, readOnly} {
			r := mustClaim(t, s, claimOf(newKey()))
			err := transact(s, r, func(tx pgx.Tx) error {
				statement(tx, code)
				return opaque
			})
			if _, ok := errors.AsType[*store.UnavailableError](err); !ok {
				t.Errorf("%s with %s: %v", name, code, err)
			}
		}
		r, calls := mustClaim(t, s, claimOf(newKey())), 0
		err := transact(s, r, func(tx pgx.Tx) error {
			if calls++; calls == 1 {
				statement(tx, serializationFailure)
				return opaque
			}
			return nil
		})
		if err != nil || calls != 2 {
			t.Errorf("%s that collided once: %d calls, error %v", name, calls, err)
		}
		r = mustClaim(t, s, claimOf(newKey()))
		err = transact(s, r, func(tx pgx.Tx) error {
			statement(tx, "P0001")
			return opaque
		})
		if !errors.Is(err, opaque) {
			t.Errorf("%s that failed for another reason: %v", name, err)
		}
	}
	// Nobody hears of it at all.
	r, calls := mustClaim(t, s, claimOf(newKey())), 0
	err := transact(s, r, func(tx pgx.Tx) error {
		if calls++; calls == 1 {
			_, _ = tx.Exec(ctx, raise(deadlock))
		}
		return nil
	})
	if err != nil || calls != 2 {
		t.Errorf("a collision that is passed over: %d calls, error %v", calls, err)
	}
	err = transact(s, mustClaim(t, s, claimOf(newKey())), func(tx pgx.Tx) error {
		_, _ = tx.Exec(ctx, raise(diskFull))
		return nil
	})
	if _, ok := errors.AsType[*store.UnavailableError](err); !ok {
		t.Errorf("a full disk that is passed over: %v", err)
	}
}

// TestFaultOfTheFunctionIsNoOutage has functions do what they must not. The same would happen again.
func TestFaultOfTheFunctionIsNoOutage(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStore(t, Options{})
	execute(t, s.pool, "CREATE TABLE guarded (id int)")
	execute(t, s.pool, "CREATE FUNCTION guard() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
	execute(t, s.pool, `CREATE CONSTRAINT TRIGGER guard AFTER INSERT ON guarded DEFERRABLE INITIALLY DEFERRED
		FOR EACH ROW EXECUTE FUNCTION guard()`)
	execute(t, s.pool, "CREATE ROLE "+s.options.Schema)
	do := func(sql string) func(tx pgx.Tx) error {
		return func(tx pgx.Tx) error {
			_, err := tx.Exec(ctx, sql)
			return err
		}
	}
	for name, c := range map[string]struct {
		fn   func(tx pgx.Tx) error
		want error
	}{
		"rows are left open": {func(tx pgx.Tx) error {
			_, err := tx.Query(ctx, "SELECT generate_series(1, 10)") //nolint:sqlclosecheck // that is it
			return err
		}, store.ErrRolledBack},
		"a deferred trigger fails": {do("INSERT INTO guarded VALUES (1)"), store.ErrRolledBack},
		"it keeps another role":    {do("SET LOCAL ROLE " + s.options.Schema), store.ErrRolledBack},
		"it commits and chains":    {do("COMMIT AND CHAIN"), errEnded},
		"it commits and begins":    {do("COMMIT; BEGIN"), errEnded},
	} {
		r := mustClaim(t, s, claimOf(newKey()))
		if err := transact(s, r, c.fn); !errors.Is(err, c.want) || stateOf(t, s, r.Key) != store.InProgress {
			t.Errorf("%s: error %v, record %v", name, err, stateOf(t, s, r.Key))
		}
	}
}

// TestLimitsOfTheFunctionAreForItsStatements has the record be locked for longer than the function's statements would wait.
func TestLimitsOfTheFunctionAreForItsStatements(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	s := newStore(t, Options{})
	r := mustClaim(t, s, claimOf(newKey()))
	tx, err := s.pool.Begin(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(ctx, "SELECT FROM records FOR UPDATE"); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(time.Second, func() { _ = tx.Rollback(ctx) })
	err = transact(s, r, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, "SET LOCAL lock_timeout = 10; SET LOCAL search_path = ''")
		return err
	})
	if err != nil {
		t.Errorf("a record that is locked for a second: %v", err)
	}
}

func TestOptionsOfTransactionsThatCannotWriteAreRefused(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for _, o := range []pgx.TxOptions{{AccessMode: pgx.ReadOnly}, {BeginQuery: "BEGIN"}, {CommitQuery: "COMMIT"}} {
		options := s.options
		options.TxOptions = o
		if _, err := Open(t.Context(), s.pool, options); err == nil {
			t.Errorf("a store opens with %+v", o)
		}
	}
}
