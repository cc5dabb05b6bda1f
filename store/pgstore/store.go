package pgstore

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"net/url"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/store"
)

// Store is a [store.Store] in PostgreSQL, and a [store.Transactional] of [pgx.Tx]. Its methods may be called
// concurrently.
type Store struct {
	options  Options
	pool     *pgxpool.Pool // of the application's transactions
	own      *pgxpool.Pool // of the store's, which are short, and must not wait for the application's
	ownsPool bool
	queries  queries
	identity store.Identity
	owner    int64
	class    int32 // of the advisory locks of keys

	writes  line[*request]
	writers [writers]writer
	waiters waiters
	ring    ring
	session *session // nil with Options.NoSession
	sweeper lifecycle.Runner

	mu     sync.Mutex
	closed bool           // guarded by mu
	calls  sync.WaitGroup // methods under way; they are added while mu is held and the store open
	ending chan struct{}  // closed when Close begins
	ended  chan struct{}  // closed when Close is through
}

var _ store.Transactional[pgx.Tx] = (*Store)(nil)

// Open returns a store on the tables of a schema, which [Migrate] has made. The pool is the application's: Close does
// not close it. A store takes one connection of it for each transaction of Transact that is under way, and has up to seven
// of its own, which are made as the pool's are. If the pool has several hosts, its ConnectTimeout must be a few seconds:
// they are tried one after the other, and one whose machine is gone does not answer.
//
// A schema of a later version is a [*store.VersionError].
func Open(ctx context.Context, pool *pgxpool.Pool, o Options) (*Store, error) {
	return open(ctx, pool, false, o)
}

// OpenURL is [Open] with a pool of the store's own. The URL is one of pgxpool.ParseConfig, with one parameter more:
// schema is Options.Schema, if that is empty. Each of several hosts has a part of Options.Timeout to answer.
func OpenURL(ctx context.Context, address string, o Options) (*Store, error) {
	config, schema, err := parseURL(address)
	if err != nil {
		return nil, err
	}
	if o.Schema == "" {
		o.Schema = schema
	}
	shareTime(config.ConnConfig, o.complete().Timeout)
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pgstore: %w", err)
	}
	s, err := open(ctx, pool, true, o)
	if err != nil {
		pool.Close()
		return nil, err
	}
	return s, nil
}

// parseURL returns the pool's configuration and the schema that the URL names, or "". Its errors show no password.
func parseURL(address string) (*pgxpool.Config, string, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "postgres" && u.Scheme != "postgresql" {
		return nil, "", errors.New("pgstore: not a URL such as postgres://user@host:5432/database?schema=warren")
	}
	parameters := u.Query()
	schema := parameters.Get("schema")
	parameters.Del("schema")
	u.RawQuery = parameters.Encode()
	config, err := pgxpool.ParseConfig(u.String())
	if err != nil {
		return nil, "", fmt.Errorf("pgstore: the URL: %w", err)
	}
	return config, schema, nil
}

// ownConns is how many connections Store.own has at most. They are made when they are needed, and closed after a minute in
// which they are not.
const ownConns = 4

func open(ctx context.Context, pool *pgxpool.Pool, ownsPool bool, o Options) (*Store, error) {
	if t := o.TxOptions; t.AccessMode == pgx.ReadOnly || t.BeginQuery != "" || t.CommitQuery != "" {
		return nil, errors.New("pgstore: TxOptions must not be read-only, nor have statements of their own that begin or commit")
	}
	o = o.complete()
	config := pool.Config()
	shareTime(config.ConnConfig, o.Timeout)
	config.MaxConns, config.MinConns, config.MinIdleConns, config.MaxConnIdleTime = ownConns, 0, 0, time.Minute
	own, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("pgstore: %w", err)
	}
	s := &Store{
		options: o, pool: pool, own: own, ownsPool: ownsPool, ending: make(chan struct{}), ended: make(chan struct{}),
	}
	ctx, cancel := context.WithTimeout(ctx, s.options.Timeout)
	defer cancel()
	if err := s.meet(ctx); err != nil {
		own.Close()
		return nil, err
	}
	var work []func([]*request)
	for i := range s.writers {
		s.writers[i] = writer{store: s, connect: connector(pool)}
		work = append(work, s.writers[i].write)
	}
	s.writes.most, s.writes.heaviest, s.writes.weigh = most, heaviest, (*request).weigh
	s.writes.start(work...)
	// The first start of a Runner that nobody else has cannot fail.
	_ = s.sweeper.Start()
	if s.options.SweepEvery > 0 {
		s.sweeper.Go(s.sweepByItself) //nolint:contextcheck // it outlives the opening
	}
	return s, nil
}

// meet learns which store this is, and registers among its owners.
func (s *Store) meet(ctx context.Context) error {
	m, err := readMeta(ctx, s.pool, s.options.Schema)
	var unfit *SchemaError
	var later *store.VersionError
	switch {
	case errors.As(err, &unfit) || errors.As(err, &later):
		return err
	case err != nil:
		return s.translate("open", err)
	}
	s.identity = store.Identity{ID: m.id, Created: m.created, Place: address(s.pool.Config().ConnConfig, s.options.Schema)}
	s.queries = newQueries(s.options.Schema, m.period)
	s.class = int32(crc32.ChecksumIEEE([]byte(s.identity.ID)))
	s.ring = ring{pool: s.pool, schema: quote(s.options.Schema), now: s.options.now}
	s.owner = newOwner(!s.options.NoSession)
	if s.options.NoSession {
		return nil
	}
	s.session, err = openSession(ctx, s.pool, s.owner, s.options.Schema, s.options.Logger.With("owner", s.Owner()))
	if err != nil {
		return s.translate("open", err)
	}
	return nil
}

// address is where the data are, for people; without a password.
func address(c *pgx.ConnConfig, schema string) string {
	return fmt.Sprintf("postgres://%s:%d/%s?schema=%s", c.Host, c.Port, url.PathEscape(c.Database), url.QueryEscape(schema))
}

// enter begins a method, which must call s.calls.Done at its end.
func (s *Store) enter(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return store.ErrClosed
	}
	s.calls.Add(1)
	return nil
}

// Owner implements [store.Store].
func (s *Store) Owner() string { return ownerName(s.owner) }

// Identity implements [store.Store]: that of the schema.
func (s *Store) Identity() store.Identity { return s.identity }

// Traits implements [store.Store].
func (s *Store) Traits() store.Traits { return store.Traits{Durable: true, Shared: true} }

// Close implements [store.Store]. It waits for what is under way, the functions of Transact too. It always returns nil,
// and may be called again.
func (s *Store) Close() error {
	s.mu.Lock()
	first := !s.closed
	s.closed = true
	s.mu.Unlock()
	if !first {
		<-s.ended
		return nil
	}
	defer close(s.ended)
	close(s.ending)
	s.calls.Wait()
	s.waiters.poller.Wait()
	for i := range s.writers {
		s.writers[i].close(context.Background())
	}
	_ = s.sweeper.Stop(context.Background())
	if s.session != nil {
		s.session.close()
	}
	s.own.Close()
	if s.ownsPool {
		s.pool.Close()
	}
	return nil
}
