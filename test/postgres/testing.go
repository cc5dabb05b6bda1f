package postgres

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren/test/internal/private"
)

var shared = private.Shared[*Server]{Kit: "postgres", Start: func(ctx context.Context) (*Server, error) {
	return Start(ctx, Options{Config: map[string]string{"max_connections": "500"}})
}}

// Main runs the tests of a package and then closes the server that Shared started, if
// any. Its result is the exit code:
//
//	func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }
//
// m is what runs them: a *testing.M, or another kit's Main around one.
//
// If the tests passed, the functions in after run once the server is closed, in their
// order; an error from one is printed and makes the run fail. This is the place for a
// check for leaked goroutines.
func Main(m interface{ Run() int }, after ...func() error) int {
	return private.Main(m, after, &shared)
}

// Shared returns the server that the tests of this process share, starting it for the
// first that asks. A test that stops, kills, freezes or reconfigures its server takes one
// of its own with New instead. Shared fails the test if there is no PostgreSQL, and if
// the package's TestMain does not call Main.
func Shared(t testing.TB) *Server {
	t.Helper()
	return shared.Get(t)
}

// databases numbers the databases of this process.
var databases atomic.Int64

// Database returns the URL of a database of this test's own on the shared server. It is
// dropped, and connections to it closed, when the test has ended.
func Database(t testing.TB) string {
	t.Helper()
	s := Shared(t)
	name := fmt.Sprintf("test_%d", databases.Add(1))
	if _, err := s.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := s.Exec(context.Background(), "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return s.URL(name)
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

// NewPair does the same with a pair.
func NewPair(t testing.TB, options Options) *Pair {
	t.Helper()
	if options.Logf == nil {
		options.Logf = t.Logf
	}
	return private.Own(t, func() (*Pair, error) { return StartPair(context.Background(), options) },
		func(p *Pair) string {
			return p.Primary().Daemon.LogTail() + "\nand of the standby's:\n" + p.Standby().Daemon.LogTail()
		})
}
