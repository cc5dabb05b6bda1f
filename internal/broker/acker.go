package broker

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// acker acknowledges the deliveries of one channel. It lives and dies with the
// channel: what is acknowledged after that goes nowhere, since the broker has
// put the message back and its tag may name another one by now.
//
// Acknowledgements are written in batches, by a goroutine that ends when there have been
// none for a while: one with multiple set for all that are done from the oldest on, and single ones
// beyond a delivery that is still being worked on, so that a slow handler never closes
// the prefetch window.
type acker struct {
	s     *Session
	ch    acknowledger
	delay time.Duration // how long few acknowledgements may wait for more
	batch int           // how many are not few

	came  atomic.Uint64 // deliveries
	taken atomic.Int64  // of these were handed out and are not acknowledged

	mu      sync.Mutex
	queued  ackBatch
	running bool // run is
	ended   bool // nothing is queued any more

	wake chan struct{} // one token: there is something to write, or enough not to wait for more
	idle chan struct{} // one token: taken fell to zero
	runs sync.WaitGroup

	// Of run alone:
	now   ackBatch   // what is being written
	base  uint64     // no tag up to it is outstanding
	state []tagState // of the tags after base
}

// ackBatch is what is written together.
type ackBatch struct {
	done      []uint64      // tags to be acknowledged
	requeued  []uint64      // tags of what goes back to the queue
	observers []AckObserver // to be told once it is written
	confirmed []AckObserver // to be told once the broker has taken it
}

func (b *ackBatch) empty() bool { return len(b.done)+len(b.requeued) == 0 }

func (b *ackBatch) clear() {
	clear(b.observers)
	clear(b.confirmed)
	*b = ackBatch{b.done[:0], b.requeued[:0], b.observers[:0], b.confirmed[:0]}
}

// acknowledger is what an acker needs of a channel. It is used by one goroutine at a time.
type acknowledger interface {
	// AppendAck and AppendNack add to what Write writes. If that fails the channel has
	// ended, and the broker delivers again what it did not hear of.
	AppendAck(tag uint64, multiple bool)
	AppendNack(tag uint64, multiple, requeue bool)
	Write() error
	// Ask returns when the broker has answered a question, or with an error.
	Ask() error
	Closed() bool
}

// AckObserver is told of the end of a delivery's acknowledgement.
type AckObserver interface {
	// Acked is called once, on the goroutine that writes acknowledgements: it
	// must not block. done says whether the acknowledgement was written, which proves
	// nothing, or after [Delivery.AckConfirmed] whether the broker has taken it.
	Acked(done bool)
}

// tagState is how far a delivery tag has come.
type tagState uint8

const (
	pending  tagState = iota // it is being worked on
	ready                    // to be acknowledged
	answered                 // acknowledged, or put back: the broker does not wait for it any more
)

func newAcker(s *Session, ch acknowledger, delay time.Duration, batch int) *acker {
	return &acker{
		s: s, ch: ch, delay: delay, batch: max(batch, 1),
		wake: make(chan struct{}, 1), idle: make(chan struct{}, 1),
	}
}

// come counts a delivery that the broker has sent.
func (a *acker) come() { a.came.Add(1) }

// take counts a delivery as being worked on.
func (a *acker) take() { a.taken.Add(1) }

// ack queues the acknowledgement of tag. after, if not nil, is called once: when
// it was written, or when it never will be.
func (a *acker) ack(tag uint64, after AckObserver) {
	a.mu.Lock()
	ended := a.ended
	if !ended {
		a.queued.done = append(a.queued.done, tag)
		if after != nil {
			a.queued.observers = append(a.queued.observers, after)
		}
		if n := len(a.queued.done); n == 1 || n == a.batch {
			a.start()
		}
	}
	a.mu.Unlock()
	if ended && after != nil {
		after.Acked(false)
	}
}

// ackConfirmed is ack for an observer that waits until the broker has taken it.
func (a *acker) ackConfirmed(tag uint64, after AckObserver) {
	a.mu.Lock()
	ended := a.ended
	if !ended {
		a.queued.done = append(a.queued.done, tag)
		a.queued.confirmed = append(a.queued.confirmed, after)
		a.start()
	}
	a.mu.Unlock()
	if ended {
		after.Acked(false)
	}
}

// requeue returns messages to their queue soon, if the channel is not being closed, which
// returns them too. Until that is written their tags stay pending, so that nothing
// acknowledges them together with others.
func (a *acker) requeue(tags ...uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if !a.ended && len(tags) > 0 {
		a.queued.requeued = append(a.queued.requeued, tags...)
		a.start()
	}
}

// start has run write what is queued. The caller holds mu.
func (a *acker) start() {
	if a.running {
		notify(a.wake)
		return
	}
	a.running = true
	a.runs.Go(a.run)
}

// abandon counts a delivery as no longer worked on, without acknowledging it.
func (a *acker) abandon() { a.finished(1) }

func (a *acker) finished(n int) {
	if a.taken.Add(-int64(n)) == 0 {
		notify(a.idle)
	}
}

// outstanding tells how many deliveries are being worked on.
func (a *acker) outstanding() int { return int(a.taken.Load()) }

// ackerLinger is how long run waits for the next acknowledgement before it ends. To
// start it for each would cost more than all else that it does.
const ackerLinger = time.Second

// run writes acknowledgements until none has come for a while.
func (a *acker) run() {
	quiet := time.NewTimer(ackerLinger)
	defer quiet.Stop()
	for a.proceed(quiet) {
		a.await()
		a.flush()
	}
}

// proceed waits until there is something to write, and reports false if run has to end.
func (a *acker) proceed(quiet *time.Timer) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.queued.empty() && !a.ended {
		a.mu.Unlock()
		quiet.Reset(ackerLinger)
		select {
		case <-a.wake:
		case <-quiet.C:
		case <-a.s.Done():
		}
		a.mu.Lock()
	}
	a.running = !a.queued.empty()
	return a.running
}

// await waits for more acknowledgements to be written together: for those that are
// ready in any case, and for the delay while they are few.
func (a *acker) await() {
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
	return a.ended || len(a.queued.done) >= a.batch || len(a.queued.confirmed)+len(a.queued.requeued) > 0
}

func (a *acker) flush() {
	a.mu.Lock()
	a.now, a.queued = a.queued, a.now
	a.mu.Unlock()
	written := a.s.Err() == nil && !a.ch.Closed()
	if written {
		a.append()
		written = a.ch.Write() == nil
	}
	for _, f := range a.now.observers {
		f.Acked(written)
	}
	if len(a.now.confirmed) > 0 {
		// The broker works off a channel in order: it has taken what was written when it
		// has answered a question that came later.
		taken := written && a.ch.Ask() == nil
		for _, f := range a.now.confirmed {
			f.Acked(taken)
		}
	}
	a.finished(len(a.now.done))
	a.now.clear()
}

// append adds the acknowledgements to what is written next.
func (a *acker) append() {
	for _, tag := range a.now.done {
		if tag <= a.base {
			continue // acknowledged before, against the contract: to do it again would end the channel
		}
		if !a.track(tag) {
			a.ch.AppendAck(tag, false)
		} else if a.state[tag-a.base-1] == pending {
			a.state[tag-a.base-1] = ready
		}
	}
	// The tag of a multiple acknowledgement must itself be outstanding, so it is
	// the last ready one of the run, not one that was acknowledged singly before.
	run, last := 0, uint64(0)
	for run < len(a.state) && a.state[run] != pending {
		run++
		if a.state[run-1] == ready {
			last = a.base + uint64(run)
		}
	}
	if last != 0 {
		a.ch.AppendAck(last, true)
	}
	a.base += uint64(run)
	a.state = a.state[:copy(a.state, a.state[run:])]
	for _, tag := range a.now.done {
		if a.tracked(tag) && a.state[tag-a.base-1] == ready {
			a.ch.AppendAck(tag, false)
			a.state[tag-a.base-1] = answered
		}
	}
	for _, tag := range a.now.requeued {
		a.ch.AppendNack(tag, false, true)
		if tag > a.base && a.track(tag) {
			a.state[tag-a.base-1] = answered
		}
	}
}

// track gives tag, which is above base, a state. It reports false for one that the broker
// cannot have got to by counting: that would take memory without bound.
func (a *acker) track(tag uint64) bool {
	if tag > a.came.Load() {
		return false
	}
	for uint64(len(a.state)) < tag-a.base {
		a.state = append(a.state, pending)
	}
	return true
}

func (a *acker) tracked(tag uint64) bool { return tag > a.base && tag-a.base <= uint64(len(a.state)) }

// stop writes what is done. It returns when nothing will be written any more.
func (a *acker) stop() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	notify(a.wake)
	a.runs.Wait()
}

// ackChannel is an acknowledger on a channel of the broker's.
type ackChannel struct {
	s        *Session
	ch       *amqp.Channel
	wire     *frames.Channel
	batch    *frames.Batch
	prefetch int // of the channel's consumer
}

func (c *ackChannel) AppendAck(tag uint64, multiple bool) { c.batch.AppendAck(tag, multiple) }

func (c *ackChannel) AppendNack(tag uint64, multiple, requeue bool) {
	c.batch.AppendNack(tag, multiple, requeue)
}

func (c *ackChannel) Write() error { return c.wire.Write(c.batch) }

func (c *ackChannel) Closed() bool { return c.wire.Closed() }

// Ask implements acknowledger. The question is for the prefetch of consumers to come, of
// which this channel has none.
func (c *ackChannel) Ask() error {
	return c.s.do("acknowledge", func() error { return c.ch.Qos(c.prefetch, 0, false) })
}
