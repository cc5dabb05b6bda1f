package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/patience"
)

// TestClaimsOfOneKeyInTwoSlots has two servers claim the same calls at the same time, for so different a time that the
// records would lie in different partitions, as they do at the end of a slot.
func TestClaimsOfOneKeyInTwoSlots(t *testing.T) {
	t.Parallel()
	first := newStore(t, Options{})
	stores := []*Store{first, first.another(t)}
	var both sync.WaitGroup
	for range 40 {
		var won [2]atomic.Int64
		var calls [8]store.Key
		for i := range calls {
			calls[i] = newKey()
		}
		start := make(chan struct{})
		for i, s := range stores {
			for _, key := range calls {
				c := claimOf(key)
				c.Retention = time.Duration(1+12*i) * time.Hour
				both.Go(func() {
					<-start
					_, w, err := s.Claim(context.Background(), c)
					if err != nil {
						t.Errorf("Claim: %v", err)
					}
					if w {
						won[i].Add(1)
					}
				})
			}
		}
		close(start)
		both.Wait()
		if n := won[0].Load() + won[1].Load(); n != int64(len(calls)) {
			t.Fatalf("%d claims of %d keys have won", n, len(calls))
		}
	}
	if n := query[int](t, first.pool, "SELECT count(*) FROM records"); n != 40*8 {
		t.Errorf("there are %d records of %d keys", n, 40*8)
	}
	if n := query[int](t, first.pool, "SELECT count(DISTINCT slot) FROM records"); n != 2 {
		t.Errorf("the records lie in %d slots", n)
	}
}

// trips counts the round trips of a store's own statements.
type trips struct{ batches, queries atomic.Int64 }

func (c *trips) TraceBatchStart(ctx context.Context, _ *pgx.Conn, _ pgx.TraceBatchStartData) context.Context {
	c.batches.Add(1)
	return ctx
}
func (c *trips) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (c *trips) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}

func (c *trips) TraceQueryStart(ctx context.Context, _ *pgx.Conn, data pgx.TraceQueryStartData) context.Context {
	if !strings.Contains(data.SQL, "owners") { // the session's
		c.queries.Add(1)
	}
	return ctx
}
func (c *trips) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

// traced opens a store on the same schema, and counts its round trips.
func (s *Store) traced(t *testing.T) (*Store, *trips) {
	t.Helper()
	config, err := pgxpool.ParseConfig(testURL(t) + "&search_path=" + s.options.Schema)
	if err != nil {
		t.Fatal(err)
	}
	count := new(trips)
	config.ConnConfig.Tracer = count
	pool, err := pgxpool.NewWithConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	traced, err := Open(t.Context(), pool, s.options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = traced.Close() })
	return traced, count
}

func TestCallAloneTakesTwoRoundTrips(t *testing.T) {
	t.Parallel()
	s, count := newStore(t, Options{}).traced(t)
	ctx := context.Background()
	const calls = 20
	for i := range 4 + calls {
		if i == 4 { // what is prepared, is
			count.batches.Store(0)
			count.queries.Store(0)
		}
		r := mustClaim(t, s, claimOf(newKey()))
		if err := s.Complete(ctx, r.Key, r.Token, done, time.Hour); err != nil {
			t.Fatal(err)
		}
	}
	if b, q := count.batches.Load(), count.queries.Load(); b != 2*calls || q != 0 {
		t.Errorf("%d calls have taken %d batches and %d statements beside them", calls, b, q)
	}
}

func TestTransactTakesTheSameRoundTripsAndTwoMore(t *testing.T) {
	t.Parallel()
	s, count := newStore(t, Options{}).traced(t)
	const calls = 10
	for i := range 4 + calls {
		if i == 4 {
			count.batches.Store(0)
			count.queries.Store(0)
		}
		r := mustClaim(t, s, claimOf(newKey()))
		if err := transact(s, r, func(tx pgx.Tx) error { return put(tx, fmt.Sprint(i)) }); err != nil {
			t.Fatal(err)
		}
	}
	// The claim, the beginning, and the commit; and the function's statement.
	if b, q := count.batches.Load(), count.queries.Load(); b != 3*calls || q != calls {
		t.Errorf("%d calls have taken %d batches and %d statements beside them", calls, b, q)
	}
}

// TestCallsShareCommits has many calls at a time, and counts the transactions that have written their records last.
func TestCallsShareCommits(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	const callers, rounds = 128, 4
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			for range rounds {
				r, won, err := s.Claim(context.Background(), claimOf(newKey()))
				if err == nil && won {
					err = s.Complete(context.Background(), r.Key, r.Token, done, time.Hour)
				}
				if err != nil || !won {
					t.Errorf("a call: won %v, error %v", won, err)
				}
			}
		})
	}
	all.Wait()
	records := query[int](t, s.pool, "SELECT count(*) FROM records WHERE state = 3")
	commits := query[int](t, s.pool, "SELECT count(DISTINCT xmin::text) FROM records WHERE state = 3")
	if records != callers*rounds || commits > records/8 {
		t.Errorf("%d records were completed by %d transactions", records, commits)
	}
}

// TestBadTextHarmsNobody claims a call whose ID no column of text takes, beside others.
func TestBadTextHarmsNobody(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	c := claimOf(newKey())
	c.CallID = "zero \x00, not UTF-8 \xff"
	r := mustClaim(t, s, c)
	got, err := s.Get(context.Background(), c.Key)
	if err != nil || got.CallID != "zero \uFFFD, not UTF-8 \uFFFD" || got.CallID != r.CallID {
		t.Errorf("the call's ID became %q, and in the claim %q; error %v", got.CallID, r.CallID, err)
	}
}

// TestPoolThatIsTakenStopsNoClaims has the application keep all connections of its pool, and then takes the store's own.
func TestPoolThatIsTakenStopsNoClaims(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{Timeout: patience.Times(4 * time.Second)})
	r := mustClaim(t, s, claimOf(newKey()))
	take := func(pool *pgxpool.Pool) {
		for range pool.Config().MaxConns {
			c, err := pool.Acquire(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(c.Release)
		}
	}
	take(s.pool)
	mustClaim(t, s, claimOf(newKey()))
	if err := s.Renew(context.Background(), r.Key, r.Token, time.Minute); err != nil {
		t.Errorf("Renew: %v", err)
	}
	if err := s.Complete(context.Background(), r.Key, r.Token, done, time.Hour); err != nil {
		t.Errorf("Complete: %v", err)
	}
	if err := s.Wait(context.Background(), r.Key, r.Token); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if state := stateOf(t, s, r.Key); state != store.Completed {
		t.Errorf("it is %v", state)
	}
	take(s.own)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Get(ctx, r.Key); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Get, without a connection, until its context ends: %v", err)
	}
	var both sync.WaitGroup
	for name, wait := range map[string]func() error{
		"Get":      func() error { _, err := s.Get(context.Background(), r.Key); return err },
		"Transact": func() error { return transact(s, r, nil) },
	} {
		both.Go(func() {
			var unavailable *store.UnavailableError
			if err := wait(); !errors.As(err, &unavailable) {
				t.Errorf("%s, without a connection: %v", name, err)
			}
		})
	}
	both.Wait()
}

// TestTurnThatDoesNotComeIsAnOutage has all requests wait for one that does not end.
func TestTurnThatDoesNotComeIsAnOutage(t *testing.T) {
	t.Parallel()
	s := &Store{options: Options{Timeout: 20 * time.Millisecond}.complete()}
	begun, hang := make(chan struct{}), make(chan struct{})
	s.writes.most, s.writes.heaviest, s.writes.weigh = most, heaviest, (*request).weigh
	s.writes.start(func([]*request) {
		close(begun)
		<-hang
	})
	first := make(chan error)
	go func() { first <- s.together(context.Background(), &request{end: &end{op: "renew"}}) }()
	<-begun
	ctx, cancel := context.WithTimeout(context.Background(), patience.Brief)
	defer cancel()
	var unavailable *store.UnavailableError
	err := s.together(ctx, &request{end: &end{op: "complete"}})
	if !errors.As(err, &unavailable) || unavailable.Op != "complete" || !strings.Contains(err.Error(), "not within 20ms") {
		t.Errorf("a request whose turn did not come: %v", err)
	}
	close(hang)
	if err := <-first; err != nil {
		t.Errorf("what was begun in time: %v", err)
	}
}

// TestPanicOfAWriterStopsNobodyElse has a request panic with which another one is done.
func TestPanicOfAWriterStopsNobodyElse(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	c := claimOf(newKey())
	claim := &request{claim: &c}
	broken := &request{} // it is neither a claim nor an end
	for range 2 * writers {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("it does not panic")
				}
			}()
			s.writers[0].write([]*request{claim, broken})
		}()
		var unavailable *store.UnavailableError
		if claim.done || !errors.As(claim.err, &unavailable) {
			t.Errorf("a claim that was done together with it: done %v, %v", claim.done, claim.err)
		}
		func() {
			defer func() { _ = recover() }()
			_ = s.together(context.Background(), broken)
		}()
	}
	mustClaim(t, s, c)
}

// TestConnectionEndedWhileNobodyUsedItIsNoOutage has the database end the connections that write.
func TestConnectionEndedWhileNobodyUsedItIsNoOutage(t *testing.T) {
	t.Parallel()
	o := Options{Schema: testSchema(t.Name()), SweepEvery: -1}
	makeSchema(t, o.Schema, time.Now())
	s := openTest(t, testURL(t)+"&application_name="+t.Name(), o)
	watch := openTest(t, testURL(t), o)
	mustClaim(t, s, claimOf(newKey()))
	time.Sleep(checkAfter)
	execute(t, watch.pool, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%INSERT INTO%records%'", t.Name())
	patience.Eventually(t, "it is ended", func() bool {
		return query[int](t, watch.pool, "SELECT count(*) FROM pg_stat_activity WHERE application_name = $1 AND query LIKE '%INSERT INTO%records%'", t.Name()) == 0
	})
	for range 2 * writers {
		mustClaim(t, s, claimOf(newKey()))
	}
}

// TestSchemaMadeAgain drops the schema of a server that runs, and makes it again.
func TestSchemaMadeAgain(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	r := mustClaim(t, s, claimOf(newKey()))
	ctx := context.Background()
	unavailable := func(when string) {
		t.Helper()
		_, claim := func() (store.Record, error) { r, _, err := s.Claim(ctx, claimOf(newKey())); return r, err }()
		_, get := s.Get(ctx, r.Key)
		for name, err := range map[string]error{
			"Claim": claim, "Get": get, "Complete": s.Complete(ctx, r.Key, r.Token, done, time.Hour),
			"Renew": s.Renew(ctx, r.Key, r.Token, time.Minute), "Transact": transact(s, r, nil),
		} {
			var u *store.UnavailableError
			if stale := name == "Transact" && errors.Is(err, store.ErrStale); !errors.As(err, &u) && !stale {
				t.Errorf("%s %s: %v", name, when, err)
			}
		}
	}
	execute(t, s.pool, "DROP SCHEMA "+quote(s.options.Schema)+" CASCADE")
	unavailable("without the schema")
	makeSchema(t, s.options.Schema, time.Now())
	unavailable("with another store in the schema")
	if n := query[int](t, s.pool, "SELECT count(*) FROM records"); n != 0 {
		t.Errorf("the other store has %d records", n)
	}
	mustClaim(t, s.another(t), claimOf(r.Key))
}
