package e2e

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/boltstore"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// clusterDeadline is the deadline of each call on a cluster whose nodes are killed.
var clusterDeadline = patience.Soon

// clusterLoad makes calls of two methods all the time: echo, which is idempotent by
// its policy, and transfer, which the server's store dedupes.
type clusterLoad struct {
	t *testing.T
	c *client.Client

	echoes, transfers atomic.Int64 // calls that succeeded

	mu      sync.Mutex
	made    []string      // the IDs of the transfers
	slowest time.Duration // of the calls since it was last asked for
}

// work makes calls of one method, one after the other, until done is closed.
func (l *clusterLoad) work(done <-chan struct{}, call func(id string) error) {
	for {
		select {
		case <-done:
			return
		case <-time.After(20 * time.Millisecond):
		}
		began, id := time.Now(), uuid.NewString()
		if err := call(id); err != nil {
			l.t.Errorf("call %s, made at %s, failed after %v: %v", id, began.Format(time.TimeOnly), time.Since(began), err)
		}
		l.mu.Lock()
		l.slowest = max(l.slowest, time.Since(began))
		l.mu.Unlock()
	}
}

func (l *clusterLoad) echo(id string) error {
	reply, err := l.c.Call(context.Background(), "echo", []byte(id), client.WithCallID(id), client.WithTimeout(clusterDeadline))
	if err != nil {
		return err
	}
	if string(reply.Body) != id {
		return fmt.Errorf("the reply is %q", reply.Body)
	}
	l.echoes.Add(1)
	return nil
}

func (l *clusterLoad) transfer(id string) error {
	l.mu.Lock()
	l.made = append(l.made, id)
	l.mu.Unlock()
	r, err := client.Call[receipt](context.Background(), l.c, "transfer", transfer{0, 1, 1},
		client.WithCallID(id), client.WithTimeout(clusterDeadline))
	if err != nil {
		return err
	}
	if r.CallID != id {
		return fmt.Errorf("the receipt is of %s", r.CallID)
	}
	l.transfers.Add(1)
	return nil
}

// goesOn waits until calls of both methods that were made after this moment have
// succeeded, and returns how long that took.
func (l *clusterLoad) goesOn(workers int64) time.Duration {
	l.t.Helper()
	began, echoes, transfers := time.Now(), l.echoes.Load(), l.transfers.Load()
	// Each worker may have had one call answered before.
	patience.Eventually(l.t, "calls of both methods succeed", func() bool {
		return l.echoes.Load() > echoes+workers && l.transfers.Load() > transfers+workers
	})
	return time.Since(began)
}

// slow returns how long the slowest call took since it was last asked.
func (l *clusterLoad) slow() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	slowest := l.slowest
	l.slowest = 0
	return slowest
}

// Nodes of a cluster are killed, one after the other, for each of the parts that they
// have in a call. The rest must serve both methods meanwhile, and no call fails.
func TestKillingClusterNodesCostsNoCall(t *testing.T) {
	t.Parallel()
	cluster := rabbit.NewCluster(t, rabbit.ClusterOptions{})
	nodes, urls := cluster.Nodes(), cluster.URLs("/")

	spec := bankSpec{Folder: t.TempDir(), Mode: server.Transactional}
	st, err := boltstore.Open(filepath.Join(spec.Folder, storeFile), boltstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s, err := server.New(server.Config{
		Broker: warren.Broker{URLs: urls, Heartbeat: heartbeat}, Store: st, Logger: rig.Logger(t),
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := serveBank(s, spec); err != nil {
		t.Fatal(err)
	}
	if err := s.HandleRaw(server.Method{Name: "echo", Dedupe: server.Dedupe{Mode: server.NotDeduped}}, rig.Echo); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	for _, queue := range []string{"echo", "transfer"} {
		if members, online, err := cluster.Members(t.Context(), "/", queue); members != 3 || online != 3 || err != nil {
			t.Fatalf("queue %s has %d members, %d of them online, error %v; want 3", queue, members, online, err)
		}
	}
	yes := true
	// The client is on another node than the server.
	c := newClient(t, urls[1], func(cfg *client.Config) {
		cfg.Broker.URLs = []string{urls[1], urls[2], urls[0]}
		cfg.NoServer = client.Wait
		cfg.Policies = reliability.Rules{Methods: map[string]reliability.Policy{"*": {Idempotent: &yes}}}
	})

	const workers = 4 // of each method
	l := &clusterLoad{t: t, c: c}
	done := make(chan struct{})
	var working sync.WaitGroup
	for range workers {
		working.Go(func() { l.work(done, l.echo) })
		working.Go(func() { l.work(done, l.transfer) })
	}
	stopLoad := sync.OnceFunc(func() { close(done); working.Wait() })
	defer stopLoad()
	l.goesOn(workers)

	replies := func() string { return clusterReplyQueue(t, cluster) }
	for _, victim := range []struct {
		what  string
		queue func() string // on the node that is to be killed
	}{
		{"leads transfer", func() string { return "transfer" }},
		{"keeps the replies", replies},
		{"has the server's connection", func() string { return "warren.owner.transfer" }},
	} {
		var node *rabbit.Node
		patience.Eventually(t, "the node that "+victim.what, func() bool {
			node, err = cluster.Leader(t.Context(), "/", victim.queue())
			return err == nil
		})
		l.slow()
		node.Kill()
		without := l.goesOn(workers)
		began := time.Now()
		if err := node.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		patience.Eventually(t, "all members are back", func() bool {
			_, echo, err := cluster.Members(t.Context(), "/", "echo")
			_, transfer, err2 := cluster.Members(t.Context(), "/", "transfer")
			return err == nil && err2 == nil && echo == len(nodes) && transfer == len(nodes)
		})
		back := time.Since(began)
		l.goesOn(workers)
		t.Logf("killed the node that %s: calls of both methods succeed after %v, the slowest took %v; the node was back after %v",
			victim.what, without, l.slow(), back)
	}

	stopLoad()
	rig.Stop(t, s)
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	effects := effectsOf(t, spec)
	for _, id := range l.made {
		if effects[id] != 1 {
			t.Errorf("transfer %s had %d effects", id, effects[id])
		}
	}
	if len(effects) != len(l.made) || int(l.transfers.Load()) != len(l.made) {
		t.Errorf("%d transfers were made, %d succeeded and %d had an effect", len(l.made), l.transfers.Load(), len(effects))
	}
	t.Logf("%d echoes, %d transfers; client %+v; server %+v", l.echoes.Load(), len(l.made), c.Stats(), s.Stats())
}

// clusterReplyQueue returns the name of the reply queue that is consumed.
func clusterReplyQueue(t *testing.T, cluster *rabbit.Cluster) string {
	t.Helper()
	queues, err := cluster.Nodes()[0].Queues(t.Context(), "/")
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if strings.HasPrefix(q.Name, "warren:") && q.Consumers > 0 {
			return q.Name
		}
	}
	return ""
}
