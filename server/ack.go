package server

import (
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
)

// ack acknowledges one request, by its delivery: the first one, or the last if the
// broker has handed the request out again. It is the observer of that.
type ack struct {
	ex *exchange

	mu       sync.Mutex
	held     *broker.Delivery // the last delivery of the request
	acking   *broker.Delivery // the one that an acknowledgement is under way for
	refusal  *warren.Error    // to be told once the request is acknowledged
	refused  bool             // it is, and the refusal goes out
	answered bool             // nothing remains to be sent
	ended    time.Time        // when the request ended; zero if it has not
	returned bool             // it was handed out again: another server may have had it in between
}

// delivery is the one by which the request is held.
func (a *ack) delivery() *broker.Delivery {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.held
}

// over reports whether the request has ended.
func (a *ack) over() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.ended.IsZero()
}

// adopt takes over another delivery of the request, if the one that there is cannot be
// acknowledged any more, and says whether the request had ended.
func (a *ack) adopt(d *broker.Delivery) (adopted, ended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ended = !a.ended.IsZero()
	if a.held.Live() || ended && time.Since(a.ended) > rememberFor {
		return false, ended
	}
	if !ended && a.acking == nil {
		a.held.Abandon()
	}
	a.held, a.ended, a.returned = d, time.Time{}, true
	return true, ended
}

// resume goes on with a request that has another delivery now. One that had ended is
// acknowledged by it, after what has not been sent of its answer.
func (a *ack) resume(ended bool) {
	r := &a.ex.response
	switch {
	case !ended:
		a.ex.s.open.Done() // it is counted once
	case a.refusal != nil:
		a.settle()
	case r.publish == nil, a.answered && a.ex.entry.certain:
		a.acknowledge()
	default:
		// The answer to a plain caller is sent again: it may be to another request that
		// looks the same.
		r.tries = 0
		r.republish(r.publish.Msg)
	}
}

// acknowledge ends a request whose caller has been told.
func (a *ack) acknowledge() {
	if a.refused {
		a.ex.s.open.Done()
		return
	}
	a.mu.Lock()
	a.answered, a.acking = true, a.held
	d := a.held
	a.mu.Unlock()
	d.Ack(a)
}

// refuse acknowledges the request and has the refusal told when that is certain.
func (a *ack) refuse(told *warren.Error) {
	a.refusal = told
	a.settle()
}

// settle is refuse for the delivery that there is now. What another server may have
// begun is not refused: it is told as unknown, and acknowledged last.
func (a *ack) settle() {
	a.mu.Lock()
	if a.returned {
		told := *a.refusal
		told.Outcome, a.refusal = warren.Unknown, nil
		a.mu.Unlock()
		a.ex.response.fail(&told)
		return
	}
	a.acking = a.held
	d := a.held
	a.mu.Unlock()
	d.AckConfirmed(a)
}

// Acked implements broker.AckObserver.
func (a *ack) Acked(done bool) {
	a.mu.Lock()
	moved, refusal := a.acking != a.held, a.refusal
	a.acking = nil
	// If it is not known to be acknowledged nothing is told: the request comes back, or
	// its caller's time runs out.
	tell := refusal != nil && done && !moved
	size := sizeOf(a.ex) // before somebody may take it over
	if !moved && !tell {
		a.ended = time.Now()
	}
	a.mu.Unlock()
	switch {
	case moved && refusal != nil:
		a.settle()
		return
	case moved:
		a.acknowledge()
		return
	case done:
		crashpoint.Reached(crashpoint.Acked, a.ex.m.Name, a.ex.d.CorrelationId)
	}
	if tell {
		a.refused = true
		a.ex.m.requests.forget(a.ex)
		a.ex.response.fail(refusal)
		return
	}
	a.finish(done, size)
}

// finish follows the end: what was run is remembered if it will come back, and
// what was acknowledged too, as that proves nothing. But what looks like a plain request
// that was acknowledged is more likely to be another one.
func (a *ack) finish(acked bool, size int) {
	if a.ex.stage == entered && (!acked || a.ex.entry.certain) {
		a.ex.m.requests.remember(a.ex, size)
	} else {
		a.ex.m.requests.forget(a.ex)
	}
	a.ex.s.open.Done()
}

// suspend reports whether the request is held no more: its answer has to wait until it
// comes back.
func (a *ack) suspend() bool {
	if a.refused {
		return false
	}
	a.mu.Lock()
	if a.held.Live() {
		a.mu.Unlock()
		return false
	}
	a.held.Abandon()
	size := sizeOf(a.ex)
	a.ended = time.Now()
	a.mu.Unlock()
	a.finish(false, size)
	return true
}

// giveBack leaves the request unacknowledged: the broker hands it out again
// when this channel closes.
func (a *ack) giveBack() {
	if !a.refused {
		a.ex.m.requests.forget(a.ex)
		a.delivery().Abandon()
	}
	a.ex.s.open.Done()
}

// putBack returns the request to its queue at once.
func (a *ack) putBack() {
	a.ex.m.requests.forget(a.ex)
	a.delivery().Requeue()
	a.ex.s.open.Done()
}
