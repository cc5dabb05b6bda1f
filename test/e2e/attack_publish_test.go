package e2e

import (
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rabbit"
)

// A notification has nothing but the broker's word: a return that is read after
// its confirm would turn a message that nobody got into a success.
func TestNoReturnIsOvertakenByItsConfirm(t *testing.T) {
	t.Parallel()
	c := newClient(t, rabbit.VHost(t), func(cfg *client.Config) {
		// A breaker would soon refuse to publish what nobody takes.
		cfg.Policies.Methods = map[string]reliability.Policy{"*": {Breaker: reliability.BreakerPolicy{Off: new(true)}}}
	})
	const workers, each = 64, 300
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := c.Notify(testContext(t), "nobody.home", nil, client.WithTimeout(10*time.Second))
				e, ok := warren.AsError(err)
				if !ok || e.Reason != warren.ReasonNoRoute || e.Outcome != warren.NotExecuted {
					t.Errorf("a notification that no queue took ended with: %v", err)
				}
			}
		})
	}
	wg.Wait()
	if st := c.Stats(); st.Returned != workers*each {
		t.Errorf("%d returns were seen; want %d", st.Returned, workers*each)
	}
}
