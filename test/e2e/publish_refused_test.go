package e2e

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// The bounds of the broker in these tests. The library's own are larger.
const (
	smallFrame   = 4096
	smallMessage = 64 << 10
)

// refusals is what may be asked of the methods of serveRefusals: each breaks one
// bound of the broker.
var refusals = struct{ header, body string }{strings.Repeat("h", smallFrame+1000), strings.Repeat("b", smallMessage+1)}

// serveRefusals serves replies that the broker does not take, and echo.
func serveRefusals(runs *atomic.Int64) func(*server.Server) error {
	methods := map[string]warren.Handler{
		"echo": rig.Echo,
		"header": func(context.Context, *warren.Request) (*warren.Reply, error) {
			runs.Add(1)
			return &warren.Reply{Header: warren.Header{"k": refusals.header}}, nil
		},
		"body": func(context.Context, *warren.Request) (*warren.Reply, error) {
			runs.Add(1)
			return &warren.Reply{Body: []byte(refusals.body)}, nil
		},
	}
	return func(s *server.Server) error {
		for name, h := range methods {
			if err := s.HandleRaw(rig.Named(name), h); err != nil {
				return err
			}
		}
		return nil
	}
}

// neighbours makes calls that may not be repeated until stop is called, which says
// how many there were. Each must be answered.
func neighbours(t *testing.T, c *client.Client) (stop func() int64) {
	done := make(chan struct{})
	var calls atomic.Int64
	var running sync.WaitGroup
	for range 16 {
		running.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if reply, err := c.Call(testContext(t), "echo", []byte("x")); err != nil || string(reply.Body) != "x" {
					t.Errorf("a neighbour ended with %+v, %v", reply, err)
				}
				calls.Add(1)
			}
		})
	}
	return sync.OnceValue(func() int64 {
		close(done)
		running.Wait()
		return calls.Load()
	})
}

// A publish that the broker does not take ends alone, at once, and truly; what
// shares its channel or connection is answered.
func TestPublishThatTheBrokerRefusesEndsAlone(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{Config: []string{"frame_max = 4096", "max_message_size = 65536"}})
	url, err := node.AddVHost(testContext(t), "refusals")
	if err != nil {
		t.Fatal(err)
	}
	var runs atomic.Int64
	s := newServer(t, url, serveRefusals(&runs))
	asSomebody := func(next warren.Handler) warren.Handler {
		return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if string(req.Body) == "as somebody" {
				req.UserID = "somebody"
			}
			return next(ctx, req)
		}
	}
	c := newClient(t, url, func(cfg *client.Config) { cfg.Interceptors = []warren.Interceptor{asSomebody} })
	for _, test := range []struct {
		name, method, body string
		header             string
		code               warren.Code
		reason             string
		outcome            warren.Outcome
		says               string
		runs               uint64
	}{
		{
			name: "headers of a request", method: "echo", header: refusals.header,
			code: warren.CodeInvalidArgument, reason: warren.ReasonBadRequest, outcome: warren.NotExecuted, says: "4096",
		},
		{
			name: "body of a request", method: "echo", body: refusals.body,
			code: warren.CodeResourceExhausted, reason: warren.ReasonRequestTooLarge, outcome: warren.NotExecuted,
			says: "message size 65537 is larger than configured max size 65536",
		},
		{
			name: "user", method: "echo", body: "as somebody",
			code: warren.CodePermissionDenied, reason: warren.ReasonNotPermitted, outcome: warren.NotExecuted,
			says: "user_id property set to 'somebody' but authenticated user was 'guest'",
		},
		{
			name: "headers of a reply", method: "header", runs: 1,
			code: warren.CodeResourceExhausted, reason: warren.ReasonReplyTooLarge, outcome: warren.Executed, says: "4096",
		},
		{
			name: "body of a reply", method: "body", runs: 1,
			code: warren.CodeResourceExhausted, reason: warren.ReasonReplyTooLarge, outcome: warren.Executed,
			says: "message size 65537 is larger than configured max size 65536",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			stop := neighbours(t, c)
			defer stop()
			for i := range 10 {
				runs.Store(0)
				began := time.Now()
				_, err := c.Call(testContext(t), test.method, []byte(test.body), client.Idempotent(), client.WithHeader("k", test.header))
				e := rig.WantError(t, err, test.code, test.reason, test.outcome)
				if took := time.Since(began); took > 5*time.Second {
					t.Errorf("call %d: it took %v", i, took)
				}
				if !strings.Contains(e.Message, test.says) || e.Attempts != 1 || uint64(runs.Load()) != test.runs {
					t.Errorf("call %d: %+v after %d runs; want one attempt, %d runs, and %q in the message",
						i, e, runs.Load(), test.runs, test.says)
				}
			}
			if n := stop(); n == 0 {
				t.Error("there were no neighbours")
			}
			if cs, ss := c.Stats(), s.Stats(); cs.Reconnects+ss.Reconnects > 0 {
				t.Errorf("connections were lost: client %+v, server %+v", cs, ss)
			}
		})
	}
	// The first of each kind closes a channel, and teaches the bound; what was written
	// before it on that channel, and not confirmed, is sent again.
	if st := s.Stats(); st.RepliesRetried > 64 || st.Undelivered > 0 {
		t.Errorf("the server: %+v", st)
	}
}
