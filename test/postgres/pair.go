package postgres

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"sync"

	"github.com/warren-rpc/warren/test/internal/private"
)

// Pair is a primary and a standby that streams from it. Replication is synchronous: the
// primary confirms a commit when the standby has it too, and lets commits wait while
// there is no standby. All methods are safe for concurrent use; those with a context take
// turns.
type Pair struct {
	turn sync.Mutex

	mu      sync.Mutex
	primary *Server
	standby *Server
}

// StartPair makes a primary with an empty cluster and a standby, and returns when
// the standby streams.
func StartPair(ctx context.Context, options Options) (*Pair, error) {
	// The standby streams under its cluster's name; the copy that it is made from does not count as one.
	config := map[string]string{"synchronous_standby_names": "warren", "cluster_name": "warren"}
	maps.Copy(config, options.Config)
	options.Config = config
	primary, err := Start(ctx, options)
	if err != nil {
		return nil, err
	}
	p := &Pair{primary: primary}
	if p.standby, err = start(ctx, options, primary); err != nil {
		return nil, errors.Join(err, primary.Close())
	}
	if err := p.waitForStandby(ctx); err != nil {
		return nil, errors.Join(err, p.Close())
	}
	return p, nil
}

// Primary is the server that takes writes.
func (p *Pair) Primary() *Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.primary
}

// Standby is the other one.
func (p *Pair) Standby() *Server {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.standby
}

// URL is the address of a database that names both servers and asks for the one that
// takes writes. It stays the same for the life of the pair.
func (p *Pair) URL(database string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	addrs := []string{p.primary.Addr(), p.standby.Addr()}
	// The same order after every fail-over, so that a client passes a server that is not it.
	if addrs[0] > addrs[1] {
		addrs[0], addrs[1] = addrs[1], addrs[0]
	}
	return p.primary.URLAt(strings.Join(addrs, ","), database) + "&target_session_attrs=read-write"
}

// Failover kills the primary, promotes the standby, and makes the killed one a standby
// of the new primary. It can be repeated. When it returns, the pair is complete again.
func (p *Pair) Failover(ctx context.Context) error {
	if err := p.Promote(ctx); err != nil {
		return err
	}
	return p.Rebuild(ctx)
}

// Promote kills the primary and makes the standby primary. Its commits wait until
// Rebuild has made the new standby.
func (p *Pair) Promote(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	old, next := p.Primary(), p.Standby()
	old.Kill()
	if out, err := next.Exec(ctx, "SELECT pg_promote()"); err != nil || out != "t" {
		return fmt.Errorf("postgres: promote: %q: %w", out, err)
	}
	next.Logf("%s is primary now", next.Dir)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.primary, p.standby = next, old
	return nil
}

// Rebuild makes the standby anew, as a copy of the primary, and returns when it streams.
// One that still runs is killed.
func (p *Pair) Rebuild(ctx context.Context) error {
	p.turn.Lock()
	defer p.turn.Unlock()
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	standby := p.Standby()
	standby.Kill()
	if err := os.RemoveAll(standby.Daemon.Data()); err != nil {
		return fmt.Errorf("postgres: rebuild: %w", err)
	}
	if err := standby.copyFrom(ctx, p.Primary()); err != nil {
		return fmt.Errorf("postgres: rebuild: %w", err)
	}
	if err := standby.boot(ctx); err != nil {
		return fmt.Errorf("postgres: rebuild: %w", err)
	}
	return p.waitForStandby(ctx)
}

// Close closes both servers. It is legal more than once.
func (p *Pair) Close() error { return errors.Join(p.Primary().Close(), p.Standby().Close()) }

func (p *Pair) waitForStandby(ctx context.Context) error {
	err := private.Poll(ctx, func() (bool, error) {
		out, err := p.Primary().Exec(ctx, "SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'")
		return out == "1", err
	})
	if err != nil {
		return fmt.Errorf("postgres: the standby does not stream: %w", err)
	}
	return nil
}

// copyFrom makes the server's data a copy of the primary's, to start as its standby. The
// password comes with it.
func (s *Server) copyFrom(ctx context.Context, primary *Server) error {
	s.password = primary.password
	_, err := run(ctx, s.programs.command(s.Dir, "pg_basebackup", "--pgdata", s.Daemon.Data(), "--dbname", primary.URL(""),
		"--write-recovery-conf", "--wal-method", "stream", "--checkpoint", "fast", "--no-sync"))
	return err
}
