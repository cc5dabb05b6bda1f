package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// warrenThrough starts a server, directly on a broker, and a client that reaches
// it through a proxy.
func warrenThrough(t *testing.T) (*proxy.Proxy, *client.Client) {
	t.Helper()
	url := rabbit.VHost(t)
	rig.StartServer(t, server.Config{Broker: warren.Broker{URLs: []string{url}}}, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "echo", Queue: server.Queue{Type: server.Classic}}, rig.Echo)
	})
	p := newProxy(t, rabbit.Shared(t).Addr(), proxy.Options{})
	c, err := client.New(client.Config{
		Broker: warren.Broker{URLs: []string{p.URL(url)}, Heartbeat: 2 * time.Second}, Logger: silent,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return p, c
}

// call makes one idempotent call.
func call(t *testing.T, c *client.Client, body string, timeout time.Duration) error {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	reply, err := c.Call(ctx, "echo", []byte(body), client.Idempotent())
	if err == nil && string(reply.Body) != body {
		t.Fatalf("the reply to %q is %q", body, reply.Body)
	}
	return err
}

func TestCallsAreAnsweredDespiteEveryKindOfFault(t *testing.T) {
	t.Parallel()
	p, c := warrenThrough(t)
	if err := call(t, c, "first", patience.Soon); err != nil {
		t.Fatal(err)
	}
	for _, kind := range proxy.Kinds {
		fault := proxy.Random(1, 1, 200*time.Millisecond, kind)
		fault[0].Direction = proxy.Both
		before := p.Stats()
		ran := make(chan error, 1)
		go func() { ran <- p.Run(t.Context(), fault, nil) }()
		for i := 0; ; i++ {
			if err := call(t, c, fmt.Sprint(kind, i), patience.Soon); err != nil {
				t.Errorf("during %v: %v", fault[0], err)
			}
			if len(ran) > 0 {
				break
			}
		}
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := call(t, c, "after", patience.Soon); err != nil {
			t.Errorf("after %v: %v", fault[0], err)
		}
		switch kind {
		case proxy.Reset, proxy.Close, proxy.HalfOpen, proxy.Refuse:
			if after := p.Stats(); after.Cut == before.Cut || after.Accepted == before.Accepted {
				t.Errorf("%v: stats %+v, then %+v; want connections cut and made again", kind, before, after)
			}
		default:
		}
	}
}

func TestACallThroughAStallEndsByItsDeadline(t *testing.T) {
	t.Parallel()
	p, c := warrenThrough(t)
	if err := call(t, c, "first", patience.Soon); err != nil {
		t.Fatal(err)
	}
	p.Shape(proxy.Down, proxy.Shape{Stall: true})
	var e *warren.Error
	if err := call(t, c, "stalled", patience.Brief); !errors.As(err, &e) || e.Outcome != warren.Unknown {
		t.Errorf("the error is %v; want one whose outcome is unknown", err)
	}
	p.Shape(proxy.Down, proxy.Shape{})
	if err := call(t, c, "after", patience.Soon); err != nil {
		t.Error(err)
	}
}
