package redis

import (
	"context"
	"net"
	"strings"

	"github.com/warren-rpc/warren/test/internal/private"
)

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
