package docs

import (
	"context"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestMain(m *testing.M) {
	folder, err := os.MkdirTemp("", "warren-docs-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	toolFolder = folder
	code := rabbit.Main(m, func() error { return goleak.Find() })
	_ = os.RemoveAll(folder)
	os.Exit(code)
}

// root is the repository's, relative to the folder in which tests run.
const root = "../.."

func withPatience(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	t.Cleanup(cancel)
	return ctx
}

func logger(t *testing.T) *slog.Logger {
	t.Helper()
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}

func newClient(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c := rig.NewClient(t, cfg)
	if err := c.Ready(withPatience(t)); err != nil {
		t.Fatal(err)
	}
	return c
}

// serve runs a server with one method until the test has ended.
func serve(t *testing.T, cfg server.Config, name string, h warren.Handler) {
	t.Helper()
	serveMethod(t, cfg, server.Method{Name: name}, h)
}

func serveMethod(t *testing.T, cfg server.Config, m server.Method, h warren.Handler) {
	t.Helper()
	rig.StartServer(t, cfg, func(s *server.Server) error { return s.HandleRaw(m, h) })
}

func brokerAt(url string) warren.Broker { return warren.Broker{URLs: []string{url}} }

func vhostOf(t *testing.T, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(patience.Soon):
		t.Fatalf("waited %v in vain", patience.Soon)
		panic("unreachable")
	}
}
