package boltstore

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// op is one operation that waits for a commit, or is part of one.
type op struct {
	name   string
	weight int  // bytes that it holds
	ends   bool // it records the end of a call
	// placed says that what it changes goes to its place at once: it is large, is for a
	// sweep, or commits together with what the application changes.
	placed bool
	// apply does it to a batch. It may be called again, with a batch in which what
	// it did is undone; its error is the operation's own, and not that of others.
	apply func(*batch) error
	// turn, if it is not nil, makes it one that runs a function of the application
	// on the goroutine of its caller: that takes the transaction from turn, and
	// answers to returned.
	turn     chan *bbolt.Tx
	returned chan fnResult
	call     func(*bbolt.Tx)
	failure  error // of the function, for which the batch was rolled back

	begun atomic.Bool   // set by whoever decides its fate: the commit, or its caller who leaves
	left  bool          // its caller has left, and it is in the queue still
	own   error         // what apply returned
	err   error         // set before done has its token
	done  chan struct{} // has room for a token: it has ended
}

// finish ends an operation. It is called once, and is the last that a commit does with it.
func (o *op) finish(err error) {
	o.err = err
	o.done <- struct{}{}
}

// do has an operation committed and returns how that ended.
func (s *Store) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if o.done == nil {
		o.done = make(chan struct{}, 1)
	}
	if err := s.queue.add(o); err != nil {
		return err
	}
	if o.turn == nil {
		s.lead()
	} else {
		s.queue.signal() // its caller is needed for its function
	}
	select {
	case <-o.done: // asking a context for its end may cost a timer
		return o.err
	default:
	}
	cancelled := ctx.Done()
	for {
		select {
		case <-o.done:
			return o.err
		case tx := <-o.turn:
			o.call(tx)
		case <-cancelled:
			if !o.begun.Swap(true) {
				o.left = true
				return ctx.Err()
			}
			cancelled = nil // it is being committed: its end is near
		}
	}
}

// claimOp and completeOp are the operations that each call needs. They are used again, but
// for those that were left in the queue.
type claimOp struct {
	op

	claim  store.Claim
	record store.Record
	won    bool
}

type completeOp struct {
	op

	key       store.Key
	token     uint64
	result    store.Result
	retention time.Duration
}

var (
	claimOps = sync.Pool{New: func() any {
		o := &claimOp{op: op{name: "claim"}}
		o.apply = func(b *batch) (err error) {
			o.record, o.won, err = b.claim(o.claim)
			return err
		}
		return o
	}}
	completeOps = sync.Pool{New: func() any {
		o := &completeOp{op: op{name: "complete", ends: true}}
		o.apply = func(b *batch) error { return b.complete(o.key, o.token, o.result, o.retention) }
		return o
	}}
)

// again makes an operation that has ended one that can be used again.
func (o *op) again() {
	o.begun.Store(false)
	o.own, o.err = nil, nil
}
