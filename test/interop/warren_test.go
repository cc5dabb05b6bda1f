package interop

import (
	"bytes"
	"context"
	"log/slog"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
)

// method is a method with its handler.
type method struct {
	server.Method
	handler warren.Handler
}

// serveWarren runs a Warren server with rpc_queue, echo, panics and more
// methods until stop is called or the test has ended.
func serveWarren(t *testing.T, url string, more ...method) (stop func()) {
	t.Helper()
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range append(more,
		method{server.Method{Name: "rpc_queue"}, handleFib},
		method{server.Method{Name: "echo"}, handleEcho},
		method{server.Method{Name: "panics"}, handlePanic},
	) {
		if err := s.HandleRaw(m.Method, m.handler); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
		defer cancel()
		if err := s.Stop(ctx); err != nil {
			t.Errorf("stop the server: %v", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// handleFib answers a decimal number from 0 to 92 with its Fibonacci number.
func handleFib(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	n, err := strconv.ParseInt(string(req.Body), 10, 64)
	if err != nil {
		return nil, warren.Errorf(warren.CodeInvalidArgument, "%.20q is not a decimal number", req.Body)
	}
	if n < 0 || n > 92 {
		return nil, warren.Errorf(warren.CodeOutOfRange, "n is %d; it must be from 0 to 92", n)
	}
	return &warren.Reply{ContentType: "text/plain", Body: fib(n).Append(nil, 10)}, nil
}

// together keeps every request from next until there have been that many.
func together(requests int, next warren.Handler) warren.Handler {
	var missing atomic.Int64
	missing.Store(int64(requests))
	complete := make(chan struct{})
	return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
		if missing.Add(-1) == 0 {
			close(complete)
		}
		select {
		case <-complete:
			return next(ctx, req)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func handleEcho(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	return &warren.Reply{ContentType: req.ContentType, Body: bytes.Clone(req.Body)}, nil
}

func handlePanic(context.Context, *warren.Request) (*warren.Reply, error) {
	panic("secret")
}

func newClient(t *testing.T, url string) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close the client: %v", err)
		}
	})
	if err := c.Ready(withPatience(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

// logger shows what a client or a server logs if the test fails.
func logger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func withPatience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	t.Cleanup(cancel)
	return ctx
}
