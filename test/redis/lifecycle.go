package redis

import (
	"context"
	"fmt"
	"net"
	"strings"
	"syscall"

	"github.com/warren-rpc/warren/test/internal/private"
)

// Stop ends the server as an administrator would (SHUTDOWN). All stays for Restart. A
// frozen server is thawed first; one that is down stays so, without an error.
func (s *Server) Stop(ctx context.Context) error {
	if err := s.daemon.Stop(ctx, syscall.SIGTERM); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	s.logf("redis: %s stopped", s.dir)
	return nil
}

// Kill ends all processes of the server with SIGKILL, whatever they are doing, and
// returns when they are gone. It does nothing if the server is down.
func (s *Server) Kill() {
	s.daemon.Kill()
	s.logf("redis: %s killed", s.dir)
}

// Restart starts the server again on the same port and the same data, and returns when
// it answers. One that still runs is stopped first. A replica is one again, and one that
// was promoted is not.
func (s *Server) Restart(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		return err
	}
	if err := s.boot(ctx); err != nil {
		return fmt.Errorf("redis: restart: %w", err)
	}
	return nil
}

// Freeze stops all processes of the server with SIGSTOP, so that its connections stay open
// and say nothing. It fails if the server is down.
func (s *Server) Freeze() error {
	if err := s.daemon.Freeze(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Thaw lets a frozen server go on. It fails if the server is down and does nothing if it
// is not frozen.
func (s *Server) Thaw() error {
	if err := s.daemon.Thaw(); err != nil {
		return fmt.Errorf("redis: %w", err)
	}
	return nil
}

// Promote makes a replica a primary. What its old primary had answered and not sent yet
// is lost.
func (s *Server) Promote(ctx context.Context) error {
	_, err := s.Do(ctx, "REPLICAOF", "NO", "ONE")
	if err == nil {
		_, err = s.Do(ctx, "CONFIG", "REWRITE") // for Restart
	}
	return err
}

// Follow makes the server a replica of another that has the same password, and returns when it has
// what its primary had. What it had itself is lost.
func (s *Server) Follow(ctx context.Context, primary *Server) error {
	host, port, err := net.SplitHostPort(primary.Addr())
	if err != nil {
		return err
	}
	if _, err := s.Do(ctx, "REPLICAOF", host, port); err != nil {
		return err
	}
	if _, err := s.Do(ctx, "CONFIG", "REWRITE"); err != nil {
		return err
	}
	return s.waitForPrimary(ctx)
}

func (s *Server) waitForPrimary(ctx context.Context) error {
	return private.Poll(ctx, func() (bool, error) {
		info, err := s.Do(ctx, "INFO", "replication")
		return strings.Contains(info, "master_link_status:up"), err
	})
}
