package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestMissingQueueIsNoRouteAtOnce(t *testing.T) {
	t.Parallel()
	c := newClient(t, rabbit.VHost(t))
	for name, opts := range map[string][]client.CallOption{
		"asked before":        nil,
		"told by the publish": {client.WaitForServer()},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.Call(testContext(t), "nobody.home", nil, opts...)
			e := rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
			if e.Method != "nobody.home" || e.CallID == "" || e.Remote {
				t.Fatalf("error is %+v", e)
			}
		})
	}
	if err := c.Notify(testContext(t), "nobody.home", nil); err == nil {
		t.Fatal("a notification without a queue succeeded")
	} else {
		rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
	}
	if _, err := c.Ping(testContext(t), "nobody.home"); err == nil {
		t.Fatal("a ping without a queue succeeded")
	} else {
		rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
	}
	patience.Eventually(t, "nothing is pending", func() bool { return c.Stats().Pending == 0 })
}

func TestEveryReturnIsSeenAmongManyConfirms(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, serveEcho("echo"))
	c := newClient(t, url, func(cfg *client.Config) {
		cfg.NoServer = client.Wait
		cfg.Policies.Methods = map[string]reliability.Policy{"nobody.home": {Breaker: reliability.BreakerPolicy{Off: new(true)}}}
	})
	var futures, missing []*client.Future
	for range 1000 {
		futures = append(futures, c.Go(testContext(t), "echo", []byte("x")))
		missing = append(missing, c.Go(testContext(t), "nobody.home", []byte("x")))
	}
	for _, f := range futures {
		if _, err := f.Result(); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range missing {
		_, err := f.Result()
		rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
	}
}

func TestQueueWithoutConsumerIsNoServerUnderFailFast(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	s := newServer(t, url, serveEcho("echo"))
	c := newClient(t, url)
	if n, err := c.Ping(testContext(t), "echo"); err != nil || n != 1 {
		t.Fatalf("ping: %d, %v", n, err)
	}
	if err := s.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Call(testContext(t), "echo", nil)
	rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNoServer, warren.NotExecuted)

	// Under the wait policy the call waits until its deadline, or for a server.
	_, err = c.Call(testContext(t), "echo", nil, client.WaitForServer(), client.WithTimeout(patience.Brief))
	rig.WantError(t, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
	waiting := c.Go(testContext(t), "echo", []byte("late"), client.WaitForServer())
	newServer(t, url, serveEcho("echo"))
	reply, err := waiting.Result()
	if err != nil || string(reply.Body) != "late" {
		t.Fatalf("%v, %v", reply, err)
	}
	patience.Eventually(t, "calls are served again under fail-fast", func() bool {
		_, err := c.Call(testContext(t), "echo", nil)
		return err == nil
	})
}

func TestExpiringQueueIsGoneAfterItsLastServer(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	s := newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "brief", Queue: server.Queue{Expires: 10 * time.Second}}, rig.Echo)
	})
	if err := s.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, url)
	patience.Eventually(t, "the queue has expired", func() bool {
		_, err := c.Call(testContext(t), "brief", nil)
		e, _ := warren.AsError(err)
		return e != nil && e.Reason == warren.ReasonNoRoute
	})
}

func TestExpiredRequestIsNotHandled(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	busy, release := make(chan struct{}, 10), make(chan struct{})
	var seen []string
	newServer(t, url, func(s *server.Server) error {
		// The prefetched request is with the server when it expires, where the
		// broker's expiration no longer reaches it.
		m := server.Method{Name: "slow", Concurrency: 1, Prefetch: 10}
		return s.HandleRaw(m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			seen = append(seen, string(req.Body))
			if string(req.Body) == "first" {
				busy <- struct{}{}
				<-release
			}
			return nil, nil
		})
	})
	c := newClient(t, url)
	first := c.Go(testContext(t), "slow", []byte("first"))
	<-busy
	_, err := c.Call(testContext(t), "slow", []byte("expires"), client.WithTimeout(patience.Brief))
	e := rig.WantError(t, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
	if e.Attempts != 1 {
		t.Fatalf("error is %+v", e)
	}
	close(release)
	if _, err := first.Result(); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Call(testContext(t), "slow", []byte("last")); err != nil {
		t.Fatal(err)
	}
	if len(seen) != 2 || seen[0] != "first" || seen[1] != "last" {
		t.Fatalf("handled %q", seen)
	}
	// Its refusal came too late for the caller, and is counted.
	patience.Eventually(t, "the late reply is dropped", func() bool { return c.Stats().LateReplies == 1 })
}
