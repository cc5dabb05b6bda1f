package e2e

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// underLoad makes so many calls of echo, 128 at a time, each of which must be answered
// with its own body. Each is told to after when it has ended.
func underLoad(t *testing.T, c *client.Client, calls int, after func(ended int64)) {
	t.Helper()
	var next, ended atomic.Int64
	var wg sync.WaitGroup
	for range 128 {
		wg.Go(func() {
			for n := next.Add(1); n <= int64(calls); n = next.Add(1) {
				body := fmt.Sprint("body ", n)
				reply, err := c.Call(context.Background(), "echo", []byte(body), client.WithTimeout(patience.Soon))
				if err != nil || string(reply.Body) != body {
					t.Errorf("call %d: %v, %v", n, reply, err)
				}
				after(ended.Add(1))
			}
		})
	}
	wg.Wait()
}

func TestRepliesTravelTogetherUnderLoad(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*client.Config){
		"a named reply queue":      func(*client.Config) {},
		"an exclusive reply queue": func(cfg *client.Config) { cfg.ReplyQueue.Exclusive = true },
		"one by one":               func(cfg *client.Config) { cfg.RepliesOneByOne = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.VHost(t)
			s := newServer(t, url, serveEcho("echo"))
			c := newClient(t, url, change)
			const calls = 4000
			underLoad(t, c, calls, func(int64) {})
			ours, theirs := c.Stats(), s.Stats()
			if ours.Bundled != theirs.Bundled || (ours.Bundled == 0) != (name == "one by one") || ours.Replies != calls || ours.LateReplies != 0 {
				t.Errorf("%+v, %+v", ours, theirs)
			}
			t.Logf("%d of %d replies came with others", ours.Bundled, calls)
		})
	}
}

// The server's connections are cut while bundles are under way. Nothing is lost, and what
// comes back is not run again.
func TestRepliesOfBundlesSurviveTheServersConnections(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	p, through := newProxy(t, url)
	var runs atomic.Int64
	s := newServer(t, through, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "echo"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			runs.Add(1)
			return &warren.Reply{Body: req.Body}, nil
		})
	})
	c := newClient(t, url)
	const calls = 4000
	underLoad(t, c, calls, func(ended int64) {
		if ended%700 == 0 {
			p.cut()
		}
	})
	st := s.Stats()
	if st.Bundled == 0 || st.Reconnects == 0 || c.Stats().Replies != calls {
		t.Errorf("%+v, %+v", c.Stats(), st)
	}
	if runs.Load() != calls {
		t.Errorf("%d calls were run %d times", calls, runs.Load())
	}
	patience.Eventually(t, "all is acknowledged", func() bool {
		queues, err := rabbit.Shared(t).Queues(testContext(t), vhostOf(t, url))
		for _, q := range queues {
			if q.Name == "echo" {
				return err == nil && q.Messages == 0
			}
		}
		return false
	})
}

// A server that dies right after a bundle was written leaves the calls of all its replies
// to another one.
func TestCallsOfABundleAreAnsweredAfterTheirServerIsKilled(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	victim := startServer(t, url, "echo", crashpoint.ReplyPublished)
	c := newClient(t, url)
	var calls []*client.Future
	for i := range 200 {
		opts := []client.CallOption{client.WithTimeout(patience.Soon)}
		if i == 100 {
			opts = append(opts, client.WithCallID("victim"))
		}
		calls = append(calls, c.Go(context.Background(), "echo", fmt.Append(nil, i), opts...))
	}
	<-victim.done
	startServer(t, url, "echo", "")
	for i, call := range calls {
		if reply, err := call.Result(); err != nil || string(reply.Body) != fmt.Sprint(i) || reply.Attempts != 1 {
			t.Errorf("call %d: %v, %v", i, reply, err)
		}
	}
	if st := c.Stats(); st.Bundled == 0 || st.Replies != 200 {
		t.Errorf("%+v", st)
	}
}
