package rabbit

import (
	"context"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// shared is what the tests of this process share.
var shared struct {
	mu     sync.Mutex
	inMain bool

	tried bool
	node  *Node
	err   error

	clusterMu    sync.Mutex // of the three fields below; mu is not held over a boot of theirs
	clusterTried bool
	cluster      *Cluster
	clusterErr   error
}

// Main runs the tests of a package and then closes the node that Shared
// started and the cluster that SharedCluster did, if any. Its result is the exit
// code:
//
//	func TestMain(m *testing.M) { os.Exit(rabbit.Main(m)) }
//
// If the tests passed, the functions in after run once the node is closed, in
// their order; an error from one is printed and makes the run fail. This is the
// place for a check for leaked goroutines: none of this package's is left then.
func Main(m *testing.M, after ...func() error) int {
	shared.mu.Lock()
	shared.inMain = true
	shared.mu.Unlock()
	code := m.Run()

	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.inMain = false
	if shared.node != nil {
		if err := shared.node.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	if err := closeSharedCluster(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = max(code, 1)
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

// Shared returns the node that the tests of this process share, booting it for
// the first that asks. A test that stops, kills, freezes or alarms its node
// takes one of its own with New instead. Shared fails the test if there is no
// broker to be had, and if the package's TestMain does not call Main.
func Shared(t testing.TB) *Node {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.inMain {
		t.Fatal("rabbit: Shared needs `func TestMain(m *testing.M) { os.Exit(rabbit.Main(m)) }` in this package")
	}
	if !shared.tried {
		shared.tried = true
		shared.node, shared.err = Start(context.Background(), Options{})
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.node
}

// vhosts numbers the virtual hosts of this process.
var vhosts atomic.Int64

// VHost returns the URL of a virtual host of this test's own on the shared
// node. It is deleted, and connections to it closed, when the test has ended.
// It takes milliseconds once the node runs.
func VHost(t testing.TB) string {
	t.Helper()
	n := Shared(t)
	name := fmt.Sprintf("test-%d", vhosts.Add(1))
	url, err := n.AddVHost(context.Background(), name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := n.DeleteVHost(context.Background(), name); err != nil {
			t.Error(err)
		}
	})
	return url
}

// Channel opens a channel on a connection of its own, which is closed with the test.
func Channel(t testing.TB, url string) (*amqp.Connection, *amqp.Channel) {
	t.Helper()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return conn, ch
}

// New boots a node of this test's own and closes it when the test has ended. It
// fails the test if that is not possible, and prints the end of the node's log
// if the test has failed. Logf defaults to the test's.
func New(t testing.TB, options Options) *Node {
	t.Helper()
	if options.Logf == nil {
		options.Logf = t.Logf
	}
	ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
	defer cancel()
	began := time.Now()
	n, err := Start(ctx, options)
	if err != nil {
		t.Fatalf("after %v: %v", time.Since(began).Round(time.Second), err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the end of the node's log:\n%s", n.logTail())
		}
		if err := n.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}
