package rig

import (
	"context"
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
)

// NewClient returns a client that is closed with the test. Without a logger of its own it
// writes to the test's log.
func NewClient(t testing.TB, cfg client.Config) *client.Client {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = Logger(t)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// NewServer returns a server that is not started. Without a logger of its own it writes to the
// test's log.
func NewServer(t testing.TB, cfg server.Config) *server.Server {
	t.Helper()
	if cfg.Logger == nil {
		cfg.Logger = Logger(t)
	}
	s, err := server.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// StartServer starts a server that register has given its methods. It is stopped with the test.
func StartServer(t testing.TB, cfg server.Config, register func(*server.Server) error) *server.Server {
	t.Helper()
	s := NewServer(t, cfg)
	if err := register(s); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Stop(t, s) })
	return s
}

// Stop stops a server, which must not fail.
func Stop(t testing.TB, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop the server: %v", err)
	}
}
