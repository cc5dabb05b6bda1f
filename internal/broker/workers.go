package broker

import (
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// workers handle the deliveries of one stream, each on a goroutine of its own. They are
// started as deliveries come, up to the consumer's bound, and end when there is nothing
// to do, so that an idle consumer has none.
//
// Workers receive from the library's channel themselves, which saves a hand-off for each
// delivery. Somebody always waits there, unless the bound is reached: who takes a
// delivery and leaves nobody waiting starts another worker. Where there is none, the
// stream's own goroutine waits, and starts a worker with what it receives.
type workers struct {
	deliveries <-chan amqp.Delivery
	handle     func(amqp.Delivery)
	slots      chan struct{} // the consumer's bound over all its streams: each worker has one
	stopped    chan struct{} // closed when no more is to be handled

	waiting atomic.Int32  // goroutines that receive, the stream's own included
	alive   atomic.Int32  // workers
	surplus chan struct{} // ends a worker that waits

	needed atomic.Bool   // the stream's goroutine has been asked to receive
	asked  chan struct{} // one token with that

	// Of the stream's goroutine alone:
	receiving bool // it has a slot, and is counted as waiting
	closed    bool // no delivery comes any more
	shrink    *time.Timer
}

// shrinkEvery is how often half of the workers that wait are ended.
const shrinkEvery = 200 * time.Millisecond

func newWorkers(deliveries <-chan amqp.Delivery, slots chan struct{}, handle func(amqp.Delivery)) *workers {
	w := &workers{
		deliveries: deliveries, handle: handle, slots: slots, stopped: make(chan struct{}),
		surplus: make(chan struct{}), asked: make(chan struct{}, 1), shrink: time.NewTimer(shrinkEvery),
	}
	w.shrink.Stop()
	w.needed.Store(true)
	return w
}

// slot is where the stream's goroutine gets a slot if it has to receive; nil if not.
func (w *workers) slot() chan<- struct{} {
	if w.receiving || w.closed || !w.needed.Load() {
		return nil
	}
	return w.slots
}

// receive is called with a slot from then on.
func (w *workers) receive() {
	w.receiving = true
	w.waiting.Add(1)
	w.needed.Store(false)
}

// next is where the stream's goroutine receives; nil if it has not to.
func (w *workers) next() <-chan amqp.Delivery {
	if !w.receiving || w.closed {
		return nil
	}
	return w.deliveries
}

// received starts a worker with what the stream's goroutine has received, and gives that
// its slot. ok is false if the deliveries have ended.
func (w *workers) received(d amqp.Delivery, ok bool) {
	if !ok {
		w.closed = true
		return
	}
	w.receiving = false
	if w.alive.Add(1) == 1 {
		w.shrink.Reset(shrinkEvery)
	}
	go w.work(d, true)
	if w.waiting.Add(-1) == 0 {
		w.grow()
	}
}

// grow starts a worker that waits. If the bound is reached, the stream's goroutine gets
// the next slot that becomes free: it may be one of another stream's.
func (w *workers) grow() {
	select {
	case w.slots <- struct{}{}:
		w.alive.Add(1)
		w.waiting.Add(1)
		go w.work(amqp.Delivery{}, false)
	default:
		w.ask()
	}
}

// ask has the stream's goroutine receive.
func (w *workers) ask() {
	if w.needed.CompareAndSwap(false, true) {
		notify(w.asked)
	}
}

// work handles d, if it was received, and then what else comes.
func (w *workers) work(d amqp.Delivery, received bool) {
	defer func() { // also if the handler ends the goroutine (runtime.Goexit, as t.FailNow does)
		w.alive.Add(-1)
		<-w.slots
	}()
	for {
		if !received {
			if d, received = w.await(); !received {
				return
			}
		}
		w.handle(d)
		received = false
		w.waiting.Add(1)
	}
}

// await returns the next delivery, or false if the worker has to end.
func (w *workers) await() (d amqp.Delivery, received bool) {
	select {
	case d, received = <-w.deliveries:
	case <-w.surplus:
	case <-w.stopped:
		return d, false
	}
	switch left := w.waiting.Add(-1); {
	case left > 0:
	case received:
		w.grow()
	default:
		w.ask()
	}
	return d, received
}

// shrunk ends half of the workers that wait, the last one too.
func (w *workers) shrunk() {
	waiting := w.waiting.Load()
	if w.receiving {
		waiting--
	}
	for range (waiting + 1) / 2 {
		select {
		case w.surplus <- struct{}{}:
		default: // it has just received something
		}
	}
	if w.alive.Load() > 0 {
		w.shrink.Reset(shrinkEvery)
	}
}

// stop ends the workers, each when it has handled what it is at.
func (w *workers) stop() {
	w.shrink.Stop()
	close(w.stopped)
	if w.receiving {
		w.receiving = false
		<-w.slots
	}
}
