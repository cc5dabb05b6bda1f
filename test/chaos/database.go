package chaos

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
	"github.com/warren-rpc/warren/test/chaos/netns"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/postgres"
)

// database is the PostgreSQL that the servers of a run share.
type database struct {
	turn    sync.Mutex // held by who does something to it
	one     *postgres.Server
	pair    *postgres.Pair // instead of one, if it fails over
	proxies []*proxy.Proxy // the servers' ways to it
}

// databaseConfig is PostgreSQL's for a run. Transfers lock accounts in any order, and a
// deadlock need not take a second; nor need a standby five of them to look for a primary that
// was started again.
func databaseConfig() postgres.Options {
	return postgres.Options{Config: map[string]string{
		"max_connections": "200", "deadlock_timeout": "100ms", "wal_retrieve_retry_interval": "200ms",
	}}
}

// startDatabase starts PostgreSQL, and a standby if it is to fail over.
func (r *run) startDatabase(ctx context.Context, failsOver bool) (err error) {
	db := &database{}
	r.database = db
	if failsOver {
		db.pair, err = postgres.StartPair(ctx, databaseConfig())
	} else {
		db.one, err = postgres.Start(ctx, databaseConfig())
	}
	return err
}

// primary is the server that takes writes.
func (db *database) primary() *postgres.Server {
	if db.pair != nil {
		return db.pair.Primary()
	}
	return db.one
}

// servers are all there are. One that has been made primary stays where it is.
func (db *database) servers() []*postgres.Server {
	if db.pair == nil {
		return []*postgres.Server{db.one}
	}
	return []*postgres.Server{db.pair.Primary(), db.pair.Standby()}
}

// open makes the proxies, on the far side of the wire if there is one.
func (db *database) open(r *run, wire *netns.Pair) error {
	for n, s := range db.servers() {
		p, err := r.openProxy(s.Addr(), wire, uint64(100+n))
		if err != nil {
			return err
		}
		db.proxies = append(db.proxies, p)
	}
	return nil
}

// way is the proxy in front of the primary.
func (db *database) way() *proxy.Proxy {
	for _, p := range db.proxies {
		if p.Target() == db.primary().Addr() {
			return p
		}
	}
	return db.proxies[0]
}

// url is the address of a store's schema, as the servers reach it, or directly. The
// state that calls change is in the same schema.
func (db *database) url(schema string, direct bool) string {
	addrs := make([]string, 0, len(db.proxies))
	parameters := url.Values{"schema": {schema}, "search_path": {schema}, "connect_timeout": {"2"}}
	if db.pair != nil {
		parameters.Set("target_session_attrs", "read-write")
	}
	if direct {
		for _, s := range db.servers() {
			addrs = append(addrs, s.Addr())
		}
	} else {
		parameters.Set("pool_max_conns", "8")
		for _, p := range db.proxies {
			addrs = append(addrs, p.Addr())
		}
	}
	return db.primary().URLAt(strings.Join(addrs, ","), "") + "&" + parameters.Encode()
}

func (db *database) close() (err error) {
	for _, p := range db.proxies {
		err = errors.Join(err, p.Close())
	}
	if db.pair != nil {
		return errors.Join(err, db.pair.Close())
	}
	if db.one != nil {
		err = errors.Join(err, db.one.Close())
	}
	return err
}

// restartWithin bounds a start after a kill, of PostgreSQL or of a server that needs it, and
// a fail-over.
const restartWithin = 2 * time.Minute

// killDatabase kills PostgreSQL, the primary of two, and starts it again.
func (r *run) killDatabase(ctx context.Context, rng chance) error {
	db := r.database
	return with(&db.turn, func() error {
		f := history.Fault{Name: "kill-postgres", Target: storeSide}
		s := db.primary()
		return r.lasting(ctx, f, upTo(rng, 2*time.Second), func() error {
			s.Kill()
			return nil
		}, func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartWithin)
			defer cancel()
			if err := s.Restart(ctx); err != nil {
				return err
			}
			return db.replicated(ctx)
		})
	})
}

// replicated returns when the standby, if there is one, has all that the primary has
// committed. What the primary had on its disk when it was killed, and the standby did not
// have, was confirmed to nobody; now it can be read, and must not get lost by a fail-over.
func (db *database) replicated(ctx context.Context) error {
	if db.pair == nil {
		return nil
	}
	// The commit of a record in the log waits for the standby.
	_, err := db.primary().Exec(ctx, "SELECT pg_logical_emit_message(true, 'chaos', 'replicated')")
	return err
}

// failOver kills the primary, and promotes its standby. The killed one becomes the new
// primary's standby; until then commits wait.
func (r *run) failOver(ctx context.Context, _ chance) error {
	db := r.database
	return with(&db.turn, func() error {
		f := history.Fault{Name: "postgres-failover", Target: storeSide}
		return r.lasting(ctx, f, 0, func() error {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restartWithin)
			defer cancel()
			if err := db.pair.Failover(ctx); err != nil {
				return fmt.Errorf("fail over: %w", err)
			}
			return nil
		}, func() error { return nil })
	})
}
