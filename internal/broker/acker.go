package broker

import (
	"runtime"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
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
	s        *Session
	ch       acknowledger
	prefetch int           // of the channel's consumer
	delay    time.Duration // how long few acknowledgements may wait for more
	batch    int           // how many are not few

	mu        sync.Mutex
	done      []uint64      // acknowledged by the handlers, not yet written
	observers []AckObserver // to be told once it is written
	confirmed []AckObserver // to be told once the broker has taken it
	spare     []uint64      // the buffer of done that is not in use
	running   bool          // run is
	ended     bool          // nothing is queued any more
	taken     int           // deliveries that were handed out and are not acknowledged

	wake chan struct{} // one token: there is something to write, or enough not to wait for more
	idle chan struct{} // one token: taken fell to zero
	runs sync.WaitGroup

	requeuing sync.Mutex // held while a message is requeued
	closing   bool       // none is any more

	base  uint64     // every tag up to it is acknowledged; of run alone
	state []tagState // of the tags after base; of run alone
}

// acknowledger is what an acker needs of an [amqp.Channel].
type acknowledger interface {
	Ack(tag uint64, multiple bool) error
	Nack(tag uint64, multiple, requeue bool) error
	Qos(count, size int, global bool) error
	IsClosed() bool
}

var _ acknowledger = (*amqp.Channel)(nil)

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
	pending tagState = iota // it is being worked on
	ready                   // to be acknowledged
	acked
)

func newAcker(s *Session, ch acknowledger, prefetch int, delay time.Duration, batch int) *acker {
	return &acker{
		s: s, ch: ch, prefetch: prefetch, delay: delay, batch: max(batch, 1),
		wake: make(chan struct{}, 1), idle: make(chan struct{}, 1),
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
func (a *acker) ack(tag uint64, after AckObserver) { a.queue(tag, after, &a.observers) }

// ackConfirmed is ack for an observer that waits until the broker has taken it.
func (a *acker) ackConfirmed(tag uint64, after AckObserver) { a.queue(tag, after, &a.confirmed) }

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
	switch n := len(a.done); {
	case !a.running:
		a.running = true
		a.runs.Go(a.run)
	case n == 1 || n == a.batch || len(a.confirmed) == 1:
		notify(a.wake)
	}
	a.mu.Unlock()
}

// abandon counts a delivery as no longer worked on, without acknowledging it.
func (a *acker) abandon() { a.finished(1) }

// requeue returns a message to its queue at once, if the channel is not being
// closed, which returns it too. Its tag stays pending, so that nothing
// acknowledges it together with others.
func (a *acker) requeue(tag uint64) {
	a.requeuing.Lock()
	defer a.requeuing.Unlock()
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
	if len(a.done) == 0 && !a.ended {
		a.mu.Unlock()
		quiet.Reset(ackerLinger)
		select {
		case <-a.wake:
		case <-quiet.C:
		case <-a.s.Done():
		}
		a.mu.Lock()
	}
	a.running = len(a.done) > 0
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
	return a.ended || len(a.done) >= a.batch || len(a.confirmed) > 0
}

func (a *acker) flush() {
	a.mu.Lock()
	done, observers, confirmed := a.done, a.observers, a.confirmed
	a.done, a.observers, a.confirmed, a.spare = a.spare[:0], nil, nil, nil
	a.mu.Unlock()
	written := a.s.Err() == nil && !a.ch.IsClosed()
	if written {
		a.s.sock.Cork()
		a.write(done)
		a.s.sock.Uncork()
	}
	for _, f := range observers {
		f.Acked(written)
	}
	if len(confirmed) > 0 {
		taken := written && a.answered()
		for _, f := range confirmed {
			f.Acked(taken)
		}
	}
	a.finished(len(done))
	a.mu.Lock()
	a.spare = done
	a.mu.Unlock()
}

// write acknowledges the tags. Errors are the channel's end, after which the broker
// delivers again what it did not hear of.
func (a *acker) write(tags []uint64) {
	for _, tag := range tags {
		if tag <= a.base {
			continue // acknowledged before, against the contract: to do it again would end the channel
		}
		for uint64(len(a.state)) < tag-a.base {
			a.state = append(a.state, pending)
		}
		if a.state[tag-a.base-1] == pending {
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
		_ = a.ch.Ack(last, true)
	}
	a.base += uint64(run)
	a.state = a.state[:copy(a.state, a.state[run:])]
	for _, tag := range tags {
		if tag > a.base && a.state[tag-a.base-1] == ready {
			_ = a.ch.Ack(tag, false)
			a.state[tag-a.base-1] = acked
		}
	}
}

// answered reports whether the broker has taken what was written: it works off a
// channel in order, and has answered a question that came later. The question is for
// the prefetch of consumers to come, of which this channel has none.
func (a *acker) answered() bool {
	return a.s.do("acknowledge", func() error { return a.ch.Qos(a.prefetch, 0, false) }) == nil
}

// stop writes what is done. It returns when nothing will be written any more: an
// acknowledgement that follows the channel's close ends the connection.
func (a *acker) stop() {
	a.mu.Lock()
	a.ended = true
	a.mu.Unlock()
	notify(a.wake)
	a.runs.Wait()
	a.requeuing.Lock()
	a.closing = true
	a.requeuing.Unlock()
}
