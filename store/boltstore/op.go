package boltstore

import (
	"context"
	"sync/atomic"

	"go.etcd.io/bbolt"
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

	begun atomic.Bool // set by whoever decides its fate: the commit, or its caller who leaves
	own   error       // what apply returned
	err   error       // set before done is closed
	done  chan struct{}
}

// finish ends an operation. It is called once.
func (o *op) finish(err error) {
	o.err = err
	close(o.done)
}

// do has an operation committed and returns how that ended.
func (s *Store) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.done = make(chan struct{})
	if err := s.queue.add(o); err != nil {
		return err
	}
	if o.turn == nil {
		s.lead()
	} else {
		s.queue.signal() // its caller is needed for its function
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
				return ctx.Err()
			}
			cancelled = nil // it is being committed: its end is near
		}
	}
}
