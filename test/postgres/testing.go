package postgres

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// shared is what the tests of this process share.
var shared struct {
	mu     sync.Mutex
	inMain bool
	tried  bool
	server *Server
	err    error
}

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
	shared.mu.Lock()
	shared.inMain = true
	shared.mu.Unlock()
	code := m.Run()

	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.inMain = false
	if shared.server != nil {
		if err := shared.server.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if code != 0 {
		return code
	}
	for _, check := range after {
		if err := check(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	return code
}

// Shared returns the server that the tests of this process share, starting it for the
// first that asks. A test that stops, kills, freezes or reconfigures its server takes one
// of its own with New instead. Shared fails the test if there is no PostgreSQL, and if
// the package's TestMain does not call Main.
func Shared(t testing.TB) *Server {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.inMain {
		t.Fatal("postgres: Shared needs `func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }` in this package")
	}
	if !shared.tried {
		shared.tried = true
		shared.server, shared.err = Start(context.Background(), Options{Config: map[string]string{"max_connections": "500"}})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.server
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
	s, err := Start(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { finish(t, s) })
	return s
}

// NewPair does the same with a pair.
func NewPair(t testing.TB, options Options) *Pair {
	t.Helper()
	if options.Logf == nil {
		options.Logf = t.Logf
	}
	p, err := StartPair(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		finish(t, p.Primary())
		finish(t, p.Standby())
	})
	return p
}

func finish(t testing.TB, s *Server) {
	t.Helper()
	if t.Failed() {
		t.Logf("the end of the log of %s:\n%s", s.Addr(), s.daemon.LogTail())
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
