package private

import (
	"context"
	"fmt"
	"io"
	"os"
	"sync"
	"testing"
	"time"
)

// Shared is a server that the tests of a process share. Its methods may be called
// concurrently.
type Shared[S io.Closer] struct {
	Kit   string // the package's name, for messages
	Start func(context.Context) (S, error)

	mu     sync.Mutex
	inMain bool
	tried  bool
	server S
	err    error
}

// Get returns the server, starting it for the first that asks. It fails the test if there is
// none to be had, and if the package's TestMain does not call Main.
func (s *Shared[S]) Get(t testing.TB) S {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.inMain {
		t.Fatalf("%[1]s: what tests share needs `func TestMain(m *testing.M) { os.Exit(%[1]s.Main(m)) }` in this package", s.Kit)
	}
	if !s.tried {
		s.tried = true
		s.server, s.err = s.Start(context.Background())
	}
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

func (s *Shared[S]) enter() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inMain = true
}

func (s *Shared[S]) leave() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.inMain = false
	if !s.tried || s.err != nil {
		return nil
	}
	return s.server.Close()
}

// Main is what the kits' Main do: it runs the tests of a package, closes what they have shared
// and, if all went well, runs the functions in after. It returns the exit code.
func Main(m interface{ Run() int }, after []func() error, shared ...interface {
	enter()
	leave() error
},
) int {
	for _, s := range shared {
		s.enter()
	}
	code := m.Run()
	failed := func(err error) {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	for _, s := range shared {
		failed(s.leave())
	}
	if code == 0 {
		for _, check := range after {
			failed(check())
		}
	}
	return code
}

// Own starts a server for one test, and closes it when the test has ended. It fails the test if
// that is not possible. log is the end of the server's log, which is printed if the test has failed.
func Own[S io.Closer](t testing.TB, start func() (S, error), log func(S) string) S {
	t.Helper()
	began := time.Now()
	s, err := start()
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began).Round(time.Second), err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the server's log:\n%s", log(s))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
