package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/warren-rpc/warren/store"
)

// Stats implements [store.Store]. The counts are exact, and cost a reading of all records without their
// larger payloads, in one statement: seconds for each ten million, in which the database cannot clean up what is
// updated anywhere. Limit is 0.
func (s *Store) Stats(ctx context.Context) (store.Stats, error) {
	if err := s.enter(ctx); err != nil {
		return store.Stats{}, err
	}
	defer s.calls.Done()
	stats := store.Stats{Created: s.identity.Created, Records: make(map[store.State]int)}
	schema := quote(s.options.Schema)
	// Tombstones are both records and rows of a table of their own.
	count := fmt.Sprintf(`
		SELECT state, sum(n)::bigint FROM (
			SELECT CASE WHEN r.state = %[2]d AND %[3]s THEN %[4]d ELSE r.state END, count(*)
			FROM %[1]s.records r WHERE NOT (%[5]s) GROUP BY 1
			UNION ALL
			SELECT %[6]d, count(*) FROM %[1]s.tombstones WHERE expires > coalesce($1, clock_timestamp())
		) AS counts (state, n) WHERE n > 0 GROUP BY state`,
		schema, store.InProgress, dead(schema), store.Interrupted, over(schema), store.Tombstone)
	rows, err := s.pool.Query(ctx, count, s.options.now())
	if err == nil {
		var (
			state store.State
			n     int
		)
		_, err = pgx.ForEachRow(rows, []any{&state, &n}, func() error {
			stats.Records[state] = n
			return nil
		})
	}
	if err == nil {
		err = s.pool.QueryRow(ctx, `
			SELECT coalesce(sum(pg_total_relation_size(oid)), 0)::bigint FROM pg_class
			WHERE relnamespace = to_regnamespace($1) AND relkind = 'r' AND (relname ~ '^records_[0-9]+$' OR relname = 'tombstones')`,
			schema).Scan(&stats.Size)
	}
	if err != nil {
		return store.Stats{}, s.failure(ctx, "stats", err)
	}
	return stats, nil
}
