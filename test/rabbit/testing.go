package rabbit

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/internal/private"
)

// What the tests of this process share.
var (
	sharedNode    = private.Shared[*Node]{Kit: "rabbit", Start: func(ctx context.Context) (*Node, error) { return Start(ctx, Options{}) }}
	sharedCluster = private.Shared[*Cluster]{Kit: "rabbit", Start: func(ctx context.Context) (*Cluster, error) {
		return StartCluster(ctx, ClusterOptions{})
	}}
)

// Main runs the tests of a package and then closes the node that Shared
// started and the cluster that SharedCluster did, if any. Its result is the exit
// code:
//
//	func TestMain(m *testing.M) { os.Exit(rabbit.Main(m)) }
//
// If the tests passed, the functions in after run once the node is closed, in
// their order; an error from one is printed and makes the run fail. This is the
// place for a check for leaked goroutines: none of this package's is left then.
func Main(m interface{ Run() int }, after ...func() error) int {
	return private.Main(m, after, &sharedNode, &sharedCluster)
}

// Shared returns the node that the tests of this process share, booting it for
// the first that asks. A test that stops, kills, freezes or alarms its node
// takes one of its own with New instead. Shared fails the test if there is no
// broker to be had, and if the package's TestMain does not call Main.
func Shared(t testing.TB) *Node {
	t.Helper()
	return sharedNode.Get(t)
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
	return private.Own(t, func() (*Node, error) {
		ctx, cancel := context.WithTimeout(context.Background(), bootTimeout)
		defer cancel()
		return Start(ctx, options)
	}, (*Node).logTail)
}
