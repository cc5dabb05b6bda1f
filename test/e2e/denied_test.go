package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// start starts a server of methods a to d, and returns why it did not.
func start(t *testing.T, url string) (*server.Server, error) {
	t.Helper()
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}, Heartbeat: 2 * time.Second}, Logger: rig.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b", "c", "d"} {
		if err := s.HandleRaw(rig.Named(name), rig.Echo); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*patience.Soon)
	t.Cleanup(cancel)
	return s, s.Start(ctx)
}

// wantDenied demands that err came early and has the broker's words.
func wantDenied(t *testing.T, began time.Time, err error, says string) {
	t.Helper()
	if took := time.Since(began); err == nil || !strings.Contains(err.Error(), says) || took > patience.Soon {
		t.Errorf("%v after %v; want %q at once", err, took, says)
	}
}

// A limit of the broker is told at once and in its words, and does not cost those
// who are within it their connection.
func TestLimitsOfTheBrokerAreTold(t *testing.T) {
	t.Parallel()
	node := rabbit.Shared(t)
	t.Run("queues", func(t *testing.T) {
		t.Parallel()
		url := rabbit.VHost(t)
		if err := node.LimitVHost(testContext(t), vhostOf(t, url), map[string]int{"max-queues": 0}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := start(t, url)
		wantDenied(t, began, err, "queue limit in vhost")
		began = time.Now()
		c := newClient(t, url) // a reply queue is one too many as well
		wantDenied(t, began, c.Ready(testContext(t)), "queue limit in vhost")
		_, err = c.Call(testContext(t), "a", nil)
		e := rig.WantError(t, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
		wantDenied(t, began, &e, "queue limit in vhost")
	})
	t.Run("channels of a user", func(t *testing.T) {
		t.Parallel()
		url := rabbit.VHost(t)
		vhost := vhostOf(t, url)
		user := "few-" + vhost
		if err := node.AddUser(testContext(t), user, "p", vhost, ".*", ".*", ".*"); err != nil {
			t.Fatal(err)
		}
		if err := node.LimitUser(testContext(t), user, map[string]int{"max-channels": 3}); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		_, err := start(t, node.URLAs(user, "p", vhost))
		wantDenied(t, began, err, "maximum allowed")
	})
	t.Run("connections", func(t *testing.T) {
		t.Parallel()
		url := rabbit.VHost(t)
		if err := node.LimitVHost(testContext(t), vhostOf(t, url), map[string]int{"max-connections": 0}); err != nil {
			t.Fatal(err)
		}
		c := newClient(t, url)
		_, err := c.Call(testContext(t), "a", nil, client.WithTimeout(3*time.Second))
		e := rig.WantError(t, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
		if !strings.Contains(e.Message, "connection limit") {
			t.Errorf("%v", &e)
		}
		// It passes by itself.
		if err := node.LimitVHost(testContext(t), vhostOf(t, url), map[string]int{"max-connections": -1}); err != nil {
			t.Fatal(err)
		}
		if err := c.Ready(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

// Of two methods whose queues may not be declared any more, the others know nothing.
func TestMethodThatIsDeniedIsLeftOutWhileOthersAreServed(t *testing.T) {
	t.Parallel()
	node, url := rabbit.Shared(t), rabbit.VHost(t)
	vhost := vhostOf(t, url)
	s, err := start(t, url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rig.Stop(t, s) })
	c := newClient(t, url)
	if err := c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := node.LimitVHost(testContext(t), vhost, map[string]int{"max-queues": 1}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"a", "b"} {
		if err := node.DeleteQueue(testContext(t), vhost, name); err != nil {
			t.Fatal(err)
		}
	}
	patience.Eventually(t, "both are reported", func() bool {
		unserved := s.Unserved()
		return len(unserved) == 2 && strings.Contains(unserved["a"].Error(), "queue limit") && strings.Contains(unserved["b"].Error(), "queue limit")
	})
	for _, name := range []string{"c", "d"} {
		if reply, err := c.Call(testContext(t), name, []byte("x")); err != nil || string(reply.Body) != "x" {
			t.Errorf("%s: %+v, %v", name, reply, err)
		}
	}
	if err := node.LimitVHost(testContext(t), vhost, map[string]int{"max-queues": -1}); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "all are served again", func() bool { return len(s.Unserved()) == 0 })
	if st := s.Stats(); st.Reconnects > 0 {
		t.Errorf("%+v", st)
	}
}
