package boltstore

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"go.etcd.io/bbolt"

	"github.com/warren-rpc/warren/store"
)

// op is one operation that waits for a commit, or is part of one.
type op struct {
	name   string
	weight int  // bytes that it holds
	ends   bool // it records the end of a call
	// apply does it to a batch. It may be called again, with a batch in which what
	// it did is undone; its error is the operation's own, and not that of others.
	apply func(*batch) error
	// turn, if it is not nil, makes it one that runs a function of the application
	// on the goroutine of its caller: that takes the transaction from turn, and
	// answers to ended.
	turn    chan *bbolt.Tx
	ended   chan verdict
	call    func(*bbolt.Tx)
	verdict error // why the function spoiled the commit

	begun atomic.Bool // set by whoever decides its fate: the commit, or its caller who leaves
	own   error       // what apply returned
	err   error       // set before done is closed
	done  chan struct{}
}

// settle ends an operation. It is called once.
func (o *op) settle(err error) {
	o.err = err
	close(o.done)
}

// line holds the operations that wait, in the order in which they came.
type line struct {
	mu     sync.Mutex
	ops    []*op
	closed error // nil while it takes operations
	wake   chan struct{}
}

func newLine() *line { return &line{wake: make(chan struct{}, 1)} }

func (l *line) poke() {
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// add puts o in line.
func (l *line) add(o *op) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed != nil {
		return l.closed
	}
	l.ops = append(l.ops, o)
	return nil
}

// take returns the operations of the next commit, of which at most width run
// functions of the application, and how many others wait.
func (l *line) take(width int) (taken []*op, waiting int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	weight := 0
	rest := l.ops[:0]
	for _, o := range l.ops {
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
	clear(l.ops[len(rest):])
	l.ops = rest
	if len(rest) > 0 {
		l.poke()
	}
	return taken, len(rest)
}

func (l *line) length() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.ops)
}

// close refuses all operations from here on, and ends those that wait. ErrClosed
// takes the place of what it was closed with before.
func (l *line) close(err error) {
	l.mu.Lock()
	ops := l.ops
	l.ops = nil
	if l.closed == nil || errors.Is(err, store.ErrClosed) {
		l.closed = err
	}
	l.mu.Unlock()
	for _, o := range ops {
		if !o.begun.Swap(true) {
			o.settle(err)
		}
	}
}

// do has an operation committed and returns how that ended.
func (s *Store) do(ctx context.Context, o *op) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	o.done = make(chan struct{})
	if err := s.line.add(o); err != nil {
		return err
	}
	if o.turn == nil {
		s.lead()
	} else {
		s.line.poke() // its caller is needed for its function
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
			cancelled = nil // it is under way: its end is near
		}
	}
}

// refusal is what the store answers to everything, or nil.
func (s *Store) refusal() error {
	s.line.mu.Lock()
	defer s.line.mu.Unlock()
	return s.line.closed
}

// fail ends the store's service for good.
func (s *Store) fail(err error) {
	s.opts.Logger.Error("the store has stopped", "path", s.path, "error", err)
	s.line.close(err)
}

var _ store.Transactional[*bbolt.Tx] = (*Store)(nil)
