package policy

import (
	"sync/atomic"

	"github.com/warren-rpc/warren"
)

// Bulkhead bounds the calls of one method that are in flight, so that a slow
// method leaves room for others. It never waits and allocates only to refuse.
// All methods are safe for concurrent use.
type Bulkhead struct {
	bound, inFlight atomic.Int64
}

// NewBulkhead returns an empty bulkhead with that policy.
func NewBulkhead(p BulkheadPolicy) *Bulkhead {
	b := &Bulkhead{}
	b.Update(p)
	return b
}

// Acquire takes a place, to be given back by Release, or returns
// resource_exhausted/queue_full, NotExecuted, if all are taken.
func (b *Bulkhead) Acquire() *warren.Error {
	for {
		n, bound := b.inFlight.Load(), b.bound.Load()
		if bound > 0 && n >= bound {
			return &warren.Error{
				Code: warren.CodeResourceExhausted, Reason: warren.ReasonQueueFull, Outcome: warren.NotExecuted,
				Message: "as many calls of the method are in flight as its bulkhead has room for",
			}
		}
		if b.inFlight.CompareAndSwap(n, n+1) {
			return nil
		}
	}
}

// Release gives back the place that one Acquire took. It panics if none is
// taken: the bound would hold no more.
func (b *Bulkhead) Release() {
	if b.inFlight.Add(-1) < 0 {
		panic("policy: Release of a Bulkhead that was not acquired")
	}
}

// InFlight returns how many places are taken. They are counted also while there
// is no bound.
func (b *Bulkhead) InFlight() int { return int(b.inFlight.Load()) }

// Update replaces the policy. Calls in flight keep their places: with a lower
// bound none is let in until enough of them have ended.
func (b *Bulkhead) Update(p BulkheadPolicy) { b.bound.Store(int64(p.Calls)) }
