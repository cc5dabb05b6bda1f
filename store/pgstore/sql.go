package pgstore

import (
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// queries are the statements, for one schema and one length of its buckets.
type queries struct {
	lock, claim            string            // of many at a time
	ends                   [slots + 1]string // the same, by slot
	now, find, findLocked  string
	insert, update, forget string
	tombstone, bury        string
	owned, complete        string
	changed                string
	page, tombstones       string
}

// Tables grow from nothing to a hundred million records, and a plan that was made for a small one is kept: so none may be
// made that reads a table from end to end. A commit must be on the disk, whatever the session's default.
//
// A server that hangs, or is gone, in the middle of a transaction of the store's own must not keep its locks for long. And
// who writes for many does not wait long for a lock that one of them needs: that one then waits alone.
const (
	// settings is the first statement of a transaction of the store's own.
	settings = `SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true),
		set_config('plan_cache_mode', 'force_generic_plan', true), ` + notIdle + `, ` + durable + `, true)`
	// notIdle ends a transaction that is left alone for 5 s.
	notIdle = `set_config('idle_in_transaction_session_timeout', '5000', true)`
	// impatient is for a transaction of many requests.
	impatient = `SELECT set_config('lock_timeout', '1000', true)`
	// sessionSettings are those of a connection of the store's own.
	sessionSettings = `SELECT set_config('enable_seqscan', 'off', false), set_config('jit', 'off', false),
		set_config('plan_cache_mode', 'force_generic_plan', false),
		set_config('default_transaction_isolation', 'read committed', false), set_config('lock_timeout', '1000', false), ` + durable + `, false)`
	durable = `set_config('synchronous_commit', CASE current_setting('synchronous_commit')
		WHEN 'off' THEN 'on' ELSE current_setting('synchronous_commit') END`
)

// A transaction that has looked at the records has locks on all partitions until it ends, and none of them can be emptied. So
// that of a handler is begun again after the look, with the settings that the application expects. takeBack prepares it for
// the record's end, with the limits that it had before the handler, and fails if it is another transaction.
const (
	lookIsOver = "rollback and chain"
	lend       = `SELECT set_config('warren.transaction', 'lent', true), set_config('idle_in_transaction_session_timeout', $1::bigint::text, true),
		set_config('warren.statement_timeout', current_setting('statement_timeout'), true),
		set_config('warren.lock_timeout', current_setting('lock_timeout'), true)`
	takeBack = `SELECT 1 / (current_setting('warren.transaction', true) = 'lent')::int,
		set_config('statement_timeout', current_setting('warren.statement_timeout'), true),
		set_config('lock_timeout', current_setting('warren.lock_timeout'), true)`
)

// columns are those of a record, in the order in which scan reads them.
const columns = `r.key, r.method, r.call_id, r.state, r.fingerprint, r.token, r.attempts, r.first, r.owner, r.lease,
	r.created, r.updated, r.expires, r.size, r.digest, r.retained, r.payload,
	r.owner < 0 OR EXISTS (SELECT 1 FROM {schema}.owners o WHERE o.id = r.owner)`

// clock is the time, once for a statement, if the schema holds the store still that it held when it was opened: if it was
// dropped and made again, there is no time, and nothing is done.
const clock = `t AS MATERIALIZED (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now FROM {schema}.meta m WHERE m.one AND m.id = $2)`

// place finds where a record goes that must be kept until u.until. Some room is left above that, so that what is extended
// a little later can stay where it is.
const place = `LATERAL (SELECT s.slot, s.ends FROM {schema}.slots s WHERE s.ends >= u.until + interval '{slack}'
	ORDER BY s.ends LIMIT 1) AS place`

// slack is the room that is left, as a part of what a slot holds.
const slack = 1.0 / 12

func newQueries(schema string, period time.Duration) queries {
	names := strings.NewReplacer("{place}", place, "{columns}", columns, "{t}", clock)
	room := time.Duration(slack * float64(period)).Microseconds()
	values := strings.NewReplacer("{schema}", quote(schema), "{slack}", strconv.FormatInt(room, 10)+" us")
	sql := func(s string) string { return values.Replace(names.Replace(s)) }
	q := queries{
		// All locks are taken in one order, by the caller's, so that no two transactions wait for each other. A statement
		// does not see what was committed while it waited: the next one looks.
		lock: `SELECT pg_advisory_xact_lock($1, k) FROM unnest($2::int[]) AS k`,

		// Begins those calls that have neither a record nor a tombstone, while the owner is not taken for dead: what it
		// claimed then would be another's at once.
		claim: sql(`WITH {t}
			INSERT INTO {schema}.records (k, token, owner, lease, created, updated, expires, keep, attempts, slot, state, first,
				key, fingerprint, method, call_id)
			SELECT c.k, (nextval('{schema}.tokens') << 20) | (place.slot::bigint << 16), $3, u.lease, t.now, t.now, u.expires, place.ends, 1, place.slot, 1, true,
				c.key, c.fingerprint, c.method, c.call_id
			FROM t, unnest($4::bigint[], $5::bytea[], $6::bytea[], $7::bytea[], $8::text[], $9::text[], $10::bigint[], $11::bigint[])
					AS c(k, key, tombstone, fingerprint, method, call_id, lease, retention),
				LATERAL (SELECT t.now + c.lease * interval '1 us' AS lease, t.now + c.retention * interval '1 us' AS expires,
					t.now + greatest(c.lease, c.retention) * interval '1 us' AS until) AS u,
				{place}
			WHERE (SELECT 1 FROM {schema}.records r WHERE r.k = c.k AND r.key = c.key LIMIT 1) IS NULL
				AND (SELECT 1 FROM {schema}.tombstones x WHERE x.key = c.tombstone LIMIT 1) IS NULL
				AND ($3::bigint < 0 OR (SELECT 1 FROM {schema}.owners o WHERE o.id = $3 LIMIT 1) IS NOT NULL)
			RETURNING key, token, lease, created, expires`),

		now:        sql(`WITH {t} SELECT now, $3::bigint < 0 OR EXISTS (SELECT 1 FROM {schema}.owners o WHERE o.id = $3) FROM t`),
		find:       sql(`SELECT {columns} FROM {schema}.records r WHERE r.k = $1 AND r.key = $2`),
		findLocked: sql(`SELECT {columns} FROM {schema}.records r WHERE r.k = $1 AND r.key = $2 FOR UPDATE OF r`),

		insert: sql(`INSERT INTO {schema}.records (k, token, owner, lease, created, updated, expires, keep, attempts, slot, state, first,
				key, fingerprint, method, call_id)
			SELECT $1, (nextval('{schema}.tokens') << 20) | (place.slot::bigint << 16), $2, $3, $4, $4, $5, place.ends, 1, place.slot, 1, true, $6, $7, $8, $9
			FROM (SELECT greatest($3::timestamptz, $5::timestamptz) AS until) AS u, {place}
			RETURNING token`),
		update: sql(`UPDATE {schema}.records r SET token = $3, owner = $4, lease = $5, updated = $6, expires = $7, attempts = $8, size = $9,
				state = $10, first = $11, retained = $12, fingerprint = $13, digest = $14, payload = $15,
				slot = CASE WHEN u.until <= r.keep THEN r.slot ELSE place.slot END,
				keep = CASE WHEN u.until <= r.keep THEN r.keep ELSE place.ends END
			FROM (SELECT greatest($5::timestamptz, $7::timestamptz) AS until) AS u, {place}
			WHERE r.k = $1 AND r.key = $2`),
		forget: sql(`DELETE FROM {schema}.records r WHERE r.k = $1 AND r.key = $2`),

		tombstone: sql(`SELECT x.fingerprint, x.method, x.call_id, x.created, x.expires FROM {schema}.tombstones x WHERE x.key = $1`),
		bury: sql(`INSERT INTO {schema}.tombstones (key, fingerprint, method, call_id, created, expires)
			SELECT $1, $2, $3, $4, $5, $6 WHERE (SELECT count(*) FROM (SELECT 1 FROM {schema}.tombstones LIMIT $7::bigint) AS there) < $7::bigint
			ON CONFLICT (key) DO UPDATE SET fingerprint = excluded.fingerprint, method = excluded.method, call_id = excluded.call_id,
				created = excluded.created, expires = excluded.expires`),

		owned: sql(`WITH {t} SELECT EXISTS (SELECT 1 FROM {schema}.records r WHERE r.k = $3 AND r.key = $4 AND r.token = $5 AND r.state = 1
			AND (r.expires > t.now OR r.lease > t.now)) FROM t`),
		// Fails if there is no such record in progress, so that the commit that follows it is not made.
		complete: sql(`WITH {t},
			done AS (
				UPDATE {schema}.records r SET state = $6, updated = t.now, lease = NULL, expires = u.until, size = $8, digest = $9,
					retained = $10, payload = $11,
					slot = CASE WHEN u.until <= r.keep THEN r.slot ELSE place.slot END,
					keep = CASE WHEN u.until <= r.keep THEN r.keep ELSE place.ends END
				FROM t, LATERAL (SELECT t.now + $7::bigint * interval '1 us' AS until) AS u, {place}
				WHERE r.k = $3 AND r.key = $4 AND r.token = $5 AND r.state = 1 AND (r.expires > t.now OR r.lease > t.now)
				RETURNING 1)
			SELECT 1 / count(*) FROM done`),

		changed: sql(`SELECT c.n FROM (SELECT coalesce($1::timestamptz, clock_timestamp()) AS now) AS t,
				unnest($2::bigint[], $3::bytea[], $4::bigint[]) WITH ORDINALITY AS c(k, key, token, n)
			WHERE (SELECT 1 FROM {schema}.records r WHERE r.k = c.k AND r.key = c.key AND r.token = c.token AND r.state = 1
				AND r.lease > t.now AND (r.owner < 0 OR (SELECT 1 FROM {schema}.owners o WHERE o.id = r.owner LIMIT 1) IS NOT NULL)
				LIMIT 1) IS NULL`),

		page: sql(`SELECT {columns} FROM {schema}.records r WHERE r.slot = $2 AND (r.k, r.key) > ($3, $4) AND NOT (` + over(quote(schema)) + `)
			ORDER BY r.k, r.key LIMIT $5`),
		tombstones: sql(`SELECT x.key, x.fingerprint, x.method, x.call_id, x.created, x.expires FROM {schema}.tombstones x
			WHERE x.key > $2 AND x.expires > coalesce($1, clock_timestamp()) ORDER BY x.key LIMIT $3`),
	}
	for slot := range q.ends {
		q.ends[slot] = strings.ReplaceAll(sql(endSQL), "{slot}", strconv.Itoa(slot))
	}
	return q
}

// endSQL ends, renews or gives up records of one slot that need not move. They are found one by one, and then by their
// place, because a join could be planned from the records' side.
const endSQL = `WITH {t}
	UPDATE {schema}.records_{slot} w SET state = e.state, updated = t.now,
		lease = CASE WHEN e.lease > 0 THEN t.now + e.lease * interval '1 us' END,
		expires = CASE WHEN e.retention > 0 THEN t.now + e.retention * interval '1 us' ELSE w.expires END,
		attempts = w.attempts - e.less, size = e.size, digest = e.digest, retained = e.retained, payload = e.payload
	FROM t, unnest($3::bigint[], $4::bytea[], $5::bigint[], $6::smallint[], $7::bigint[], $8::bigint[], $9::int[], $10::boolean[],
			$11::int[], $12::bytea[], $13::boolean[], $14::bytea[]) WITH ORDINALITY
			AS e(k, key, token, state, lease, retention, less, undone, size, digest, retained, payload, n),
		LATERAL (SELECT r.ctid FROM {schema}.records_{slot} r
			WHERE r.k = e.k AND r.key = e.key AND r.token = e.token AND r.state = 1 AND (r.expires > t.now OR r.lease > t.now)
				AND r.keep >= t.now + greatest(e.lease, e.retention) * interval '1 us' AND NOT (e.undone AND r.first)
			LIMIT 1) AS found
	WHERE w.ctid = found.ctid AND w.token = e.token AND w.state = 1
	RETURNING e.n`

// slotOf returns the slot in which the record of a token was made, and most probably is; -1 if no token is like that.
func slotOf(token uint64) int {
	if slot := int(token >> 16 & 15); slot <= slots {
		return slot
	}
	return -1
}

// scan reads the columns of a record. What was read before is overwritten.
func (r *row) scan(from pgx.Row) error {
	var key, fingerprint, digest []byte
	var lease *time.Time
	var token int64
	err := from.Scan(&key, &r.Method, &r.CallID, &r.State, &fingerprint, &token, &r.Attempts, &r.First, &r.owner, &lease,
		&r.Created, &r.Updated, &r.Expires, &r.Size, &digest, &r.Retained, &r.Payload, &r.alive)
	if err != nil {
		return err
	}
	copy(r.Key[:], key)
	copy(r.Fingerprint[:], fingerprint)
	copy(r.Digest[:], digest)
	r.Token = uint64(token)
	r.Owner = ownerName(r.owner)
	if lease != nil {
		r.Lease = *lease
	}
	return nil
}

// ownerName is who a claim belongs to, in Record.Owner.
func ownerName(id int64) string { return "postgres-" + strconv.FormatInt(id, 36) }
