package pgstore

import (
	"context"
	"crypto/rand"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/test/postgres"
)

// recordsEnv is how many records BenchmarkClaimAmongRecords makes.
const recordsEnv = "WARREN_RECORDS"

// BenchmarkClaimAmongRecords compares claims in a store that has many records with claims in an empty one, of the same
// server and in turns, and says how large the records are:
//
//	WARREN_RECORDS=10000000 go test -run '^$' -bench ClaimAmongRecords -benchtime 1x -timeout 60m ./store/pgstore
//
// It needs 800 bytes of disk for each record. Default 100,000.
func BenchmarkClaimAmongRecords(b *testing.B) {
	records := 100_000
	if text := os.Getenv(recordsEnv); text != "" {
		var err error
		if records, err = strconv.Atoi(text); err != nil {
			b.Fatalf("%s: %v", recordsEnv, err)
		}
	}
	server := postgres.New(b, postgres.Options{Config: map[string]string{
		"shared_buffers": "1GB", "max_wal_size": "8GB", "full_page_writes": "off",
	}})
	full := openSchema(b, server.URL("postgres"), "full")
	empty := openSchema(b, server.URL("postgres"), "empty")
	began := time.Now()
	const chunk = 500_000
	for made := 0; made < records; made += chunk {
		fill(b, full.pool, "full", made, min(chunk, records-made))
	}
	b.Logf("%d records made in %v", records, time.Since(began).Round(time.Second))
	began = time.Now()
	if _, err := full.Stats(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Logf("Stats took %v", time.Since(began).Round(time.Millisecond))
	for _, s := range []*Store{empty, full} {
		if _, err := s.pool.Exec(b.Context(), "VACUUM ANALYZE "+s.ring.schema+".records"); err != nil {
			b.Fatal(err)
		}
	}
	var heap, index int64
	err := full.pool.QueryRow(b.Context(), `SELECT sum(pg_table_size(oid))::bigint, sum(pg_indexes_size(oid))::bigint
		FROM pg_class WHERE relnamespace = 'full'::regnamespace AND relname ~ '^records_[0-9]+$' AND relkind = 'r'`).Scan(&heap, &index)
	if err != nil {
		b.Fatal(err)
	}
	b.Logf("a record takes %d bytes, and %d of indexes", heap/int64(records), index/int64(records))
	for b.Loop() {
		for _, callers := range []int{1, 32} {
			var inEmpty, inFull []time.Duration
			claims(b, empty, callers, 500) // warms both
			claims(b, full, callers, 500)
			for range 40 {
				inEmpty = append(inEmpty, claims(b, empty, callers, 250)...)
				inFull = append(inFull, claims(b, full, callers, 250)...)
			}
			for _, p := range []int{50, 99} {
				e, f := percentile(inEmpty, p), percentile(inFull, p)
				b.Logf("%d callers: p%d of a claim is %v among %d records, and %v among none: %.2f", callers, p, f, records, e, float64(f)/float64(e))
			}
		}
	}
}

// BenchmarkRoomOfACall says how much room a record has once its call has ended: a page takes the claims of no more calls
// than it has room for the ends of.
func BenchmarkRoomOfACall(b *testing.B) {
	server := postgres.New(b, postgres.Options{})
	s := openSchema(b, server.URL("postgres"), "room")
	inFlight(b, 64, func(ctx context.Context, key store.Key) error {
		c := store.Claim{Key: key, Method: "orders.place", CallID: "order-0123456789-0123456789", Lease: time.Minute, Retention: 24 * time.Hour}
		r, _, err := s.Claim(ctx, c)
		if err != nil {
			return err
		}
		return s.Complete(ctx, key, r.Token, reply, c.Retention)
	})
	var heap, index float64
	err := s.pool.QueryRow(b.Context(), `SELECT sum(pg_table_size(oid)), sum(pg_indexes_size(oid))
		FROM pg_class WHERE relnamespace = 'room'::regnamespace AND relname ~ '^records_[0-9]+$' AND relkind = 'r'`).Scan(&heap, &index)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(heap/float64(b.N), "B/record")
	b.ReportMetric(index/float64(b.N), "B/index")
}

func openSchema(tb testing.TB, url, schema string) *Store {
	tb.Helper()
	pool, err := pgxpool.New(tb.Context(), url)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(pool.Close)
	conn, err := pool.Acquire(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	err = Migrate(tb.Context(), conn.Conn(), MigrateOptions{Schema: schema})
	conn.Release()
	if err != nil {
		tb.Fatal(err)
	}
	s, err := Open(tb.Context(), pool, Options{Schema: schema})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = s.Close() })
	return s
}

// fill makes records that have ended, with payloads of 200 bytes, and expire within 24 hours. Pages are filled as the update of
// a call that ends leaves them.
func fill(tb testing.TB, pool *pgxpool.Pool, schema string, from, n int) {
	tb.Helper()
	const sql = `
		SET LOCAL search_path TO %schema%;
		DO $$ BEGIN FOR n IN 1..12 LOOP EXECUTE format('ALTER TABLE records_%s SET (fillfactor = 90)', n); END LOOP; END $$;
		INSERT INTO records (k, token, owner, created, updated, expires, keep, attempts, size, slot, state, first, retained, key,
			fingerprint, method, call_id, digest, payload)
		SELECT ('x' || encode(substr(key, 1, 8), 'hex'))::bit(64)::bigint, n, -1, now(), now(), expires, ends, 1, 200, slot, 3, true, true, key,
			key, 'orders.place', gen_random_uuid()::text, key, decode(repeat('6a', 200), 'hex')
		FROM generate_series(%from%, %to%) AS n, LATERAL (SELECT sha256(n::text::bytea) AS key, now() + (n % 1440) * interval '1 min' AS expires) AS r,
			LATERAL (SELECT slot, ends FROM slots WHERE ends >= expires ORDER BY ends LIMIT 1) AS place;
		DO $$ BEGIN FOR n IN 1..12 LOOP EXECUTE format('ALTER TABLE records_%s SET (fillfactor = 30)', n); END LOOP; END $$;`
	text := sql
	for name, value := range map[string]string{"%schema%": quote(schema), "%from%": strconv.Itoa(from + 1), "%to%": strconv.Itoa(from + n)} {
		text = strings.ReplaceAll(text, name, value)
	}
	if _, err := pool.Exec(tb.Context(), "BEGIN;"+text+"COMMIT;"); err != nil {
		tb.Fatal(err)
	}
}

// claims claims n new calls, some at a time, and returns how long each took.
func claims(tb testing.TB, s *Store, callers, n int) []time.Duration {
	tb.Helper()
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for i := caller; i < n; i += callers {
				c := store.Claim{Method: "orders.place", CallID: rand.Text(), Lease: time.Minute, Retention: 24 * time.Hour}
				_, _ = rand.Read(c.Key[:])
				began := time.Now()
				if _, won, err := s.Claim(context.Background(), c); err != nil || !won {
					tb.Errorf("Claim: %v, %v", won, err)
				}
				took[i] = time.Since(began)
			}
		})
	}
	wg.Wait()
	return took
}

func percentile(d []time.Duration, p int) time.Duration {
	slices.Sort(d)
	return d[len(d)*p/100]
}
