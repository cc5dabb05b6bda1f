package rabbit

import (
	"context"
	"testing"
)

// SharedCluster returns a three-node cluster that the tests of this process share,
// booting it for the first that asks. A test that kills a node of it starts that
// node again before it ends, and does not run in parallel with another that uses
// the cluster. It fails the test as Shared does, and like it needs Main.
func SharedCluster(t testing.TB) *Cluster {
	t.Helper()
	shared.mu.Lock()
	inMain := shared.inMain
	shared.mu.Unlock()
	if !inMain {
		t.Fatal("rabbit: SharedCluster needs `func TestMain(m *testing.M) { os.Exit(rabbit.Main(m)) }` in this package")
	}
	shared.clusterMu.Lock()
	defer shared.clusterMu.Unlock()
	if !shared.clusterTried {
		shared.clusterTried = true
		shared.cluster, shared.clusterErr = StartCluster(context.Background(), ClusterOptions{})
	}
	if shared.clusterErr != nil {
		t.Fatal(shared.clusterErr)
	}
	return shared.cluster
}

// NewCluster boots a cluster of this test's own and closes it when the test has
// ended. It fails the test if that is not possible. Logf defaults to the test's.
func NewCluster(t testing.TB, options ClusterOptions) *Cluster {
	t.Helper()
	if options.Node.Logf == nil {
		options.Node.Logf = t.Logf
	}
	c, err := StartCluster(context.Background(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, n := range c.nodes {
				t.Logf("the end of the log of %s:\n%s", n.name, n.logTail())
			}
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// closeSharedCluster is Main's.
func closeSharedCluster() error {
	shared.clusterMu.Lock()
	defer shared.clusterMu.Unlock()
	if shared.cluster == nil {
		return nil
	}
	return shared.cluster.Close()
}
