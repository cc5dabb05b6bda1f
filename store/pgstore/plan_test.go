package pgstore

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
)

// TestPlansReadNoTable makes every plan while the tables are empty, fills them, and looks at the plans that the sessions
// have kept: none may read a table, or an index, from end to end.
func TestPlansReadNoTable(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{NoSession: true})
	ctx := context.Background()
	execute(t, s.pool, "ALTER TABLE tombstones SET (autovacuum_enabled = false)")
	for slot := range slots + 1 {
		execute(t, s.pool, fmt.Sprintf("ALTER TABLE records_%d SET (autovacuum_enabled = false)", slot))
	}
	execute(t, s.pool, "VACUUM ANALYZE") // nothing is there, say the statistics
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Release()
	begin := func() pgx.Tx {
		tx, err := conn.Begin(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(ctx, settings); err != nil {
			t.Fatal(err)
		}
		return tx
	}
	statements := map[string]string{
		"claim": s.queries.claim, "end": s.queries.ends[1], "find": s.queries.find, "findLocked": s.queries.findLocked, "update": s.queries.update,
		"forget": s.queries.forget, "tombstone": s.queries.tombstone, "owned": s.queries.owned, "complete": s.queries.complete,
		"changed": s.queries.changed, "insert": s.queries.insert, "now": s.queries.now,
	}
	explain := func(tx pgx.Tx, name, sql string) string {
		args := strings.TrimSuffix(strings.Repeat("NULL, ", parameters(sql)), ", ")
		rows, err := tx.Query(ctx, "EXPLAIN EXECUTE p_"+name+"("+args+")")
		if err != nil {
			t.Fatal(err)
		}
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		return strings.Join(lines, "\n")
	}
	tx := begin()
	for name, sql := range statements {
		if _, err := tx.Exec(ctx, "PREPARE p_"+name+" AS "+sql); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		explain(tx, name, sql)
	}
	if err := tx.Commit(ctx); err != nil {
		t.Fatal(err)
	}
	execute(t, s.pool, `INSERT INTO records (k, token, owner, created, updated, expires, keep, attempts, slot, state, first, key, fingerprint, method, call_id)
		SELECT hashint8extended(n, 0), n, -1, now(), now(), now() + '1 d', slots.ends, 1, slots.slot, 3, true, int8send(n), '', '', ''
		FROM generate_series(1, 100000) AS n, slots WHERE slots.slot = 1`)
	tx = begin()
	defer func() { _ = tx.Rollback(ctx) }()
	for name, sql := range statements {
		plan := explain(tx, name, sql)
		for line := range strings.Lines(plan) {
			reads := strings.Contains(line, "Seq Scan") || strings.Contains(line, "Hash Join") || strings.Contains(line, "Merge Join")
			if reads || strings.Contains(line, "Index Scan") && !strings.Contains(plan, "Index Cond") {
				t.Errorf("%s has the plan\n%s", name, plan)
				break
			}
		}
		if scans, conditions := strings.Count(plan, "Index Scan"), strings.Count(plan, "Index Cond"); scans > conditions+strings.Count(plan, "slots_ends_key") {
			t.Errorf("%s reads an index from end to end:\n%s", name, plan)
		}
	}
}

// parameters is how many parameters a statement has.
func parameters(sql string) int {
	n := 0
	for strings.Contains(sql, fmt.Sprintf("$%d", n+1)) {
		n++
	}
	return n
}

// TestEndsTouchNoIndex: the one update of a call leaves the row's page and the indexes alone.
func TestEndsTouchNoIndex(t *testing.T) {
	t.Parallel()
	s := newStore(t, Options{})
	const calls = 2000
	result := store.Result{State: store.Completed, Payload: make([]byte, 300)}
	work := make(chan struct{}, calls)
	for range calls {
		work <- struct{}{}
	}
	close(work)
	ended := make(chan error)
	for range 64 {
		go func() {
			var failed error
			for range work {
				r, _, err := s.Claim(context.Background(), claimOf(newKey()))
				if err == nil {
					err = s.Complete(context.Background(), r.Key, r.Token, result, 24*time.Hour)
				}
				if err != nil {
					failed = err
				}
			}
			ended <- failed
		}()
	}
	for range 64 {
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Close(); err != nil { // the sessions tell their figures when they end
		t.Fatal(err)
	}
	again := s.another(t)
	var updates, hot int
	err := again.pool.QueryRow(context.Background(), `SELECT sum(n_tup_upd), sum(n_tup_hot_upd) FROM pg_stat_user_tables
		WHERE schemaname = $1 AND relname LIKE 'records%'`, s.options.Schema).Scan(&updates, &hot)
	if err != nil || updates < calls || hot < updates*9/10 {
		t.Errorf("of %d updates of %d calls %d left the indexes alone: %v", updates, calls, hot, err)
	}
}
