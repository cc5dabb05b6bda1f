package amqptest

import (
	"sync"
	"sync/atomic"
	"time"
)

// passes says whether a decision changes nothing.
func (dec *decision) passes() bool {
	return !dec.drop && dec.delay == 0 && dec.copies == 0 && dec.hold == 0 && !dec.severBefore && !dec.severAfter &&
		dec.confirm == confirmNormally && !dec.unroutable && !dec.corrupt && dec.stall == 0 && !dec.halfOpen &&
		dec.closeChannel == nil && dec.closeConnection == nil && len(dec.after) == 0
}

// runEffects runs what a fault does besides, and waits for it unless it ends this connection.
func (c *conn) runEffects(list []func()) {
	if len(list) == 0 {
		return
	}
	done := make(chan struct{})
	c.b.effects.Go(func() {
		defer close(done)
		for _, f := range list {
			f()
		}
	})
	select {
	case <-done:
	case <-c.ending:
	}
}

// besides runs something next to the reader and the writer. Only they may call it.
func (c *conn) besides(f func()) {
	c.workers.Go(f)
}

// stall is a time during which nothing is read.
type stall struct {
	on    atomic.Bool
	mu    sync.Mutex
	until time.Time // zero: for ever
}

// begin stalls for d from now, or for ever if d is negative. A stall that is longer stays.
func (s *stall) begin(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	until := time.Now().Add(d)
	switch {
	case s.on.Load() && s.until.IsZero():
		return
	case d < 0:
		until = time.Time{}
	case s.on.Load() && s.until.After(until):
		return
	}
	s.until = until
	s.on.Store(true)
}

// await waits until the stall is over or ending is closed.
func (s *stall) await(ending <-chan struct{}) {
	for {
		s.mu.Lock()
		until := s.until
		rest := time.Until(until)
		if !until.IsZero() && rest <= 0 {
			s.on.Store(false)
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
		var over <-chan time.Time // for ever
		if !until.IsZero() {
			timer := time.NewTimer(rest)
			defer timer.Stop()
			over = timer.C
		}
		select {
		case <-over:
		case <-ending:
			return
		}
	}
}
