package e2e

import (
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/rabbit"
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
	eventually(t, "the bodies are freed", func() bool {
		runtime.GC()
		return freed.Load() > calls*9/10
	})
}
