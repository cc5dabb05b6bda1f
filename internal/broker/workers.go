package broker

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// workers handle the deliveries of one consumer, whatever streams they come by, each on a
// goroutine of its own. They are started as deliveries come, up to the bound, and end when
// there is nothing to do, so that an idle consumer has none.
//
// Deliveries wait in a queue, which the prefetch bounds. One worker is called at a time:
// it takes the first delivery and, before it handles that, calls another if there are
// more. So a slow handler holds up no other delivery, while quick ones work off a burst
// with few wake-ups.
type workers struct {
	handle func(Delivery)
	bound  int
	inline bool // deliveries are handled by who brings them

	handling sync.Mutex // inline: held while one is, as two streams may overlap

	mu      sync.Mutex
	queue   fifo[delivered]
	idle    []chan bool // of workers that wait, who came last at the end: true calls one, false ends it
	alive   int
	calling bool        // one has been called, or started, and has not come yet
	busy    int         // deliveries that are being handled
	drained bool        // no further delivery is handled
	shrink  *time.Timer // nil before the first worker

	rest chan struct{} // one token: busy fell to zero
}

// delivered is a delivery and the stream that it came by.
type delivered struct {
	*frames.Delivery
	st *stream
}

// shrinkEvery is how often half of the workers that wait are ended.
const shrinkEvery = 200 * time.Millisecond

func newWorkers(bound int, inline bool, handle func(Delivery)) *workers {
	return &workers{handle: handle, bound: bound, inline: inline, rest: make(chan struct{}, 1)}
}

// deliver has a delivery handled: inline before it returns, else soon. It does not wait for
// a worker.
func (w *workers) deliver(d delivered) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.drained:
	case d.st.stopped:
		d.st.left = append(d.st.left, d.DeliveryTag)
	case w.inline:
		w.begin(d)
		w.mu.Unlock()
		w.handling.Lock()
		w.handleOne(d)
		w.handling.Unlock()
		w.mu.Lock()
		w.finish()
	default:
		w.queue.push(d)
		w.call()
	}
}

// call has a worker come if there is something to do and none is coming. The caller holds
// mu.
func (w *workers) call() {
	switch n := len(w.idle); {
	case w.calling || w.queue.len() == 0:
	case n > 0:
		w.calling = true
		w.idle[n-1] <- true
		w.idle = w.idle[:n-1]
	case w.alive < w.bound:
		w.calling = true
		if w.alive++; w.alive == 1 {
			w.startShrinking()
		}
		go w.work()
	}
}

// work handles deliveries until the worker is ended.
func (w *workers) work() {
	called, handling := make(chan bool, 1), false
	defer func() { // also if the handler ends the goroutine (runtime.Goexit, as t.FailNow does)
		w.mu.Lock()
		defer w.mu.Unlock()
		w.alive--
		if handling {
			w.finish()
		}
		w.call()
	}()
	w.mu.Lock()
	w.calling = false
	for {
		d, ok := w.next(called)
		w.mu.Unlock()
		if !ok {
			return
		}
		handling = true
		w.handleOne(d)
		handling = false
		w.mu.Lock()
		w.finish()
	}
}

// next returns the next delivery to be handled, or false if the worker has to end. The
// caller holds mu.
func (w *workers) next(called chan bool) (d delivered, ok bool) {
	for w.queue.len() == 0 {
		if w.drained {
			return d, false
		}
		w.idle = append(w.idle, called)
		w.mu.Unlock()
		ok := <-called
		w.mu.Lock()
		if !ok {
			return d, false
		}
		w.calling = false
	}
	d = w.queue.pop()
	w.begin(d)
	w.call()
	return d, true
}

func (w *workers) handleOne(d delivered) {
	d.DecodeHeaders()
	w.handle(Delivery{d.Delivery, d.st.acker})
}

// begin counts a delivery as being handled. The caller holds mu.
func (w *workers) begin(d delivered) {
	w.busy++
	d.st.acker.take()
}

// finish is the end of that.
func (w *workers) finish() {
	if w.busy--; w.busy == 0 && w.drained {
		notify(w.rest)
	}
}

// startShrinking has half of the workers that wait ended again and again, the last one too.
// The caller holds mu.
func (w *workers) startShrinking() {
	if w.shrink != nil {
		w.shrink.Reset(shrinkEvery)
		return
	}
	w.shrink = time.AfterFunc(shrinkEvery, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.end((len(w.idle) + 1) / 2)
		if w.alive > 0 {
			w.shrink.Reset(shrinkEvery)
		}
	})
}

// end ends the n workers that have waited longest. The caller holds mu.
func (w *workers) end(n int) {
	for _, worker := range w.idle[:n] {
		worker <- false
	}
	w.idle = slices.Delete(w.idle, 0, n)
}

// leave ends the handling of what comes by st, and leaves to st what no worker has begun.
func (w *workers) leave(st *stream) {
	w.mu.Lock()
	defer w.mu.Unlock()
	st.stopped = true
	w.queue.remove(func(d delivered) bool {
		if d.st == st {
			st.left = append(st.left, d.DeliveryTag)
		}
		return d.st == st
	})
	w.end(len(w.idle))
}

// drain has no further delivery handled.
func (w *workers) drain() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.drained = true
	w.queue.remove(func(delivered) bool { return true })
	w.end(len(w.idle))
	if w.busy == 0 {
		notify(w.rest)
	}
}

// wait returns when no delivery is being handled any more, after drain, or with ctx's
// error.
func (w *workers) wait(ctx context.Context) error {
	for {
		w.mu.Lock()
		busy := w.busy
		w.mu.Unlock()
		if busy == 0 {
			return nil
		}
		select {
		case <-w.rest:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
