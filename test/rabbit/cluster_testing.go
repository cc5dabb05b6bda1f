package rabbit

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/test/internal/private"
)

// SharedCluster returns a three-node cluster that the tests of this process share,
// booting it for the first that asks. A test that kills a node of it starts that
// node again before it ends, and does not run in parallel with another that uses
// the cluster. It fails the test as Shared does, and like it needs Main.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	return sharedCluster.Get(t)
}

// NewCluster boots a cluster of this test's own and closes it when the test has
// ended. It fails the test if that is not possible. Logf defaults to the test's.
func NewCluster(t testing.TB, options ClusterOptions) *Cluster {
	t.Helper()
	if options.Node.Logf == nil {
		options.Node.Logf = t.Logf
	}
	return private.Own(t, func() (*Cluster, error) { return StartCluster(context.Background(), options) },
		func(c *Cluster) string {
			var text strings.Builder
			for _, n := range c.nodes {
				fmt.Fprintf(&text, "%s:\n%s\n", n.name, n.logTail())
			}
			return text.String()
		})
}
