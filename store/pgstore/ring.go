package pgstore

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/store"
)

// ring forgets records. They lie in slots by when they expire: one that has ended holds
// nothing that is remembered, is emptied at once, and is given the end after those of all
// others. Slot 0 has no end, and is swept row by row, as are slots whose end is further away
// than a turn of the ring: they got it while the database's clock was wrong.
//
// Nothing depends on when it is done. What has expired counts as absent before it is
// swept; and if no slot has an end that is late enough, records go to slot 0. Any number of
// processes may sweep at once.
type ring struct {
	pool   *pgxpool.Pool
	schema string            // quoted
	now    func() *time.Time // nil: the database's clock
}

const (
	// turnTries is how often it is tried to empty a slot, and firstWait for how long
	// at first; twice as long each time. All others wait behind the one who waits.
	turnTries = 3
	firstWait = 50 * time.Millisecond
	// batch is how many rows are deleted in a transaction.
	batch = 1000
	// countable is how large a slot may be, in bytes, to have its rows counted before it
	// is emptied.
	countable = 64 << 20
)

// sweep forgets what may be forgotten, and returns how many records that were. Those of a
// large slot are not counted: then it is about as many as the database's statistics say.
func (r *ring) sweep(ctx context.Context) (int, error) {
	ended, endless, err := r.due(ctx)
	if err != nil {
		return 0, err
	}
	total := 0
	for _, slot := range ended {
		n, err := r.turn(ctx, slot)
		total += n
		if err != nil {
			return total, err
		}
	}
	for _, slot := range endless {
		n, err := r.repeat(ctx, r.deleteRecords(slot))
		total += n
		if err != nil {
			return total, err
		}
	}
	n, err := r.repeat(ctx, r.deleteTombstones())
	return total + n, err
}

// due returns which slots have ended, and which are to be swept row by row.
func (r *ring) due(ctx context.Context) (ended, endless []int, err error) {
	rows, err := r.pool.Query(ctx, `
		SELECT slot, ends <= now, ends > now + (SELECT 13 * period FROM `+r.schema+`.meta)
		FROM `+r.schema+`.slots, coalesce($1, clock_timestamp()) AS now ORDER BY ends`, r.now())
	if err != nil {
		return nil, nil, fmt.Errorf("look for what may be forgotten: %w", err)
	}
	var (
		slot      int
		over, far bool
	)
	_, err = pgx.ForEachRow(rows, []any{&slot, &over, &far}, func() error {
		switch {
		case over:
			ended = append(ended, slot)
		case far:
			endless = append(endless, slot)
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("look for what may be forgotten: %w", err)
	}
	return ended, endless, nil
}

// turn empties a slot, and returns how many records it had. If others do not let it go
// for long, the slot stays as it is until the next sweep.
func (r *ring) turn(ctx context.Context, slot int) (n int, err error) {
	wait := firstWait
	for try := range turnTries {
		if try > 0 {
			if err := pause(ctx, wait+rand.N(wait)); err != nil {
				return 0, err
			}
			wait *= 2
		}
		err = r.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
			defer rollback(ctx, conn.Conn())
			n, err = r.empty(ctx, conn.Conn(), slot, wait)
			return err
		})
		switch {
		case err == nil:
			return n, nil
		case !busy(err):
			return 0, fmt.Errorf("empty slot %d: %w", slot, err)
		}
	}
	return 0, nil
}

// busy reports whether others were in the way.
func busy(err error) bool {
	var e *pgconn.PgError
	if !errors.As(err, &e) {
		return false
	}
	return e.Code == lockNotAvailable ||
		e.Code == deadlock ||
		e.Code == serializationFailure // the row has moved meanwhile
}

// empty empties a slot that has ended, and gives it the end after those of the others.
//
// What a transaction puts there that does not know yet that this was done is over as
// well: it has looked for an end that was to come, which has passed since.
//
// All others wait for the slot from the moment it is emptied to the commit: both are one message, so that no sweeper can
// hang between them.
func (r *ring) empty(ctx context.Context, conn *pgx.Conn, slot int, wait time.Duration) (n int, err error) {
	var begin pgx.Batch
	begin.BeginTx(pgx.TxOptions{IsoLevel: pgx.ReadCommitted})
	begin.Queue("SELECT set_config('lock_timeout', $1, true), "+notIdle, fmt.Sprint(wait.Milliseconds()))
	// Slot 0 is what those who turn the ring lock, so that they do so one after the other.
	begin.Queue("SELECT FROM " + r.schema + ".slots WHERE slot = 0 FOR UPDATE")
	if err = conn.SendBatch(ctx, &begin).Close(); err != nil {
		return 0, err
	}
	table := fmt.Sprintf("%s.records_%d", r.schema, slot)
	var (
		over bool
		size int64
		rows float64
	)
	err = conn.QueryRow(ctx, `
		SELECT ends <= coalesce($1, clock_timestamp()), pg_relation_size(oid), greatest(reltuples, 0)
		FROM `+r.schema+`.slots, pg_class WHERE slot = $2 AND oid = to_regclass($3)`,
		r.now(), slot, table).Scan(&over, &size, &rows)
	if err != nil || !over {
		return 0, err
	}
	n = int(rows)
	if size <= countable {
		if err = conn.QueryRow(ctx, "SELECT count(*) FROM "+table).Scan(&n); err != nil {
			return 0, err
		}
	}
	var change pgx.Batch
	if size > 0 {
		change.Queue("TRUNCATE " + table)
	}
	change.Queue(`
		UPDATE `+r.schema+`.slots SET ends = (
			SELECT min(next) FROM (
				SELECT to_timestamp((floor(extract(epoch FROM now) / p) + n) * p)
				FROM coalesce($1, clock_timestamp()) AS now,
					(SELECT extract(epoch FROM period) FROM `+r.schema+`.meta) AS of (p),
					generate_series(1, 13) AS n
			) AS ends (next)
			WHERE next NOT IN (SELECT ends FROM `+r.schema+`.slots))
		WHERE slot = $2`, r.now(), slot)
	change.Queue("commit")
	return n, conn.SendBatch(ctx, &change).Close()
}

// repeat deletes batches with the statement until there is nothing left to delete.
func (r *ring) repeat(ctx context.Context, sql string) (total int, err error) {
	for {
		tag, err := r.pool.Exec(ctx, sql, r.now(), batch)
		switch {
		case busy(err):
			// The next sweep goes on.
			return total, nil
		case err != nil:
			return total, fmt.Errorf("forget records: %w", err)
		}
		total += int(tag.RowsAffected())
		if tag.RowsAffected() < batch {
			return total, nil
		}
	}
}

// deleteRecords deletes records of the slot that may be forgotten. What others have locked
// is about to change, and is left.
func (r *ring) deleteRecords(slot int) string {
	return fmt.Sprintf(`
		DELETE FROM %[1]s.records WHERE slot = %[2]d AND ctid = ANY (ARRAY(
			SELECT ctid FROM %[1]s.records r WHERE slot = %[2]d AND %[3]s
			LIMIT $2 FOR UPDATE SKIP LOCKED))`, r.schema, slot, over(r.schema))
}

func (r *ring) deleteTombstones() string {
	return fmt.Sprintf(`
		DELETE FROM %[1]s.tombstones WHERE key = ANY (ARRAY(
			SELECT key FROM %[1]s.tombstones WHERE expires <= coalesce($1, clock_timestamp())
			LIMIT $2 FOR UPDATE SKIP LOCKED))`, r.schema)
}

// over is the condition that record r may be forgotten at the time $1, as row.over has it.
func over(schema string) string {
	return fmt.Sprintf("r.expires <= coalesce($1, clock_timestamp()) AND (r.state <> %d OR %s)", store.InProgress, dead(schema))
}

// dead is the condition that the owner of record r, which is in progress, is dead at the
// time $1.
func dead(schema string) string {
	return "(r.lease <= coalesce($1, clock_timestamp()) OR r.owner > 0 AND NOT EXISTS (SELECT FROM " + schema + ".owners o WHERE o.id = r.owner))"
}
