package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// RabbitMQ 3.10 forgets a quorum queue's log, for good, if its node is killed within
// some 300 ms of the queue's birth, even after its first consumer and its first confirm.
func TestQueueWhoseNodeIsKilledRightAfterItsFirstCallIsServedAgain(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	c := newClient(t, node.URL())
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	newServer(t, node.URL(), serveEcho("echo"))
	if _, err := c.Call(testContext(t), "echo", nil); err != nil {
		t.Fatal(err)
	}
	node.Kill()
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// A queue that is dead is seen to be so after three attempts that are not answered.
	ctx, cancel := context.WithTimeout(t.Context(), patience.Times(3*time.Minute))
	defer cancel()
	began := time.Now()
	for {
		_, err := c.Call(ctx, "echo", nil, client.WithTimeout(time.Second))
		if err == nil {
			break
		}
		if ctx.Err() != nil {
			t.Fatalf("the method is not served %v after its node is back: %v", time.Since(began), err)
		}
	}
	t.Logf("served again after %v", time.Since(began))
}
