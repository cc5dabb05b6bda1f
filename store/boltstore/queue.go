package boltstore

import (
	"errors"
	"sync"

	"github.com/warren-rpc/warren/store"
)

// commitQueue holds the operations that wait for a commit, in the order in which they came.
type commitQueue struct {
	mu     sync.Mutex
	ops    []*op
	taken  []*op         // of the commit that is being made
	closed error         // nil while it takes operations
	wake   chan struct{} // one token: somebody should commit what waits
}

func newCommitQueue() *commitQueue { return &commitQueue{wake: make(chan struct{}, 1)} }

func (q *commitQueue) signal() {
	select {
	case q.wake <- struct{}{}:
	default:
	}
}

func (q *commitQueue) add(o *op) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed != nil {
		return q.closed
	}
	q.ops = append(q.ops, o)
	return nil
}

// take returns the operations of the next commit, of which at most width run
// functions of the application, and how many others wait. What it returns is valid until
// it is called again.
func (q *commitQueue) take(width int) (taken []*op, waiting int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	weight := 0
	clear(q.taken)
	taken, rest := q.taken[:0], q.ops[:0]
	for _, o := range q.ops {
		heavy := len(taken) > 0 && weight+o.weight > maxWeight
		if len(taken) == maxOps || heavy || (o.turn != nil && width == 0) {
			rest = append(rest, o)
			continue
		}
		if o.begun.Swap(true) {
			continue // its caller has left
		}
		if o.turn != nil {
			width--
		}
		weight += o.weight
		taken = append(taken, o)
	}
	q.taken = taken
	clear(q.ops[len(rest):])
	q.ops = rest
	if len(rest) > 0 {
		q.signal()
	}
	return taken, len(rest)
}

func (q *commitQueue) length() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.ops)
}

// close refuses all operations from here on with err, and ends those that wait. ErrClosed
// replaces what the queue was closed with before.
func (q *commitQueue) close(err error) {
	q.mu.Lock()
	ops := q.ops
	q.ops = nil
	if q.closed == nil || errors.Is(err, store.ErrClosed) {
		q.closed = err
	}
	q.mu.Unlock()
	for _, o := range ops {
		if !o.begun.Swap(true) {
			o.finish(err)
		}
	}
}

// refusal is what the store answers to everything, or nil.
func (q *commitQueue) refusal() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.closed
}
