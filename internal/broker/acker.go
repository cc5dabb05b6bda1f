package broker

import (
	"runtime"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// AckObserver is told of the end of a delivery's acknowledgement.
type AckObserver interface {
	// Acked is called once, on the goroutine that writes acknowledgements: it
	// must not block. done says whether the acknowledgement was written, which proves
	// nothing, or after [Delivery.Settle] whether the broker has taken it.
	Acked(done bool)
}

// acker acknowledges the deliveries of one channel. It lives and dies with the
// channel: what is acknowledged after that goes nowhere, since the broker has
// put the message back and its tag may name another one by now.
//
// Acknowledgements are gathered: one with multiple set for all that are done
// from the oldest on, and single ones beyond a delivery that is still being
// worked on, so that a slow handler never closes the prefetch window.
type acker struct {
	s      *Session
	ch     acknowledger
	delay  time.Duration // how long few acknowledgements may wait for more
	enough int           // how many are not few
	// prefetch is that of the channel's consumer.
	prefetch int

	mu      sync.Mutex
	done    []uint64 // acknowledged by the handlers, not yet told to the broker
	after   []AckObserver
	settled []AckObserver // likewise, to be told when the broker has taken it
	spare   []uint64      // the buffer of done that is not in use
	running bool          // run is
	ended   bool          // nothing is queued any more
	taken   int           // deliveries that were handed out and are not acknowledged
	wake    chan struct{} // one token: run must not wait for more
	idle    chan struct{} // one token: taken fell to zero
	runs    sync.WaitGroup

	returning sync.Mutex // held while a message is put back
	closing   bool       // none is any more

	base  uint64  // every tag up to it is told; the flusher's own
	state []uint8 // of the tags after base: pending, ready or told; the flusher's own
}

// acknowledger is what an acker needs of an [amqp.Channel].
type acknowledger interface {
	Ack(tag uint64, multiple bool) error
	Nack(tag uint64, multiple, requeue bool) error
	Qos(count, size int, global bool) error
	IsClosed() bool
}

var _ acknowledger = (*amqp.Channel)(nil)

const (
	pending uint8 = iota
	ready
	told
)

func newAcker(s *Session, ch acknowledger, prefetch int, delay time.Duration, enough int) *acker {
	return &acker{
		s: s, ch: ch, prefetch: prefetch, delay: delay, enough: max(enough, 1), wake: make(chan struct{}, 1), idle: make(chan struct{}, 1),
	}
}

// take counts a delivery as being worked on.
func (a *acker) take() {
	a.mu.Lock()
	a.taken++
	a.mu.Unlock()
}

// ack queues the acknowledgement of tag. after, if not nil, is called once: when
// it was written, or when it never will be.
func (a *acker) ack(tag uint64, after AckObserver) { a.queue(tag, after, &a.after) }

// settle is ack for an observer that waits until the broker has taken it.
func (a *acker) settle(tag uint64, after AckObserver) { a.queue(tag, after, &a.settled) }

func (a *acker) queue(tag uint64, after AckObserver, observers *[]AckObserver) {
	a.mu.Lock()
	if a.ended {
		a.mu.Unlock()
		if after != nil {
			after.Acked(false)
		}
		return
	}
	a.done = append(a.done, tag)
	if after != nil {
		*observers = append(*observers, after)
	}
	switch {
	case !a.running:
		a.running = true
		a.runs.Go(a.run)
	case len(a.done) == a.enough || len(a.settled) == 1:
		notify(a.wake)
	}
	a.mu.Unlock()
}

// abandon counts a delivery as no longer worked on, without acknowledging it.
func (a *acker) abandon() { a.finished(1) }

// putBack returns a message to its queue at once, if the channel is not being
// closed, which returns it too. Its tag stays pending, so that nothing
// acknowledges it together with others.
func (a *acker) putBack(tag uint64) {
	a.returning.Lock()
	defer a.returning.Unlock()
	if !a.closing {
		_ = a.ch.Nack(tag, false, true) // fails with the channel, which returns all
	}
}

func (a *acker) finished(n int) {
	a.mu.Lock()
	a.taken -= n
	idle := a.taken == 0
	a.mu.Unlock()
	if idle {
		notify(a.idle)
	}
}

// outstanding tells how many deliveries are being worked on.
func (a *acker) outstanding() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.taken
}

// run writes acknowledgements until there are none.
func (a *acker) run() {
	for {
		a.gather()
		a.flush()
		a.mu.Lock()
		a.running = len(a.done) > 0
		more := a.running
		a.mu.Unlock()
		if !more {
			return
		}
	}
}

// gather waits for more acknowledgements to be told in one write: for those
// that are ready in any case, and for the delay while they are few.
func (a *acker) gather() {
	runtime.Gosched()
	if a.delay == 0 || a.urgent() {
		return
	}
	timer := time.NewTimer(a.delay)
	defer timer.Stop()
	for !a.urgent() {
		select {
		case <-a.wake:
		case <-timer.C:
			return
		case <-a.s.Done():
			return
		}
	}
}

// urgent reports whether what there is should not wait for more.
func (a *acker) urgent() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ended || len(a.done) >= a.enough || len(a.settled) > 0
}

// stop tells what is done. It returns when nothing will be told any more: an
// acknowledgement that follows the channel's close ends the connection.
func (a *acker) stop() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	notify(a.wake)
	a.runs.Wait()
	a.returning.Lock()
	a.closing = true
	a.returning.Unlock()
}

func (a *acker) flush() {
	a.mu.Lock()
	done, after, settled := a.done, a.after, a.settled
	a.done, a.after, a.settled, a.spare = a.spare[:0], nil, nil, nil
	a.mu.Unlock()
	if len(done) == 0 {
		return
	}
	written := a.s.Err() == nil && !a.ch.IsClosed()
	if written {
		a.s.sock.Cork()
		a.tell(done)
		a.s.sock.Uncork()
	}
	for _, f := range after {
		f.Acked(written)
	}
	if len(settled) > 0 {
		taken := written && a.answered()
		for _, f := range settled {
			f.Acked(taken)
		}
	}
	a.finished(len(done))
	a.mu.Lock()
	a.spare = done
	a.mu.Unlock()
}

// answered reports whether the broker has taken what was told to it: it works off a
// channel in order, and has answered a question that came later. The question is for
// the prefetch of consumers to come, of which this channel has none.
func (a *acker) answered() bool {
	return a.s.do("settle", func() error { return a.ch.Qos(a.prefetch, 0, false) }) == nil
}

// tell writes the acknowledgements of the tags. Errors are the channel's end,
// after which the broker delivers again what it did not hear of.
func (a *acker) tell(tags []uint64) {
	for _, tag := range tags {
		if tag <= a.base {
			continue // told before, against the contract: to tell it again would end the channel
		}
		for uint64(len(a.state)) < tag-a.base {
			a.state = append(a.state, pending)
		}
		if a.state[tag-a.base-1] == pending {
			a.state[tag-a.base-1] = ready
		}
	}
	// The tag of a multiple acknowledgement must itself be outstanding, so it is
	// the last ready one of the run, not one that was told singly before.
	run, last := 0, uint64(0)
	for run < len(a.state) && a.state[run] != pending {
		run++
		if a.state[run-1] == ready {
			last = a.base + uint64(run)
		}
	}
	if last != 0 {
		_ = a.ch.Ack(last, true)
	}
	a.base += uint64(run)
	a.state = a.state[:copy(a.state, a.state[run:])]
	for _, tag := range tags {
		if tag > a.base && a.state[tag-a.base-1] == ready {
			_ = a.ch.Ack(tag, false)
			a.state[tag-a.base-1] = told
		}
	}
}
