package pgstore

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
)

func transact(s *Store, r store.Record, fn func(tx pgx.Tx) error) error {
	return s.Transact(context.Background(), r.Key, r.Token, time.Hour, func(tx pgx.Tx) (store.Result, error) { return done, fn(tx) })
}

// unharmed checks that a transaction has changed nothing, and that the next one commits.
func unharmed(t *testing.T, s *Store, r store.Record, key string) {
	t.Helper()
	if got := stateOf(t, s, r.Key); got != store.InProgress || has(t, s, key) {
		t.Errorf("the record is %v, and the effect is there: %v", got, has(t, s, key))
	}
	if err := transact(s, r, func(tx pgx.Tx) error { return put(tx, key) }); err != nil {
		t.Errorf("the next transaction: %v", err)
	}
	if got := stateOf(t, s, r.Key); got != store.Completed || !has(t, s, key) {
		t.Errorf("after the next transaction the record is %v, and the effect is there: %v", got, has(t, s, key))
	}
}

func TestFunctionThatPassesOverAnErrorIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	r := mustClaim(t, s, claimOf(newKey()))
	err := transact(s, r, func(tx pgx.Tx) error {
		if err := put(tx, "effect"); err != nil {
			return err
		}
		_, _ = tx.Exec(context.Background(), "INSERT INTO nowhere VALUES (1)")
		return nil
	})
	if !errors.Is(err, store.ErrRolledBack) {
		t.Errorf("error %v; want ErrRolledBack", err)
	}
	unharmed(t, s, r, "effect")
}

func TestConstraintThatIsCheckedWithTheCommitIsNoSuccess(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	execute(t, s.pool, "CREATE TABLE parent (id int PRIMARY KEY)")
	execute(t, s.pool, "CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)")
	r := mustClaim(t, s, claimOf(newKey()))
	err := transact(s, r, func(tx pgx.Tx) error {
		if err := put(tx, "effect"); err != nil {
			return err
		}
		_, err := tx.Exec(context.Background(), "INSERT INTO child VALUES (1)")
		return err
	})
	if !errors.Is(err, store.ErrRolledBack) || !strings.Contains(err.Error(), "23503") {
		t.Errorf("error %v; want ErrRolledBack, with the constraint's", err)
	}
	unharmed(t, s, r, "effect")
}

func TestFunctionCannotEndItsTransaction(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	for name, end := range map[string]func(pgx.Tx) error{
		"Commit":   func(tx pgx.Tx) error { return tx.Commit(context.Background()) },
		"Rollback": func(tx pgx.Tx) error { return tx.Rollback(context.Background()) },
	} {
		r := mustClaim(t, s, claimOf(newKey()))
		err := transact(s, r, func(tx pgx.Tx) error {
			if err := put(tx, name); err != nil {
				return err
			}
			if err := end(tx); err == nil {
				t.Errorf("%s did what it says", name)
			}
			return nil
		})
		if err != nil || !has(t, s, name) {
			t.Errorf("after a %s that was refused, the transaction ended with %v", name, err)
		}
		err = transact(s, mustClaim(t, s, claimOf(newKey())), end)
		if !errors.Is(err, errCommit) {
			t.Errorf("the error of %s came back as %v", name, err)
		}
	}
	for _, sql := range []string{"commit", "rollback"} {
		r := mustClaim(t, s, claimOf(newKey()))
		err := transact(s, r, func(tx pgx.Tx) error {
			_, err := tx.Exec(context.Background(), sql)
			return err
		})
		if err == nil || stateOf(t, s, r.Key) != store.InProgress {
			t.Errorf("a function that ends its transaction by %q: error %v, record %v", sql, err, stateOf(t, s, r.Key))
		}
	}
}

func TestTransactionIsOverWhenTheFunctionHasReturned(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	var kept, savepoint pgx.Tx
	err := transact(s, mustClaim(t, s, claimOf(newKey())), func(tx pgx.Tx) error {
		kept = tx
		nested, err := tx.Begin(context.Background())
		if err != nil {
			return err
		}
		if err := put(nested, "undone"); err != nil {
			return err
		}
		if err := nested.Rollback(context.Background()); err != nil {
			return err
		}
		if nested, err = tx.Begin(context.Background()); err != nil {
			return err
		}
		if savepoint, err = nested.Begin(context.Background()); err != nil {
			return err
		}
		if err := nested.Commit(context.Background()); err != nil {
			return err
		}
		return put(tx, "effect")
	})
	if err != nil || has(t, s, "undone") || !has(t, s, "effect") {
		t.Errorf("a transaction with a savepoint: %v", err)
	}
	ctx := context.Background()
	for name, err := range map[string]error{
		"a statement": put(savepoint, "later"), "Commit": savepoint.Commit(ctx), "Rollback": savepoint.Rollback(ctx),
	} {
		if !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%s of a savepoint after the function has returned: %v", name, err)
		}
	}
	if has(t, s, "later") {
		t.Error("a savepoint outlives its transaction, and changes what is another's")
	}
	var n int
	_, exec := kept.Exec(ctx, "SELECT 1")
	_, rows := kept.Query(ctx, "SELECT 1") //nolint:sqlclosecheck // there are none
	_, begin := kept.Begin(ctx)
	_, prepare := kept.Prepare(ctx, "name", "SELECT 1")
	_, from := kept.CopyFrom(ctx, pgx.Identifier{"application"}, []string{"key"}, nil)
	b := new(pgx.Batch)
	b.Queue("SELECT 1")
	for name, err := range map[string]error{
		"Exec": exec, "Query": rows, "QueryRow": kept.QueryRow(ctx, "SELECT 1").Scan(&n), "Begin": begin, "Prepare": prepare,
		"CopyFrom": from, "SendBatch": kept.SendBatch(ctx, b).Close(),
	} {
		if !errors.Is(err, pgx.ErrTxClosed) {
			t.Errorf("%s after the function has returned: %v", name, err)
		}
	}
}

// meeting has several wait for one another, once.
type meeting struct {
	once [2]sync.Once
	all  sync.WaitGroup
}

func newMeeting() *meeting {
	m := new(meeting)
	m.all.Add(2)
	return m
}

func (m *meeting) attend(i int) {
	m.once[i].Do(m.all.Done)
	m.all.Wait()
}

// collide runs two transactions at a time, which both get to the middle before one goes on, and returns how often their
// functions were called.
func collide(t *testing.T, s *Store, first, second func(tx pgx.Tx, i int) error) int64 {
	t.Helper()
	m := newMeeting()
	var called atomic.Int64
	var both sync.WaitGroup
	for i := range 2 {
		r := mustClaim(t, s, claimOf(newKey()))
		both.Go(func() {
			err := transact(s, r, func(tx pgx.Tx) error {
				called.Add(1)
				if err := first(tx, i); err != nil {
					return err
				}
				m.attend(i)
				return second(tx, i)
			})
			if err != nil {
				t.Errorf("transaction %d: %v", i, err)
			}
		})
	}
	both.Wait()
	return called.Load()
}

func TestSerializationFailureRunsAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{TxOptions: pgx.TxOptions{IsoLevel: pgx.Serializable}})
	ctx := context.Background()
	seen := make([]int, 2)
	called := collide(t, s,
		func(tx pgx.Tx, i int) error {
			return tx.QueryRow(ctx, "SELECT count(*) FROM application").Scan(&seen[i])
		},
		func(tx pgx.Tx, i int) error { return put(tx, string(rune('a'+i))) })
	if called < 3 || seen[0]+seen[1] != 1 {
		t.Errorf("two transactions that have seen %v rows and added one each were called %d times", seen, called)
	}
}

func TestDeadlockRunsAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	ctx := context.Background()
	execute(t, s.pool, "INSERT INTO application VALUES ('0', ''), ('1', '')")
	touch := func(tx pgx.Tx, i int) error {
		_, err := tx.Exec(ctx, "UPDATE application SET value = value || 'x' WHERE key = $1", []byte{byte('0' + i)})
		return err
	}
	called := collide(t, s, touch, func(tx pgx.Tx, i int) error { return touch(tx, 1-i) })
	if called < 3 || query[int](t, s.pool, "SELECT count(*) FROM application WHERE value = 'xx'") != 2 {
		t.Errorf("two transactions that lock two rows in turn were called %d times", called)
	}
}

func TestCollisionsEnd(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	called := 0
	err := transact(s, mustClaim(t, s, claimOf(newKey())), func(tx pgx.Tx) error {
		called++
		_, err := tx.Exec(context.Background(), "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = '40001'; END $$")
		return err
	})
	if sqlState(err) != serializationFailure || called != attempts {
		t.Errorf("a transaction that always collides was called %d times: %v", called, err)
	}
}

func TestPausedOwnerIsFencedAndInNobodysWay(t *testing.T) {
	t.Parallel()
	for _, level := range []pgx.TxIsoLevel{pgx.ReadCommitted, pgx.RepeatableRead, pgx.Serializable} {
		t.Run(string(level), func(t *testing.T) {
			t.Parallel()
			s := newStore(t, Options{TxOptions: pgx.TxOptions{IsoLevel: level}})
			second := s.another(t)
			c := claimOf(newKey())
			c.Lease = 50 * time.Millisecond
			r := mustClaim(t, s, c)
			paused, resume := make(chan struct{}), make(chan struct{})
			ended := make(chan error)
			var once sync.Once
			go func() {
				ended <- transact(s, r, func(tx pgx.Tx) error {
					if err := put(tx, "paused"); err != nil {
						return err
					}
					once.Do(func() { close(paused) })
					<-resume
					return nil
				})
			}()
			<-paused
			var next store.Record
			patience.Eventually(t, "a takeover", func() bool {
				got, won, err := second.Claim(context.Background(), c)
				next = got
				return won && err == nil
			})
			if err := transact(second, next, func(tx pgx.Tx) error { return put(tx, "second") }); err != nil {
				t.Errorf("the transaction of who took over: %v", err)
			}
			close(resume)
			if err := <-ended; !errors.Is(err, store.ErrStale) {
				t.Errorf("the transaction of who was replaced: %v", err)
			}
			if has(t, s, "paused") || !has(t, s, "second") {
				t.Error("the effect of who was replaced is there")
			}
		})
	}
}

// TestLostCommitIsFoundOut loses the connection while the commit is on its way: to the database, or from it.
func TestLostCommitIsFoundOut(t *testing.T) {
	t.Parallel()
	for name, arrives := range map[string]bool{"before the database has it": false, "after the database has made it": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			direct := newStore(t, Options{})
			address, err := url.Parse(testURL(t))
			if err != nil {
				t.Fatal(err)
			}
			p, err := proxy.New(address.Host, proxy.Options{})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Close() })
			address.Host = p.Addr()
			s := openTest(t, address.String(), direct.options)
			// The first transaction of a connection prepares its statements, and waits for that.
			if err := transact(s, mustClaim(t, s, claimOf(newKey())), func(tx pgx.Tx) error { return put(tx, "first") }); err != nil {
				t.Fatal(err)
			}
			r := mustClaim(t, s, claimOf(newKey()))
			cut := make(chan struct{})
			called := 0
			err = transact(s, r, func(tx pgx.Tx) error {
				called++
				if err := put(tx, "effect"); err != nil {
					return err
				}
				lost := proxy.Down
				if !arrives {
					lost = proxy.Up
				}
				mine := tx.Conn().PgConn().Conn().LocalAddr().String()
				for _, c := range p.Conns() {
					if c.Client().String() != mine {
						continue
					}
					c.Shape(lost, proxy.Shape{Stall: true})
					go func() {
						defer close(cut)
						patience.Eventually(t, "the commit", func() bool {
							return arrives && stateOf(t, direct, r.Key) == store.Completed || !arrives && c.Held(proxy.Up) > 0
						})
						c.Cut(proxy.RST)
					}()
				}
				return nil
			})
			<-cut
			var unavailable *store.UnavailableError
			switch got := stateOf(t, direct, r.Key); {
			case arrives && (err != nil || got != store.Completed || !has(t, direct, "effect")):
				t.Errorf("a commit whose answer was lost: error %v, record %v", err, got)
			case !arrives && (!errors.As(err, &unavailable) || got != store.InProgress || has(t, direct, "effect")):
				t.Errorf("a commit that was lost: error %v, record %v", err, got)
			}
			if called != 1 {
				t.Errorf("the function was called %d times", called)
			}
		})
	}
}
