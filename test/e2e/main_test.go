package e2e

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(envServeURL); url != "" {
		if err := runServer(url, os.Getenv(envServeName), os.Getenv(envKillAt)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if url := os.Getenv(envCallURL); url != "" {
		fmt.Fprintln(os.Stderr, runCaller(url, os.Getenv(envServeName), os.Getenv(envKillAt)))
		os.Exit(1)
	}
	os.Exit(rabbit.Main(m, func() error { return goleak.Find() }))
}

// within is how long anything may take that should happen soon, on a machine
// that is busy with other tests.
const within = 30 * time.Second

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	t.Cleanup(cancel)
	return ctx
}

// testLogger writes to the test's log, while the test runs.
func testLogger(t testing.TB) *slog.Logger {
	return slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	if w.t.Context().Err() != nil {
		return io.Discard.Write(p) // the test has ended
	}
	w.t.Log(string(p[:max(len(p)-1, 0)]))
	return len(p), nil
}

// newClient returns a client that is closed with the test.
func newClient(t testing.TB, url string, change ...func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{
		Broker: warren.Broker{URLs: []string{url}, Heartbeat: 2 * time.Second, DialTimeout: 5 * time.Second},
		Logger: testLogger(t),
	}
	for _, f := range change {
		f(&cfg)
	}
	c, err := client.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// newServer returns a server that register has given its methods, started, and
// stopped with the test.
func newServer(t testing.TB, url string, register func(s *server.Server) error) *server.Server {
	t.Helper()
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: []string{url}, Heartbeat: 2 * time.Second, DialTimeout: 5 * time.Second},
		Logger: testLogger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := register(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t testing.TB, s *server.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Errorf("stop the server: %v", err)
	}
}

func echo(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	return &warren.Reply{ContentType: req.ContentType, Header: req.Header, Body: req.Body}, nil
}

func serveEcho(name string) func(*server.Server) error {
	return func(s *server.Server) error { return s.HandleRaw(server.Method{Name: name}, echo) }
}

// eventually waits until the condition holds.
func eventually(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline := time.Now().Add(within)
	for !condition() {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", within, what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// wantError demands a bare *warren.Error of that code, reason and outcome, and
// returns a copy.
func wantError(t testing.TB, err error, code warren.Code, reason string, outcome warren.Outcome) warren.Error {
	t.Helper()
	e, ok := err.(*warren.Error) //nolint:errorlint // bare, not wrapped: that is the promise
	if !ok {
		t.Fatalf("error is %T (%v); want a *warren.Error", err, err)
	}
	if e.Code != code || e.Reason != reason || e.Outcome != outcome {
		t.Fatalf("error is %v; want %s", e, fmt.Sprintf("%v/%s (%v)", code, reason, outcome))
	}
	return *e
}
