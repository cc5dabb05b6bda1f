package conformance_test

import (
	"context"
	"flag"
	"net/url"
	"os"
	"testing"

	"github.com/warren-rpc/warren/test/amqptest/conformance"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestMain(m *testing.M) {
	// Most checks wait for a broker, and not for a processor.
	if err := flag.Set("test.parallel", "16"); err != nil {
		panic(err)
	}
	os.Exit(rabbit.Main(m))
}

func TestRabbitMQ(t *testing.T) {
	conformance.Run(t, conformance.Target{
		Name:  conformance.RabbitMQ,
		VHost: rabbit.VHost,
		Dedicated: func(t testing.TB) conformance.Broker {
			return dedicated(rabbit.New(t, rabbit.Options{}))
		},
		AddUser: func(t testing.TB, vhost, user, configure, write, read string) string {
			t.Helper()
			node, name := rabbit.Shared(t), vhostOf(t, vhost)
			must(t, node.AddUser(testContext(t), user, user, name, configure, write, read))
			return node.URLAs(user, user, name)
		},
	})
}

func dedicated(node *rabbit.Node) conformance.Broker {
	return conformance.Broker{
		URL:         node.URL(),
		Restart:     func(t testing.TB) { must(t, node.Restart(t.Context())) },
		MemoryAlarm: func(t testing.TB, on bool) { must(t, node.MemoryAlarm(testContext(t), on)) },
		CloseConnections: func(t testing.TB, reason string) {
			must(t, node.CloseConnections(testContext(t), reason))
		},
	}
}

func vhostOf(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	must(t, err)
	return u.Path[1:]
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func testContext(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	t.Cleanup(cancel)
	return ctx
}
