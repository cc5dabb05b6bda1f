package e2e

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestServerThatFailsLeavesItsQueueToAHealthyOneAndComesBack(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	var failing atomic.Bool
	failing.Store(true)
	bad := newServer(t, url, func(s *server.Server) error {
		m := server.Method{
			Name: "guarded", Concurrency: 1, Prefetch: 20,
			KillSwitch: server.KillSwitch{Failures: 0.5, Volume: 4, Open: 4 * time.Second, Probes: 2},
		}
		return s.HandleRaw(m, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if failing.Load() {
				return nil, errors.New("broken")
			}
			return rig.Echo(ctx, req)
		})
	})
	c := newClient(t, url)
	const calls = 40
	var futures []*client.Future
	for range calls {
		futures = append(futures, c.Go(testContext(t), "guarded", nil, client.WaitForServer()))
	}
	patience.Eventually(t, "the kill switch trips", func() bool { return bad.Stats().Trips > 0 })
	// What the failing server had fetched waits for the other one.
	healthy := newServer(t, url, serveEcho("guarded"))
	failed := 0
	for _, f := range futures {
		if _, err := f.Result(); err != nil {
			rig.WantError(t, err, warren.CodeUnknown, "", warren.Executed)
			failed++
		}
	}
	// One more for each probe, if all of this was slow.
	if st := bad.Stats(); failed > 3+int(st.Trips) || st.Handled != uint64(failed) || healthy.Stats().Handled != uint64(calls-failed) {
		t.Errorf("%d calls failed; %+v; %+v", failed, st, healthy.Stats())
	}
	failing.Store(false)
	before := bad.Stats().Handled
	patience.Eventually(t, "the failing server is back", func() bool {
		_, err := c.Call(testContext(t), "guarded", nil)
		if err != nil {
			t.Errorf("while it came back: %v", err)
		}
		st := bad.Stats()
		return st.Tripped == 0 && st.Handled > before+10
	})
}
