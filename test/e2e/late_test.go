package e2e

import (
	"context"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// A caller that gives a call up and makes it again under its own ID must not
// take what became of the first for what becomes of the second.
func TestLateReplyDoesNotAnswerALaterCallOfTheSameID(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	busy, release := make(chan struct{}), make(chan struct{})
	var ran atomic.Int32
	newServer(t, url, func(s *server.Server) error {
		m := server.Method{Name: "pay", Concurrency: 1, Prefetch: 8}
		return s.HandleRaw(m, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			if string(req.Body) == "slow" {
				close(busy)
				<-release
				return nil, nil
			}
			ran.Add(1)
			return &warren.Reply{Body: req.Body}, nil
		})
	})
	c := newClient(t, url)
	slow := c.Go(testContext(t), "pay", []byte("slow"))
	<-busy
	key := client.WithCallID("order-7")
	_, err := c.Call(testContext(t), "pay", []byte("first"), key, client.WithTimeout(patience.Brief))
	rig.WantError(t, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
	again := c.Go(testContext(t), "pay", []byte("second"), key)
	patience.Eventually(t, "the second call is on its way", func() bool { return c.Stats().Pending == 2 })
	close(release)
	// The server refuses the first as expired, which is true of the first alone.
	reply, err := again.Result()
	if err != nil || string(reply.Body) != "second" {
		t.Fatalf("%v, %v", reply, err)
	}
	if ran.Load() != 1 {
		t.Errorf("the handler ran %d times", ran.Load())
	}
	if _, err := slow.Result(); err != nil {
		t.Error(err)
	}
	patience.Eventually(t, "the refusal is dropped", func() bool { return c.Stats().LateReplies == 1 })
}

func TestReplyToAnotherServersMethodIsNotRun(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, serveEcho("first"))
	other := newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "second"}, func(context.Context, *warren.Request) (*warren.Reply, error) {
			t.Error("the reply was run as a request")
			return nil, nil
		})
	})
	p := newPlainPeer(t, url)
	p.Publish("first", plainRequest("second"))
	patience.Eventually(t, "the reply is dropped", func() bool { return other.Stats().Dropped == 1 })
}
