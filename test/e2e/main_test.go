package e2e

import (
	"context"
	"fmt"
	"os"
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
	if spec := os.Getenv(envBank); spec != "" {
		if err := runBank(spec); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(rabbit.Main(m, func() error { return goleak.Find() }))
}

// heartbeat is that of clients and servers: a broker that says nothing is given up
// after two of them.
var heartbeat = patience.Times(3 * time.Second)

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	t.Cleanup(cancel)
	return ctx
}

// newClient returns a client that is closed with the test.
func newClient(t testing.TB, url string, change ...func(*client.Config)) *client.Client {
	t.Helper()
	cfg := client.Config{Broker: warren.Broker{URLs: []string{url}, Heartbeat: heartbeat}}
	for _, f := range change {
		f(&cfg)
	}
	return rig.NewClient(t, cfg)
}

// newServer returns a server that register has given its methods, started, and
// stopped with the test.
func newServer(t testing.TB, url string, register func(s *server.Server) error) *server.Server {
	t.Helper()
	return rig.StartServer(t, server.Config{Broker: warren.Broker{URLs: []string{url}, Heartbeat: heartbeat}}, register)
}

func serveEcho(name string) func(*server.Server) error {
	return func(s *server.Server) error { return s.HandleRaw(server.Method{Name: name}, rig.Echo) }
}

// newPlainPeer is a peer that knows nothing of Warren.
func newPlainPeer(t *testing.T, url string) *rig.Peer {
	t.Helper()
	return rig.NewPeer(t, warren.Broker{URLs: []string{url}})
}
