package failure

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/pgstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
)

// admin runs a statement in a session of its own, as an administrator would.
func admin(t *testing.T, url, statement string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url+"&default_transaction_read_only=off&statement_timeout=0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
}

// name is that of the URL's database.
func name(url string) string {
	path, _, _ := strings.Cut(url[strings.LastIndex(url, "/")+1:], "?")
	return path
}

// refusal is how a database is made to refuse, and what is told then. %[1]s is the name of the database, and of the
// server's role.
type refusal struct {
	begin, end []string
	cause      string // what the errors' text must name
}

// terminate ends all sessions of the database but the one that says so.
const terminate = "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"

var refusals = map[string]refusal{
	"read-only": {
		begin: []string{"ALTER DATABASE %[1]s SET default_transaction_read_only = on", terminate},
		end:   []string{"ALTER DATABASE %[1]s RESET default_transaction_read_only", terminate},
		cause: "read-only",
	},
	"schema gone": {
		begin: []string{"ALTER SCHEMA warren RENAME TO gone"},
		end:   []string{"ALTER SCHEMA gone RENAME TO warren"},
		cause: "warren store migrate",
	},
	"no rights": {
		begin: []string{"REVOKE USAGE ON SCHEMA warren FROM %[1]s"},
		end:   []string{"GRANT USAGE ON SCHEMA warren TO %[1]s"},
		cause: "permission denied",
	},
	"no connections": {
		begin: []string{"ALTER DATABASE %[1]s CONNECTION LIMIT 0", terminate},
		end:   []string{"ALTER DATABASE %[1]s CONNECTION LIMIT -1"},
		cause: "too many connections",
	},
	"statement timeout": {
		begin: []string{
			"CREATE FUNCTION public.slow() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'",
			"CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON warren.records FOR EACH ROW EXECUTE FUNCTION slow()",
			"ALTER DATABASE %[1]s SET statement_timeout = 200", terminate,
		},
		end: []string{
			"DROP TRIGGER slow ON warren.records",
			"ALTER DATABASE %[1]s RESET statement_timeout", terminate,
		},
		cause: "gave up a statement",
	},
}

// Each of these fails what changes a record, with an error that names the cause, and leaves a call that was begun as it
// was: it completes afterwards.
func TestRefusalsOfTheDatabase(t *testing.T) {
	t.Parallel()
	for what, r := range refusals {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			url := database(t)
			s := open(t, asRole(t, url), pgstore.Options{Timeout: 3 * time.Second})
			plain, inTransaction := begun(t, s, "plain"), begun(t, s, "in a transaction")

			for _, statement := range r.begin {
				admin(t, url, strings.ReplaceAll(statement, "%[1]s", name(url)))
			}
			refused(t, r.cause, func() error {
				_, won, err := s.Claim(t.Context(), claimOf("new"))
				if won {
					t.Error("the claim won")
				}
				return err
			})
			refused(t, r.cause, func() error { return finish(t.Context(), s, plain) })
			refused(t, r.cause, func() error { return transact(t.Context(), s, inTransaction) })
			for _, statement := range r.end {
				admin(t, url, strings.ReplaceAll(statement, "%[1]s", name(url)))
			}

			owner := connect(t, url)
			patience.Eventually(t, "the store works again", func() bool { return finish(t.Context(), s, plain) == nil })
			patience.Eventually(t, "all of it", func() bool { return transact(t.Context(), s, inTransaction) == nil })
			works(t, s, owner, "afterwards")
			if n := effects(t, owner, "in a transaction"); n != 1 {
				t.Errorf("%d effects", n)
			}
			if state := get(t, s, "new").State; state != store.Absent {
				t.Errorf("what was refused is %v", state)
			}
		})
	}
}

// refused has f fail until its error names the cause: first it may tell that its session has ended. No other error is
// right.
func refused(t *testing.T, cause string, f func() error) {
	t.Helper()
	patience.Eventually(t, "an error that names "+cause, func() bool {
		err := f()
		unavailable(t, cause, err)
		return t.Failed() || strings.Contains(err.Error(), cause)
	})
}

// asRole is a pool of an ordinary role's, which has what a server needs and the name of the database.
func asRole(t *testing.T, url string) *pgxpool.Pool {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	role := name(url)
	if _, err := conn.Exec(t.Context(), "CREATE ROLE "+role+" LOGIN PASSWORD 'secret'; GRANT ALL ON effects TO "+role); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := postgres.Shared(t).Exec(context.Background(), "\\c "+name(url)+"\nDROP OWNED BY "+role+"; DROP ROLE "+role); err != nil {
			t.Error(err)
		}
	})
	if err := pgstore.Migrate(t.Context(), conn, pgstore.MigrateOptions{Role: role}); err != nil {
		t.Fatal(err)
	}
	return connect(t, url, func(c *pgxpool.Config) { c.ConnConfig.User, c.ConnConfig.Password = role, "secret" })
}

// named fails the test unless err is an UnavailableError whose text names the cause.
func named(t *testing.T, what string, err error, cause string) {
	t.Helper()
	unavailable(t, what, err)
	if err != nil && !strings.Contains(err.Error(), cause) {
		t.Errorf("%s: error %v does not name %q", what, err, cause)
	}
}

func TestTerminatedSessionsRepeatNothing(t *testing.T) {
	t.Parallel()
	url := database(t)
	pool := connect(t, url)
	l := startLoad(t, open(t, pool, pgstore.Options{}), open(t, connect(t, url), pgstore.Options{}))
	for range 8 {
		l.goesOn(t)
		admin(t, url, terminate)
	}
	l.goesOn(t)
	l.finish(t, pool)
	if l.failed.Load() == 0 {
		t.Error("no call met the terminations")
	}
}

// A locked table makes calls wait, and fail after Options.Timeout; none of what has failed so is made twice later.
func TestLockedTableMakesCallsWait(t *testing.T) {
	t.Parallel()
	url := database(t)
	pool := connect(t, url)
	l := startLoad(t, open(t, pool, pgstore.Options{Timeout: 3 * time.Second}), open(t, connect(t, url), pgstore.Options{Timeout: 3 * time.Second}))
	for range 2 {
		l.goesOn(t)
		failed := l.failed.Load()
		conn, err := pgx.Connect(t.Context(), url)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.Exec(t.Context(), "BEGIN; LOCK TABLE warren.records IN ACCESS EXCLUSIVE MODE"); err != nil {
			t.Error(err)
		}
		patience.Eventually(t, "calls fail", func() bool { return l.failed.Load() > failed })
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	l.goesOn(t)
	l.finish(t, pool)
}

// The application's use of its pool keeps neither claims nor their ends waiting, and Transact tells that there is no
// connection.
func TestPoolExhaustedByTheApplication(t *testing.T) {
	t.Parallel()
	url := database(t)
	pool := connect(t, url, func(c *pgxpool.Config) { c.MaxConns = 3 })
	s := open(t, pool, pgstore.Options{Timeout: 3 * time.Second})
	r := begun(t, s, "in a transaction")
	var taken []*pgxpool.Conn
	for range 3 {
		conn, err := pool.Acquire(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		taken = append(taken, conn)
	}
	if err := finish(t.Context(), s, begun(t, s, "plain")); err != nil {
		t.Error(err)
	}
	// What is the store's alone has connections of its own.
	if got, err := s.Get(t.Context(), r.Key); err != nil || got.State != store.InProgress {
		t.Errorf("get: %v, %v", got.State, err)
	}
	if _, won, err := s.Claim(t.Context(), claimOf("plain")); err != nil || won { // it meets a record
		t.Errorf("claim: won %v, %v", won, err)
	}
	waiting, cancel := context.WithTimeout(t.Context(), patience.Brief)
	if err := s.Wait(waiting, r.Key, r.Token+1); err != nil {
		t.Errorf("wait: %v", err)
	}
	cancel()
	named(t, "transact", transact(t.Context(), s, r), "not within 3s")
	for _, conn := range taken {
		conn.Release()
	}
	if err := transact(t.Context(), s, r); err != nil {
		t.Error(err)
	}
	works(t, s, pool, "afterwards")
}

func TestServerWithoutRoomForConnections(t *testing.T) {
	t.Parallel()
	server := postgres.New(t, postgres.Options{Config: map[string]string{"max_connections": "16", "superuser_reserved_connections": "0"}})
	url := server.URL("")
	migrate(t, url)
	pool := connect(t, url)
	l := startLoad(t, open(t, pool, pgstore.Options{}), open(t, connect(t, url), pgstore.Options{}))
	l.goesOn(t)
	// They have it all together; the load goes on with the connections that it has, and what has none fails.
	l.goesOn(t)
	l.finish(t, pool)
	pool.Reset()
	var others []*pgx.Conn
	patience.Eventually(t, "all connections are taken", func() bool {
		conn, err := pgx.Connect(t.Context(), url)
		if err == nil {
			others = append(others, conn)
		}
		return err != nil && strings.Contains(err.Error(), "53300")
	})
	s := l.stores[0]
	r, won, err := s.Claim(t.Context(), claimOf("a call"))
	if err != nil || !won {
		t.Fatalf("the store's own connection: won %v, %v", won, err)
	}
	named(t, "transact", transact(t.Context(), s, r), "53300")
	for _, conn := range others {
		if err := conn.Close(t.Context()); err != nil {
			t.Error(err)
		}
	}
	patience.Eventually(t, "the call ends", func() bool { return transact(t.Context(), s, r) == nil })
	works(t, s, pool, "afterwards")
}

// A function that leaves its transaction alone for longer than Options.TxIdle loses it.
func TestTransactionThatIdlesIsEnded(t *testing.T) {
	t.Parallel()
	url := database(t)
	pool := connect(t, url)
	s := open(t, pool, pgstore.Options{TxIdle: 200 * time.Millisecond})
	r := begun(t, s, "a call")
	err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx pgx.Tx) (store.Result, error) {
		_, err := tx.Exec(t.Context(), "INSERT INTO effects VALUES ('a call')")
		// The server ends the session, which closes it.
		time.Sleep(patience.Times(time.Second))
		return resultOf("a call"), err
	})
	unavailable(t, "transact", err)
	if r, n := get(t, s, "a call"), effects(t, pool, "a call"); r.State != store.InProgress || n != 0 {
		t.Errorf("it is %v and has %d effects", r.State, n)
	}
	if err := transact(t.Context(), s, r); err != nil {
		t.Error(err)
	}
}

// A handler that says no more of an outage than that it has failed is not believed.
func TestOutageUnderAHandlerIsTheStorages(t *testing.T) {
	t.Parallel()
	url := database(t)
	pool := connect(t, url)
	s := open(t, pool, pgstore.Options{})
	r := begun(t, s, "a call")
	err := s.Transact(t.Context(), r.Key, r.Token, time.Hour, func(tx pgx.Tx) (store.Result, error) {
		_, err := tx.Exec(t.Context(), "SELECT pg_terminate_backend(pg_backend_pid())")
		if err == nil {
			t.Error("the session goes on")
		}
		return store.Result{}, errors.New("it did not work")
	})
	unavailable(t, "transact", err)
	if err := transact(t.Context(), s, r); err != nil {
		t.Error(err)
	}
}
