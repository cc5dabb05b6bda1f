package e2e

import (
	"context"
	"fmt"
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// Two servers with a file each, as a set of two replicas with a volume each has, keep
// out of each other's way by the owner's queue as long as both live. When the first
// one dies with calls at work, the other knows nothing of them.
func TestStandbyWithAFileOfItsOwnRunsNothingAgain(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	first := bankSpec{URL: url, Folder: t.TempDir(), Mode: server.AtMostOnce}
	second := bankSpec{URL: url, Folder: t.TempDir(), Mode: server.AtMostOnce}
	first.Point, first.Nth = crashpoint.EffectDone, 25
	serving := startBank(t, first)
	patience.Eventually(t, "the first bank serves", func() bool { return serving.count("ready") == 1 || serving.ended() })
	standby := startBank(t, second)

	c := newClient(t, url, func(cfg *client.Config) { cfg.NoServer = client.Wait })
	var calls sync.WaitGroup
	for i := range 60 {
		calls.Go(func() {
			// How each ends does not matter here: it is what the banks have done that does.
			_, _ = c.Call(context.Background(), "transfer", fmt.Appendf(nil, `{"from":0,"to":1,"amount":%d}`, 1+i%16),
				client.WithCallID(fmt.Sprintf("failover-%d", i)), client.WithContentType("application/json"),
				client.WithTimeout(10*time.Second), client.Idempotent())
		})
	}
	<-serving.done
	wantKilled(t, serving)
	patience.Eventually(t, "the standby is refused", func() bool { return standby.ended() || standby.count("ready") > 0 })
	again := startBank(t, second) // as what keeps it running does
	patience.Eventually(t, "the standby is refused again", func() bool { return again.ended() || again.count("ready") > 0 })
	spec, last := first, (*process)(nil)
	switch {
	case standby.count("ready") > 0:
		spec, last = second, standby
	case again.count("ready") > 0:
		spec, last = second, again
	default: // whoever has the store goes on with the method
		spec.Nth = 0
		last = startBank(t, spec)
		patience.Eventually(t, "the first bank serves again", func() bool { return last.count("ready") == 1 || last.ended() })
	}
	calls.Wait()
	kill(t, last)
	effects := effectsOf(t, first)
	if spec.Folder == second.Folder {
		t.Error("a server serves whose store has never heard of the calls")
		for id, n := range effectsOf(t, second) {
			effects[id] += n
		}
	}
	if len(effects) < 25 {
		t.Errorf("only %d calls had an effect", len(effects))
	}
	maps.DeleteFunc(effects, func(_ string, n int) bool { return n == 1 })
	if len(effects) > 0 {
		t.Errorf("calls had several effects: %v", effects)
	}
}
