package rabbit

import (
	"context"
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

func TestQuorumQueueOutlivesItsLeadersNode(t *testing.T) {
	c := SharedCluster(t)
	_, ch := dial(t, c.Nodes()[1].URL())
	declare(t, ch, "q", "quorum")
	publish(t, ch, "q", "kept")
	if members, online, err := c.Members(t.Context(), "/", "q"); members != 3 || online != 3 || err != nil {
		t.Fatalf("%d members, %d online, error %v; want 3 and 3", members, online, err)
	}
	leader, err := c.Leader(t.Context(), "/", "q")
	if err != nil {
		t.Fatal(err)
	}
	leader.Kill()

	var next *Node
	patience.Eventually(t, "led by another node", func() bool {
		next, err = c.Leader(t.Context(), "/", "q")
		return err == nil && next != leader
	})
	_, ch = dial(t, next.URL())
	patience.Eventually(t, "there on the new leader", func() bool {
		message, ok, err := ch.Get("q", true)
		if err != nil {
			// A node that has not noticed yet ends the connection (541).
			_, ch = dial(t, next.URL())
		}
		return err == nil && ok && string(message.Body) == "kept"
	})
	publish(t, ch, "q", "with two of three")
	if _, online, err := c.Members(t.Context(), "/", "q"); online != 2 || err != nil {
		t.Errorf("%d members online, error %v; want 2", online, err)
	}

	if err := leader.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "whole again", func() bool {
		_, online, err := c.Members(t.Context(), "/", "q")
		return online == 3 && err == nil
	})
	_, ch = dial(t, leader.URL())
	patience.Eventually(t, "there on the node that was killed", func() bool {
		message, ok, err := ch.Get("q", true)
		if err != nil {
			_, ch = dial(t, leader.URL())
		}
		return err == nil && ok && string(message.Body) == "with two of three"
	})
	if _, err := c.Leader(t.Context(), "/", "no such queue"); err == nil {
		t.Error("a queue that does not exist has a leader")
	}
}

func TestQuorumQueueNeedsItsMajority(t *testing.T) {
	c := SharedCluster(t)
	nodes := c.Nodes()
	url, err := nodes[0].AddVHost(t.Context(), "majority")
	if err != nil {
		t.Fatal(err)
	}
	_, ch := dial(t, url)
	declare(t, ch, "q", "quorum")
	publish(t, ch, "q", "before")
	if err := errors.Join(nodes[1].Freeze(), nodes[2].Freeze()); err != nil {
		t.Fatal(err)
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "q", false, false, amqp.Publishing{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := confirm.WaitContext(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one of three members confirmed: %v", err)
	}
	if err := errors.Join(nodes[1].Thaw(), nodes[2].Thaw()); err != nil {
		t.Fatal(err)
	}
	if acked, err := confirm.WaitContext(t.Context()); err != nil || !acked {
		t.Errorf("after the thaw: acked %v, %v", acked, err)
	}
}

func TestClusterRefusesOddSizes(t *testing.T) {
	t.Parallel()
	for _, nodes := range []int{-1, 8} {
		if c, err := StartCluster(t.Context(), ClusterOptions{Nodes: nodes}); err == nil {
			_ = c.Close()
			t.Errorf("started %d nodes", nodes)
		}
	}
}

func BenchmarkClusterStart(b *testing.B) {
	for b.Loop() {
		c, err := StartCluster(b.Context(), ClusterOptions{})
		if err != nil {
			b.Fatal(err)
		}
		if err := c.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
