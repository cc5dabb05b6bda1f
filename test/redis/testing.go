package redis

import (
	"context"
	"testing"

	"github.com/warren-rpc/warren/test/internal/private"
)

var shared = private.Shared[*Server]{Kit: "redis", Start: func(ctx context.Context) (*Server, error) { return Start(ctx, Options{}) }}

// Main runs the tests of a package and then closes the server that Shared started, if
// any. Its result is the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(redis.Main(m)) }
//
// If the tests passed, the functions in after run once the server is closed, in their
// order; an error from one is printed and makes the run fail. This is the place for a
// check for leaked goroutines.
func Main(m interface{ Run() int }, after ...func() error) int {
	return private.Main(m, after, &shared)
}

// Shared returns the server that the tests of this process share, starting it for the
// first that asks. A test that stops, kills, freezes or reconfigures its server takes one
// of its own with New instead. Shared fails the test if there is no Redis, and if the
// package's TestMain does not call Main.
func Shared(t testing.TB) *Server {
	t.Helper()
	return shared.Get(t)
}

// New starts a server of this test's own and closes it when the test has ended. It fails
// the test if that is not possible, and prints the end of the server's log if the test
// has failed. Logf defaults to the test's.
func New(t testing.TB, options Options) *Server {
	t.Helper()
	if options.Logf == nil {
		options.Logf = t.Logf
	}
	return private.Own(t, func() (*Server, error) { return Start(context.Background(), options) },
		func(s *Server) string { return s.Daemon.LogTail() })
}
