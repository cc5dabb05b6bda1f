package server

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/warren-rpc/warren/store"
)

// lease renews the lease of a claim while its attempt is under way.
//
// What a server renews it renews at the same moments, so that a store which commits
// together what comes together has one transaction for all. An attempt that is shorter
// than that costs a timer, and no goroutine.
type lease struct {
	claim *claim
	lost  context.CancelCauseFunc // of the attempt's context

	mu      sync.Mutex
	timer   *time.Timer
	stopped bool
	cancel  context.CancelFunc // of the renewal under way
	renewal sync.WaitGroup
}

// errLeaseLost is the cause of a handler's context that ends because another
// server has taken the call.
var errLeaseLost = errors.New("warren: another server has taken the call")

// keepLease renews the claim's lease until stop is called. The context ends when
// that fails because somebody else has the call.
func (c *claim) keepLease(ctx context.Context) (_ context.Context, stop func()) {
	leased, lost := context.WithCancelCause(ctx)
	l := &lease{claim: c, lost: lost, cancel: func() {}}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timer = time.AfterFunc(untilRenewal(c.m.Dedupe.Lease), l.renew)
	return leased, l.stop
}

// untilRenewal is how long from now the next common moment is: after a third of a lease
// at most, and more than a fifth.
func untilRenewal(lease time.Duration) time.Duration {
	now := time.Now()
	return now.Add(lease / 3).Truncate(lease / 8).Sub(now)
}

func (l *lease) renew() {
	length := l.claim.m.Dedupe.Lease
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), length)
	l.cancel = cancel
	l.renewal.Add(1)
	l.mu.Unlock()
	defer l.renewal.Done()
	defer cancel()
	if err := l.claim.store.Renew(ctx, l.claim.ex.id.key, l.claim.token, length); errors.Is(err, store.ErrStale) {
		l.lost(errLeaseLost)
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.stopped {
		l.timer.Reset(untilRenewal(length))
	}
}

// stop ends the renewals, and returns when none is under way.
func (l *lease) stop() {
	l.mu.Lock()
	l.stopped = true
	l.timer.Stop()
	l.cancel()
	l.mu.Unlock()
	l.renewal.Wait()
	l.lost(nil)
}
