package e2e

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// load calls echo a hundred times a second, whatever becomes of the calls, until
// stop is called, which waits for them. Each is told to ended.
func load(c *client.Client, ended func(error)) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var calls sync.WaitGroup
	calls.Go(func() {
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			calls.Go(func() {
				_, err := c.Call(context.Background(), "echo", []byte("x"), client.Idempotent(), client.WaitForServer())
				ended(err)
			})
		}
	})
	return func() {
		cancel()
		calls.Wait()
	}
}

func TestServersRestartIsInvisibleToCallersThatWait(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	victim := startServer(t, url, "echo", "")
	c := newClient(t, url, func(cfg *client.Config) {
		cfg.Policies = reliability.Rules{Methods: map[string]reliability.Policy{"*": {Timeout: &patience.Soon}}}
	})
	var answered, failed atomic.Int64
	stop := load(c, func(err error) {
		if err != nil {
			failed.Add(1)
			t.Error(err)
			return
		}
		answered.Add(1)
	})
	for range 2 {
		since := answered.Load()
		patience.Eventually(t, "calls are answered", func() bool { return answered.Load() > since+50 })
		if err := victim.cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		<-victim.done
		victim = startServer(t, url, "echo", "")
	}
	since := answered.Load()
	patience.Eventually(t, "calls are answered", func() bool { return answered.Load() > since+50 })
	stop()
	st := c.Stats()
	t.Logf("%d were answered, %d failed; %+v", answered.Load(), failed.Load(), st)
	if st.Pending != 0 {
		t.Errorf("%d calls are pending", st.Pending)
	}
}

func TestBrokersOutageEndsWithoutARetryStorm(t *testing.T) {
	t.Parallel()
	// Most calls give up during the outage, or all of them wait for its end.
	for _, timeout := range []time.Duration{500 * time.Millisecond, 10 * time.Second} {
		t.Run(timeout.String(), func(t *testing.T) {
			t.Parallel()
			outageEndsWithoutAStorm(t, timeout)
		})
	}
}

func outageEndsWithoutAStorm(t *testing.T, timeout time.Duration) {
	const normal, outage = 100, 10 * time.Second
	node := rabbit.New(t, rabbit.Options{})
	newServer(t, node.URL(), serveEcho("echo"))
	c := newClient(t, node.URL(), func(cfg *client.Config) {
		cfg.Policies = reliability.Rules{Methods: map[string]reliability.Policy{"*": {Timeout: &timeout}}}
	})
	var answered atomic.Int64
	stop := load(c, func(err error) {
		if err == nil {
			answered.Add(1)
		}
	})
	patience.Eventually(t, "calls are answered", func() bool { return answered.Load() > 200 })
	node.Kill()
	time.Sleep(outage)
	if err := node.Restart(context.Background()); err != nil {
		t.Fatal(err)
	}
	back, before, attempts := time.Now(), answered.Load(), c.Stats().Attempts
	patience.Eventually(t, "a request goes out", func() bool { return c.Stats().Attempts > attempts })
	began := time.Now()
	time.Sleep(time.Second)
	perSecond := float64(c.Stats().Attempts-attempts) / time.Since(began).Seconds()
	patience.Eventually(t, "calls are answered", func() bool { return answered.Load() > before })
	took := time.Since(back)
	patience.Eventually(t, "calls are answered as before", func() bool { return answered.Load() > before+200 })
	stop()
	t.Logf("%.0f requests a second at first, answered within %v of the return; %+v", perSecond, took, c.Stats())
	if perSecond > 2*normal {
		t.Errorf("%.0f requests a second at first; the normal rate is %d", perSecond, normal)
	}
	if took > patience.Soon/4 {
		t.Errorf("calls were answered %v after the broker's return", took)
	}
}
