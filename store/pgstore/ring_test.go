package pgstore

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

// ring is one whose time is after that of the database by ahead.
func (d *database) ring(ahead *atomic.Int64) *ring {
	return &ring{pool: d.pool, schema: quote(defaultSchema), now: func() *time.Time {
		if ahead == nil {
			return nil
		}
		now := time.Now().Add(time.Duration(ahead.Load()))
		return &now
	}}
}

func (r *ring) mustSweep(d *database) int {
	d.Helper()
	n, err := r.sweep(d.Context())
	if err != nil {
		d.Fatalf("sweep: %v", err)
	}
	return n
}

// put makes a record that expires after some time, where it belongs.
func (d *database) put(state store.State, lease, retention time.Duration) {
	d.Helper()
	d.exec(`
		INSERT INTO warren.records (k, token, owner, lease, created, updated, expires, keep, attempts, slot, state, first, key,
			fingerprint, method, call_id)
		SELECT (random() * 1e18)::bigint, 1, -1, CASE WHEN $1::smallint = 1 THEN now + $2 END, now, now, now + $3, ends, 1, slot, $1, true,
			sha256(random()::text::bytea), '', '', ''
		FROM clock_timestamp() AS now, LATERAL (
			SELECT slot, ends FROM warren.slots WHERE ends >= now + greatest($2::interval, $3) ORDER BY ends LIMIT 1) AS place`,
		int(state), lease, retention)
}

const layout = `SELECT coalesce(string_agg(slot || ':' || n, ' ' ORDER BY slot), '') FROM (SELECT slot, count(*) AS n FROM warren.records GROUP BY slot) AS s`

// window is how many slots other than 0 have an end within a turn of the ring, each another,
// and none that has passed by the time.
func (d *database) window(now time.Time) int {
	d.Helper()
	return value[int](d, `SELECT count(DISTINCT ends) FROM warren.slots, warren.meta
		WHERE slot > 0 AND ends > $1 AND ends <= $1::timestamptz + 13 * period`, now)
}

func TestSlotsAreEmptiedWhenTheyHaveEnded(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Hour})
	var ahead atomic.Int64
	r := d.ring(&ahead)
	d.put(store.Completed, 0, time.Minute)
	for range 3 {
		d.put(store.Completed, 0, 90*time.Minute)
	}
	d.put(store.InProgress, 5*time.Hour, time.Minute)
	if n := r.mustSweep(d); n != 0 {
		t.Errorf("a sweep forgot %d records that are remembered", n)
	}
	for _, turn := range []struct {
		after time.Duration
		want  int
	}{{time.Minute + time.Hour, 1}, {3 * time.Hour, 3}, {4 * time.Hour, 0}, {6*time.Hour + time.Minute, 1}} {
		ahead.Store(int64(turn.after))
		if n := r.mustSweep(d); n != turn.want {
			t.Errorf("after %v a sweep forgot %d records; want %d; there are %s", turn.after, n, turn.want, value[string](d, layout))
		}
		if got := d.window(*r.now()); got != slots {
			t.Errorf("after %v, %d of %d slots have an end to come", turn.after, got, slots)
		}
	}
	if got := value[string](d, layout); got != "" {
		t.Errorf("left over: %s", got)
	}
}

func TestRingThatNobodyTurnedForLongIsTurnedAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Second})
	d.exec("UPDATE warren.slots SET ends = ends - interval '100 days' WHERE slot > 0")
	// Meanwhile, records are kept where nothing is emptied at once.
	d.put(store.Completed, 0, time.Hour)
	d.put(store.Completed, 0, time.Microsecond)
	if got := value[string](d, layout); got != "0:2" {
		t.Errorf("without a slot for them, records are in %s", got)
	}
	r := d.ring(nil)
	if n := r.mustSweep(d); n != 1 {
		t.Errorf("a sweep forgot %d records; want 1", n)
	}
	if got := d.window(time.Now()); got < slots-1 { // one may have ended since
		t.Errorf("%d of %d slots have an end to come", got, slots)
	}
}

func TestClockThatSteppedLosesNothingAndIsCaughtUpWith(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Hour})
	var ahead atomic.Int64
	r := d.ring(&ahead)
	// A year ahead, all slots are given ends that are far away.
	ahead.Store(int64(365 * 24 * time.Hour))
	r.mustSweep(d)
	ahead.Store(0)
	d.put(store.Completed, 0, time.Hour)
	d.put(store.Completed, 0, 24*time.Hour)
	d.put(store.InProgress, 24*time.Hour, time.Hour)
	if n := r.mustSweep(d); n != 0 {
		t.Errorf("a sweep forgot %d records that are remembered", n)
	}
	// What expires is forgotten all the same.
	ahead.Store(int64(time.Hour + time.Minute))
	if n := r.mustSweep(d); n != 1 {
		t.Errorf("a sweep forgot %d records; want 1; there are %s", n, value[string](d, layout))
	}
	// Where the clock was, it is as ever.
	ahead.Store(int64(366 * 24 * time.Hour))
	if n := r.mustSweep(d); n != 2 || d.window(*r.now()) != slots {
		t.Errorf("a sweep forgot %d records; want 2; there are %s", n, value[string](d, layout))
	}
}

func TestSlotZeroIsSweptInBatches(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Second})
	const many = 2*batch + 10
	d.exec(`
		INSERT INTO warren.records (k, token, owner, lease, created, updated, expires, keep, attempts, slot, state, first, key,
			fingerprint, method, call_id)
		SELECT n, 1, owner, lease, now(), now(), now() - interval '1 s', 'infinity', 1, 0, state, true, sha256(n::text::bytea), '', '', ''
		FROM generate_series(1, $1) AS n, (VALUES
			(3, NULL, -1), (1, now() - interval '1 s', -1), (1, now() + interval '1 h', -1), (1, now() + interval '1 h', 7), (1, now() + interval '1 h', 8)
		) AS of (state, lease, owner)`, many)
	d.exec("INSERT INTO warren.owners VALUES (7, 'alive', now())")
	d.exec(`INSERT INTO warren.tombstones SELECT sha256(n::text::bytea), '', '', '', now(), now() + (n - 5) * interval '1 h' FROM generate_series(1, 10) AS n`)
	r := d.ring(nil)
	// Alive are those with a lease whose owner has none but that, or is registered.
	if n, want := r.mustSweep(d), 3*many+5; n != want {
		t.Errorf("a sweep forgot %d records; want %d", n, want)
	}
	if n := value[int](d, "SELECT count(*) FROM warren.records WHERE state = 1 AND lease > now() AND owner IN (-1, 7)"); n != 2*many {
		t.Errorf("of %d records in progress %d are left", 2*many, n)
	}
	if n := r.mustSweep(d); n != 0 {
		t.Errorf("a second sweep forgot %d records", n)
	}
}

func TestSlotThatOthersUseIsLeftForLater(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Second})
	d.put(store.Completed, 0, time.Millisecond)
	conn := d.connect()
	begin := func(sql string) pgx.Tx {
		tx, err := conn.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	tx := begin("SELECT count(*) FROM warren.records")
	r := d.ring(nil)
	patience.Eventually(t, "the slot has ended", func() bool {
		return value[bool](d, "SELECT keep <= clock_timestamp() FROM warren.records")
	})
	if n := r.mustSweep(d); n != 0 {
		t.Errorf("a sweep forgot %d records that a transaction reads", n)
	}
	// Nobody is kept waiting by what was given up.
	d.put(store.Completed, 0, time.Hour)
	if err := tx.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := r.mustSweep(d); n != 1 {
		t.Errorf("a sweep forgot %d records; want 1", n)
	}
	// Who has asked for something that only looks like it keeps nobody waiting either.
	tx = begin("SELECT FROM warren.slots FOR SHARE")
	if _, err := r.sweep(t.Context()); err != nil {
		t.Errorf("sweep: %v", err)
	}
	_ = tx.Rollback(t.Context())
}

func TestSeveralSweepAtOnce(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Hour})
	var ahead atomic.Int64
	const records, sweepers = 60, 4
	for i := range records {
		d.put(store.Completed, 0, time.Duration(i)*10*time.Minute)
	}
	ahead.Store(int64(20 * time.Hour))
	var forgot atomic.Int64
	var wg sync.WaitGroup
	for range sweepers {
		wg.Go(func() {
			n, err := d.ring(&ahead).sweep(context.Background())
			if err != nil {
				t.Errorf("sweep: %v", err)
			}
			forgot.Add(int64(n))
		})
	}
	wg.Wait()
	forgot.Add(int64(d.ring(&ahead).mustSweep(d)))
	if forgot.Load() != records || value[string](d, layout) != "" {
		t.Errorf("%d sweepers forgot %d of %d records, and left %s", sweepers, forgot.Load(), records, value[string](d, layout))
	}
	if got := d.window(time.Now().Add(20 * time.Hour)); got != slots {
		t.Errorf("%d of %d slots have an end to come", got, slots)
	}
}

func TestPartitionIsEmptiedWhileHandlersHaveTransactions(t *testing.T) {
	t.Parallel()
	d := newDatabase(t, MigrateOptions{Period: time.Hour})
	s, err := Open(t.Context(), d.pool, Options{SweepEvery: -1, TxOptions: pgx.TxOptions{IsoLevel: pgx.RepeatableRead}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	d.put(store.Completed, 0, time.Minute)
	var ahead atomic.Int64
	ahead.Store(int64(3 * time.Hour))
	forgot := 0
	err = transact(s, mustClaim(t, s, claimOf(newKey())), func(tx pgx.Tx) error {
		forgot = d.ring(&ahead).mustSweep(d)
		var level string
		if err := tx.QueryRow(t.Context(), "SHOW transaction_isolation").Scan(&level); err != nil || level != "repeatable read" {
			t.Errorf("the transaction is at %q, error %v", level, err)
		}
		return nil
	})
	if err != nil || forgot != 1 {
		t.Errorf("while a handler has its transaction, a sweep forgot %d records of 1 that is over; error %v", forgot, err)
	}
}
