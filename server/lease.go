package server

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren/store"
)

// errLeaseLost is the cause of a handler's context that ends because another
// server has taken the call.
var errLeaseLost = errors.New("warren: another server has taken the call")

// keepLease renews the claim's lease until stop is called. The context ends when
// that fails because somebody else has the call.
func (at *attempt) keepLease(ctx context.Context) (_ context.Context, stop func()) {
	leased, cancel := context.WithCancelCause(ctx)
	renewing, stopRenewing := context.WithCancel(context.Background())
	lease := at.m.Dedupe.Lease
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-renewing.Done():
				return
			case <-tick.C:
			}
			bounded, cancelRenew := context.WithTimeout(renewing, lease)
			err := at.store.Renew(bounded, at.a.id.key, at.token, lease)
			cancelRenew()
			if errors.Is(err, store.ErrStale) {
				cancel(errLeaseLost)
				return
			}
		}
	}()
	return leased, func() {
		stopRenewing()
		<-ended
		cancel(nil)
	}
}
