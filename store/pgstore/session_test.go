package pgstore

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/postgres"
)

// attend opens a session, which is closed when the test has ended.
func (d *database) attend() *session {
	d.Helper()
	s, err := openSession(d.Context(), d.pool, newOwner(true), defaultSchema, slog.New(slog.DiscardHandler))
	if err != nil {
		d.Fatal(err)
	}
	d.Cleanup(s.close)
	return s
}

// registered reports whether the owner is taken to be alive.
func (d *database) registered(owner int64) bool {
	d.Helper()
	return value[bool](d, "SELECT EXISTS (SELECT FROM warren.owners WHERE id = $1)", owner)
}

// cut ends the owner's connection, and reports whether it had one.
func (d *database) cut(owner int64) bool {
	d.Helper()
	const holder = `SELECT count(pg_terminate_backend(pid)) > 0 FROM pg_locks
		WHERE locktype = 'advisory' AND objsubid = 1 AND granted AND mode = 'ExclusiveLock' AND classid = ($1::bigint >> 32)::int::oid
			AND objid::bigint = ($1::bigint & 4294967295)`
	return value[bool](d, holder, owner)
}

// countDeaths has the owners counted that are not registered any more, whether they come back or not.
func (d *database) countDeaths() (deaths func() int) {
	d.Helper()
	d.exec("CREATE TABLE public.deaths (id bigint)")
	d.exec("CREATE FUNCTION public.died() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO public.deaths VALUES (old.id); RETURN NULL; END'")
	d.exec("CREATE TRIGGER died AFTER DELETE ON warren.owners FOR EACH ROW EXECUTE FUNCTION public.died()")
	return func() int {
		d.Helper()
		return value[int](d, "SELECT count(*) FROM public.deaths")
	}
}

const sessionProcess = "WARREN_SESSION_PROCESS"

func TestSessionProcess(t *testing.T) {
	url := os.Getenv(sessionProcess)
	if url == "" {
		return // it is started by TestKilledProcessIsKnownToBeDead alone
	}
	pool, err := pgxpool.New(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	s, err := openSession(t.Context(), pool, newOwner(true), defaultSchema, slog.Default())
	if err != nil {
		t.Fatal(err)
	}
	fmt.Println(s.owner)
	select {}
}

func TestKilledProcessIsKnownToBeDead(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	judge := d.attend()
	process := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestSessionProcess$")
	process.Env = append(os.Environ(), sessionProcess+"="+d.url)
	out, err := process.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := process.Start(); err != nil {
		t.Fatal(err)
	}
	var owner int64
	if _, err := fmt.Fscan(bufio.NewReader(out), &owner); err != nil {
		t.Fatal(err)
	}
	if !d.registered(owner) {
		t.Fatal("the process is not registered")
	}
	// It stays alive for longer than a dead one would.
	for end := time.Now().Add(2 * freeFor); time.Now().Before(end); time.Sleep(lookEvery / 4) {
		if !d.registered(owner) {
			t.Fatal("the process is dead before it was killed")
		}
	}
	killed := time.Now()
	_ = process.Process.Kill()
	_ = process.Wait()
	patience.Eventually(t, "the killed process is known to be dead", func() bool { return !d.registered(owner) })
	t.Logf("known to be dead after %v", time.Since(killed))
	if !d.registered(judge.owner) {
		t.Error("the process that judges is dead")
	}
}

func TestCutConnectionIsNotADeath(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	deaths := d.countDeaths()
	judge, owner := d.attend(), d.attend()
	time.Sleep(graceAtFirst) // from here on, it judges
	opened := func() time.Time {
		return value[time.Time](d, "SELECT coalesce(max(opened), '-infinity') FROM warren.owners WHERE id = $1", owner.owner)
	}
	cuts, longest := 0, time.Duration(0)
	for end := time.Now().Add(patience.Brief); time.Now().Before(end); cuts++ {
		before, at := opened(), time.Now()
		if !d.cut(owner.owner) {
			t.Fatal("the owner had no connection")
		}
		patience.Eventually(t, "the owner has connected again", func() bool { return opened().After(before) })
		longest = max(longest, time.Since(at))
	}
	time.Sleep(2 * freeFor)
	// On a machine that is too busy for a connection to be made in time, the death is a fair judgement.
	if n := deaths(); n > 0 && longest < freeFor {
		t.Errorf("after %d cuts %d was taken for dead %d times by %d; it took %v at most to connect again", cuts, owner.owner, n, judge.owner, longest)
	}
	t.Logf("%d cuts; connected again in %v at most", cuts, longest)
}

func TestRestartOfPostgreSQLMakesNobodyDead(t *testing.T) {
	t.Parallel()
	server := postgres.New(t, postgres.Options{})
	d := onDatabase(t, server.URL("postgres"), MigrateOptions{})
	const several = 5
	deaths := d.countDeaths()
	owners := make([]*session, several)
	for i := range owners {
		owners[i] = d.attend()
	}
	time.Sleep(graceAtFirst)
	server.Kill()
	time.Sleep(2 * freeFor)
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	d.pool.Reset()
	for _, s := range owners {
		patience.Eventually(t, "the session is there again", func() bool {
			return value[bool](d, "SELECT NOT pg_try_advisory_xact_lock_shared($1)", s.owner)
		})
	}
	time.Sleep(graceAgain + 2*freeFor)
	if n := deaths(); n > 0 {
		t.Errorf("after PostgreSQL was killed and started %d of %d owners were taken for dead", n, several)
	}
	// And one that does not come back is dead.
	lost := owners[0]
	lost.connect = nil // it panics if it is used: close must not
	lost.close()
	if d.registered(lost.owner) {
		t.Error("a session that was closed is registered")
	}
}

func TestOwnerTakenForDeadComesBack(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	s := d.attend()
	d.exec("DELETE FROM warren.owners WHERE id = $1", s.owner)
	patience.Eventually(t, "the owner is registered again", func() bool { return d.registered(s.owner) })
}

func TestOwnerTakenForDeadClaimsNothing(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	other := s.another(t)
	ended, over := claimOf(newKey()), claimOf(newKey())
	r := mustClaim(t, other, ended)
	if err := other.Complete(t.Context(), r.Key, r.Token, done, time.Hour); err != nil {
		t.Fatal(err)
	}
	over.Lease = time.Millisecond
	mustClaim(t, other, over)
	time.Sleep(2 * time.Millisecond)
	s.session.close() // the rest of the store goes on
	for name, c := range map[string]store.Claim{"that is new": claimOf(newKey()), "of a dead owner": over} {
		_, won, err := s.Claim(t.Context(), c)
		var unavailable *store.UnavailableError
		if won || !errors.As(err, &unavailable) || !errors.Is(err, errTakenForDead) {
			t.Errorf("the claim of a call %s by an owner that is taken for dead: won %v, error %v", name, won, err)
		}
		mustClaim(t, other, c)
	}
	if r, won, err := s.Claim(t.Context(), ended); won || err != nil || r.State != store.Completed {
		t.Errorf("the claim of a call that has ended: %v, won %v, error %v", r.State, won, err)
	}
}

func TestOwnerWhoseLockIsFreeIsDead(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	judge := d.attend()
	// A row whose lock nobody holds is one of a dead owner.
	d.exec("INSERT INTO warren.owners VALUES (42, 'nobody', clock_timestamp())")
	patience.Eventually(t, "who holds no lock is dead", func() bool { return !d.registered(42) })
	if !d.registered(judge.owner) {
		t.Error("the judge is dead")
	}
}

func TestClosedSessionLeavesNothing(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	s := d.attend()
	s.close()
	s.close()
	if d.registered(s.owner) {
		t.Error("a closed session is registered")
	}
	patience.Eventually(t, "its lock is free", func() bool { return value[bool](d, "SELECT pg_try_advisory_xact_lock($1)", s.owner) })
}

func TestSessionClosesWhileTheDatabaseIsAway(t *testing.T) {
	t.Parallel()
	server := postgres.New(t, postgres.Options{})
	d := onDatabase(t, server.URL("postgres"), MigrateOptions{})
	s := d.attend()
	frozen := d.attend()
	if err := server.Freeze(); err != nil {
		t.Fatal(err)
	}
	frozen.close()
	if err := server.Thaw(); err != nil {
		t.Fatal(err)
	}
	server.Kill()
	s.close()
}

func TestSessionConnectsAsThePoolDoes(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{})
	config := d.pool.Config()
	var before, after atomic.Int32
	config.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
		before.Add(1)
		c.RuntimeParams["application_name"] = "before"
		return nil
	}
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		after.Add(1)
		_, err := conn.Exec(ctx, "SET work_mem = '5MB'")
		return err
	}
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	conn, err := connector(pool)(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer discard(context.Background(), conn)
	var name, memory string
	err = conn.QueryRow(t.Context(), "SELECT current_setting('application_name'), current_setting('work_mem')").Scan(&name, &memory)
	if err != nil || name != "before" || memory != "5MB" || before.Load() == 0 || after.Load() == 0 {
		t.Errorf("the session's connection is %q with %q, %v", name, memory, err)
	}
}
