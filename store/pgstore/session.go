package pgstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/internal/lifecycle"
)

// newOwner draws the ID of an open store at random, so that two never have the same,
// whatever a database has lost. Without a session it is below 0.
func newOwner(session bool) int64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // it never fails
	id := int64(binary.BigEndian.Uint64(b[:])>>2) + 1
	if !session {
		return -id
	}
	return id
}

// session makes the others know that this store is open, and finds out which of them are
// not any more. It is a connection that holds the advisory lock of the owner's ID for as
// long as it lives: when the process is killed, the system closes the connection and the
// database frees the lock. So an owner is dead whose lock is free, and stays free for
// longer than it takes to connect again.
type session struct {
	owner   int64
	connect func(context.Context) (*pgx.Conn, error)
	owners  string        // the table
	attempt time.Duration // how long connecting again may take
	logger  *slog.Logger

	runner lifecycle.Runner
	conn   *pgx.Conn // nil while it is lost; of the runner's goroutine, after open
	pid    uint32    // of the database's process that holds the lock
	deaths deaths
}

// openedAt is when an owner's session was opened, as attendance has it.
const openedAt = "(extract(epoch FROM o.opened) * 1000000)::bigint"

const (
	// lookEvery is how often a session looks for the others.
	lookEvery = 250 * time.Millisecond
	// lookTimeout is after what time a connection that does not answer is given up.
	lookTimeout = 2 * time.Second
)

// openSession registers the owner.
func openSession(ctx context.Context, pool *pgxpool.Pool, owner int64, schema string, logger *slog.Logger) (*session, error) {
	s := &session{
		owner: owner, connect: connector(pool), owners: quote(schema) + ".owners",
		attempt: time.Duration(hosts(pool.Config().ConnConfig)) * lookTimeout, logger: logger,
		deaths: newDeaths(graceAtFirst),
	}
	if err := s.attach(ctx); err != nil {
		return nil, err
	}
	// The first start of a Runner that nobody else has cannot fail.
	_ = s.runner.Start()
	s.runner.Go(s.run) //nolint:contextcheck // it outlives the opening
	return s, nil
}

// connector connects as the pool does, and outside of it.
func connector(pool *pgxpool.Pool) func(context.Context) (*pgx.Conn, error) {
	return func(ctx context.Context) (*pgx.Conn, error) {
		c := pool.Config() // a copy
		if deadline, ok := ctx.Deadline(); ok {
			shareTime(c.ConnConfig, time.Until(deadline))
		}
		if c.BeforeConnect != nil {
			if err := c.BeforeConnect(ctx, c.ConnConfig); err != nil {
				return nil, err
			}
		}
		conn, err := pgx.ConnectConfig(ctx, c.ConnConfig)
		if err != nil {
			return nil, err
		}
		if c.AfterConnect != nil {
			if err := c.AfterConnect(ctx, conn); err != nil {
				_ = conn.Close(ctx)
				return nil, err
			}
		}
		return conn, nil
	}
}

// hosts is how many addresses the configuration has.
func hosts(c *pgx.ConnConfig) int {
	type address struct {
		host string
		port uint16
	}
	all := map[address]bool{{c.Host, c.Port}: true}
	for _, f := range c.Fallbacks {
		all[address{f.Host, f.Port}] = true
	}
	return len(all)
}

// shareTime lets none of several hosts take more than its part of d, and keeps a part for what comes after. They are
// tried one after the other: one whose machine is gone does not answer, and would take all the time there is.
func shareTime(c *pgx.ConnConfig, d time.Duration) {
	n := hosts(c)
	part := d / time.Duration(n+1)
	if n > 1 && part > 0 && (c.ConnectTimeout <= 0 || c.ConnectTimeout > part) {
		c.ConnectTimeout = part
	}
}

// errPooled says what to do about a pooler.
var errPooled = errors.New("pgstore: the connection is a pooler's, which may give it to others: a store needs one of its own to the database, or the option NoSession")

// attach connects, takes the lock and registers the owner.
func (s *session) attach(ctx context.Context) (err error) {
	conn, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("pgstore: connect: %w", err)
	}
	defer func() {
		if err != nil {
			discard(ctx, conn)
		}
	}()
	var pid uint32
	if err = conn.QueryRow(ctx, "SELECT pg_backend_pid()").Scan(&pid); err != nil {
		return fmt.Errorf("pgstore: ask for the session: %w", err)
	}
	if pid != conn.PgConn().PID() {
		return errPooled
	}
	// A database that hears no more of this machine frees the lock in ten seconds rather
	// than hours. It does not matter to a socket that is no network's.
	const keepalive = "SELECT set_config('tcp_keepalives_idle', '5', false), set_config('tcp_keepalives_interval', '1', false), set_config('tcp_keepalives_count', '5', false)"
	if _, err = conn.Exec(ctx, keepalive); err != nil {
		return fmt.Errorf("pgstore: set up the session: %w", err)
	}
	if err = s.lock(ctx, conn); err != nil {
		return err
	}
	if err = s.register(ctx, conn); err != nil {
		return err
	}
	s.conn, s.pid = conn, pid
	return nil
}

// lock takes the owner's lock. The session before this one may have it for a moment longer,
// and others while they look.
func (s *session) lock(ctx context.Context, conn *pgx.Conn) error {
	for {
		var got bool
		if err := conn.QueryRow(ctx, "SELECT pg_try_advisory_lock($1)", s.owner).Scan(&got); err != nil {
			return fmt.Errorf("pgstore: take the owner's lock: %w", err)
		}
		if got {
			return nil
		}
		if err := pause(ctx, 20*time.Millisecond); err != nil {
			return fmt.Errorf("pgstore: the owner's lock is taken: %w", err)
		}
	}
}

// register says that the owner is there, and since when. It has the lock, so nobody says otherwise.
func (s *session) register(ctx context.Context, conn *pgx.Conn) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	name := fmt.Sprintf("%s[%d]", host, os.Getpid())
	_, err = conn.Exec(ctx, "INSERT INTO "+s.owners+" (id, name, opened) VALUES ($1, $2, clock_timestamp()) ON CONFLICT (id) DO UPDATE SET opened = excluded.opened", s.owner, name)
	if err != nil {
		return fmt.Errorf("pgstore: register the owner: %w", err)
	}
	return nil
}

// run looks for the others, and connects again when the connection is lost.
func (s *session) run(ctx context.Context) {
	defer s.leave(ctx)
	for ctx.Err() == nil {
		err := s.hold(ctx)
		if ctx.Err() != nil {
			return
		}
		s.logger.Warn("the session of the store is lost", "error", err)
		discard(ctx, s.conn)
		s.conn = nil
		s.again(ctx)
	}
}

// hold looks for the others until the connection fails or ctx ends.
func (s *session) hold(ctx context.Context) error {
	for {
		if err := s.look(ctx); err != nil {
			return err
		}
		// A wait for what never comes fails at once when the connection is cut.
		wait, cancel := context.WithTimeout(ctx, lookEvery)
		_, err := s.conn.WaitForNotification(wait)
		cancel()
		if err != nil && !pgconn.Timeout(err) {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// look finds out who is dead, and says so. It is not broken off when the store is closed:
// the connection would be lost.
func (s *session) look(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	// The lock is tried in a transaction of its own, and given back at its end.
	rows, err := s.conn.Query(ctx, `
		SELECT o.id, `+openedAt+`, o.id <> $1 AND pg_try_advisory_xact_lock_shared(o.id), pg_backend_pid(),
			clock_timestamp() - pg_postmaster_start_time() BETWEEN '0' AND $2
		FROM `+s.owners+` o`, s.owner, graceAgain)
	if err != nil {
		return err
	}
	var (
		a             attendance
		free, young   bool
		pid           uint32
		missing       []attendance
		registered    bool
		justRestarted bool
	)
	_, err = pgx.ForEachRow(rows, []any{&a.owner, &a.opened, &free, &pid, &young}, func() error {
		if pid != s.pid {
			return errPooled
		}
		registered = registered || a.owner == s.owner
		justRestarted = justRestarted || young
		if free {
			missing = append(missing, a)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if !registered {
		if err := s.register(ctx, s.conn); err != nil {
			return err
		}
	}
	if justRestarted {
		missing = nil
	}
	dead := s.deaths.after(time.Now(), missing)
	if len(dead) == 0 {
		return nil
	}
	owners, opened := make([]int64, len(dead)), make([]int64, len(dead))
	for i, a := range dead {
		owners[i], opened[i] = a.owner, a.opened
	}
	rows, err = s.conn.Query(ctx, `
		DELETE FROM `+s.owners+` o USING unnest($1::bigint[], $2::bigint[]) AS d(id, opened)
		WHERE o.id = d.id AND `+openedAt+` = d.opened AND pg_try_advisory_xact_lock_shared(o.id)
		RETURNING o.name`, owners, opened)
	if err != nil {
		return err
	}
	var name string
	_, err = pgx.ForEachRow(rows, []any{&name}, func() error {
		s.logger.Info("a store has ended without closing", "process", name)
		return nil
	})
	return err
}

// again connects again, as fast as it can: the others wait for a moment only.
func (s *session) again(ctx context.Context) {
	const most = 250 * time.Millisecond
	for wait := 10 * time.Millisecond; ; wait = min(2*wait, most) {
		attempt, cancel := context.WithTimeout(ctx, s.attempt)
		err := s.attach(attempt)
		cancel()
		if err == nil {
			s.deaths = newDeaths(graceAgain)
			s.logger.Info("the store has a session again")
			return
		}
		if pause(ctx, wait) != nil {
			return
		}
	}
}

// leave says that the owner is not there any more.
func (s *session) leave(ctx context.Context) {
	if s.conn == nil {
		return // the others find the lock free
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	if _, err := s.conn.Exec(ctx, "DELETE FROM "+s.owners+" WHERE id = $1", s.owner); err != nil {
		s.logger.Warn("the store is closed, and the others find out for themselves", "error", err)
	}
	discard(ctx, s.conn)
}

// close ends the session, and with it what the owner has in progress.
func (s *session) close() { _ = s.runner.Stop(context.Background()) }

// discard closes a connection that may not answer.
func discard(ctx context.Context, conn *pgx.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	_ = conn.Close(ctx)
}

// pause waits for d, or returns ctx's error.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
