package rig

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren"
)

// Main runs the tests of a package, then what ends what they share, and fails if
// any goroutine is left.
func Main(m *testing.M, after func() error) {
	code := m.Run()
	if err := after(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
	}
	if code == 0 {
		if err := goleak.Find(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// Logger writes to the test's log, while the test runs.
func Logger(t testing.TB) *slog.Logger {
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

// Log is a log that can be read.
type Log struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Logger writes to the log.
func (l *Log) Logger() *slog.Logger { return slog.New(slog.NewTextHandler(l, nil)) }

// Write implements io.Writer.
func (l *Log) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// String returns what was written.
func (l *Log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// Echo is a handler that answers with the request.
func Echo(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	return &warren.Reply{
		ContentType: req.ContentType, ContentEncoding: req.ContentEncoding, Header: req.Header, Body: req.Body,
	}, nil
}

// Gate is a handler that tells when it runs and waits to be let go.
type Gate struct {
	Entered chan string   // the call IDs of those that run, up to 1000 of them
	Release chan struct{} // lets one go, or when closed all
	Runs    atomic.Int64
}

// NewGate returns a gate that is shut.
func NewGate() *Gate { return &Gate{Entered: make(chan string, 1000), Release: make(chan struct{})} }

// Handle is the handler. It answers with the request's body, or by the context's
// error once the caller has stopped waiting.
func (g *Gate) Handle(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
	g.Runs.Add(1)
	g.Entered <- req.CallID
	select {
	case <-g.Release:
		return &warren.Reply{Body: req.Body}, nil
	case <-ctx.Done():
		if errors.Is(ctx.Err(), context.DeadlineExceeded) {
			// Later than the caller, whose time ends at the same instant.
			time.Sleep(time.Millisecond)
		}
		return nil, ctx.Err()
	}
}

// AnyReason is a reason for WantError that all errors have.
const AnyReason = "any"

// WantError demands a bare *warren.Error of that code, reason and outcome, and
// returns a copy.
func WantError(t testing.TB, err error, code warren.Code, reason string, outcome warren.Outcome) warren.Error {
	t.Helper()
	e, ok := err.(*warren.Error) //nolint:errorlint // bare, not wrapped: that is the promise
	if !ok {
		t.Fatalf("error is %T (%v); want a *warren.Error", err, err)
	}
	if e.Code != code || reason != AnyReason && e.Reason != reason || e.Outcome != outcome {
		t.Fatalf("error is %v; want %s", e, fmt.Sprintf("%v/%s (%v)", code, reason, outcome))
	}
	return *e
}

// Took demands that something which began then took exactly so long, on the time
// of a bubble.
func Took(t testing.TB, began time.Time, want time.Duration) {
	t.Helper()
	if took := time.Since(began); took != want {
		t.Errorf("it took %v; want %v", took, want)
	}
}
