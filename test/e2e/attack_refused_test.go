package e2e

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// A user who may not publish is told so, at once and for each call, and not by
// a deadline.
func TestCallOfAUserWhoMayNotPublishSaysSo(t *testing.T) {
	t.Parallel()
	base := rabbit.VHost(t)
	newServer(t, base, serveEcho("echo"))
	node, vhost := rabbit.Shared(t), vhostOf(t, base)
	user := "mute-" + vhost
	if err := node.AddUser(testContext(t), user, "pass", vhost, ".*", "", ".*"); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, node.URLAs(user, "pass", vhost))
	for _, opts := range [][]client.CallOption{nil, {client.Idempotent()}} {
		began := time.Now()
		_, err := c.Call(testContext(t), "echo", nil, opts...)
		rig.WantError(t, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
		if took := time.Since(began); took > patience.Soon/2 { // half its deadline
			t.Errorf("it took %v", took)
		}
	}
	err := c.Notify(testContext(t), "echo", nil)
	rig.WantError(t, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
}

// A ping ends with the client, as a call does.
func TestPingEndsWithTheClient(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, rabbit.VHost(t))
	p.setStall(true)
	c := newClient(t, through)
	ended := make(chan error, 1)
	go func() {
		_, err := c.Ping(testContext(t), "echo")
		ended <- err
	}()
	time.Sleep(20 * time.Millisecond)
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	rig.WantError(t, <-ended, warren.CodeCanceled, warren.ReasonClientClosed, warren.NotExecuted)
	_, err := c.Ping(testContext(t), "echo")
	rig.WantError(t, err, warren.CodeCanceled, warren.ReasonClientClosed, warren.NotExecuted)
	if took := time.Since(began); took > patience.Soon/2 {
		t.Errorf("closing and two pings took %v", took)
	}
}
