package e2e

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// Calls that end while there is no connection leave nothing in the client: an
// outage may last for hours, and callers go on calling.
func TestCallsDuringAnOutageLeaveNoBodiesBehind(t *testing.T) {
	t.Parallel()
	p, through := newProxy(t, rabbit.VHost(t))
	p.close()
	c := newClient(t, through, func(cfg *client.Config) { cfg.NoServer = client.Wait })
	const calls = 500
	var freed atomic.Int64
	var wg sync.WaitGroup
	for range calls {
		wg.Go(func() {
			body := make([]byte, 64<<10)
			runtime.AddCleanup(&body[0], func(int) { freed.Add(1) }, 0)
			_, err := c.Call(testContext(t), "echo", body, client.WithTimeout(20*time.Millisecond))
			if warren.CodeOf(err) != warren.CodeDeadlineExceeded {
				t.Errorf("error is %v", err)
			}
		})
	}
	wg.Wait()
	patience.Eventually(t, "the bodies are freed", func() bool {
		runtime.GC()
		return freed.Load() > calls*9/10
	})
}

// Both the publish and the reply queue are lost with one connection: that is one
// reason to publish the call again, not two.
func TestCallIsRepublishedOnceForOneLoss(t *testing.T) {
	t.Parallel()
	base := rabbit.VHost(t)
	g := rig.NewGate()
	newServer(t, base, serveGate(g, "gate"))
	p, through := newProxy(t, base)
	c := newClient(t, through, func(cfg *client.Config) { cfg.ReplyQueue.Exclusive = true })
	for range 10 {
		if err := c.Ready(testContext(t)); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Ping(testContext(t), "gate"); err != nil {
			t.Fatal(err)
		}
		lost := c.Stats().Lost
		p.setStall(true)
		call := c.Go(testContext(t), "gate", nil, client.Idempotent(), client.WithAttempts(2), client.WaitForServer())
		patience.Eventually(t, "the call is pending", func() bool { return c.Stats().Pending == 1 })
		time.Sleep(20 * time.Millisecond) // it is written, and goes nowhere
		p.cut()
		p.setStall(false)
		patience.Eventually(t, "the publish is lost", func() bool { return c.Stats().Lost > lost })
		patience.Eventually(t, "the call has ended or runs", func() bool {
			select {
			case <-g.Entered:
				g.Release <- struct{}{}
				return true
			case <-call.Done():
				return true
			default:
				return false
			}
		})
		_, err := call.Result()
		if e, ok := warren.AsError(err); ok && e.Attempts > 2 {
			t.Errorf("error is %v", e)
		}
	}
	if st := c.Stats(); st.Republished > 10 {
		t.Errorf("%d calls of one repetition each were repeated %d times", 10, st.Republished)
	}
	close(g.Release)
}
