package server

import (
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
)

// tenure is an answer's hold on its request: by which delivery it is acknowledged,
// which is another one after the broker has handed the request out again.
type tenure struct {
	rid     requestID // see [requests]
	listed  bool      // it is among these
	certain bool      // no other request has this ID, which a plain caller may use again
	turn    uint64    // of the requests that have ended

	mu       sync.Mutex
	hold     *broker.Delivery // the last one
	acking   *broker.Delivery // the one that an acknowledgement is under way for
	answered bool             // nothing remains to be sent
	since    time.Time        // when the request ended; zero if it has not
	returned bool             // it was handed out again: another server may have had it in between
}

// delivery is the one by which the request is held.
func (t *tenure) delivery() *broker.Delivery {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.hold
}

// over reports whether the request has ended.
func (t *tenure) over() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return !t.since.IsZero()
}

// adopt takes over another delivery of the request, if the one that there is cannot be
// acknowledged any more, and says whether the request had ended.
func (a *answer) adopt(d *broker.Delivery) (adopted, ended bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	ended = !a.since.IsZero()
	if a.hold.Live() || ended && time.Since(a.since) > rememberFor {
		return false, ended
	}
	if !ended && a.acking == nil {
		a.hold.Abandon()
	}
	a.hold, a.since, a.returned = d, time.Time{}, true
	return true, ended
}

// resume goes on with a request that has another delivery now. One that had ended is
// acknowledged by it, after what has not been sent of its answer.
func (a *answer) resume(ended bool) {
	switch {
	case !ended:
		a.s.open.Done() // it is counted once
	case a.refusal != nil:
		a.settle()
	case a.publish == nil, a.answered && a.certain:
		a.acknowledge()
	default:
		// The answer to a plain caller is sent again: it may be to another request that
		// looks the same.
		a.tries = 0
		a.republish(a.publish.Msg)
	}
}

func (a *answer) acknowledge() {
	if a.settled {
		a.s.open.Done()
		return
	}
	a.mu.Lock()
	a.answered, a.acking = true, a.hold
	d := a.hold
	a.mu.Unlock()
	d.Ack(a)
}

// settle acknowledges the request and has its refusal sent when that is certain. What
// another server may have begun is not refused: it is told as unknown, and acknowledged
// last.
func (a *answer) settle() {
	a.mu.Lock()
	if a.returned {
		a.mu.Unlock()
		told := *a.refusing
		told.Outcome, a.refusal = warren.Unknown, nil
		a.send(wire.EncodeError(a.req, &told, a.mode()))
		return
	}
	a.acking = a.hold
	d := a.hold
	a.mu.Unlock()
	d.Settle(a)
}

// Acked implements broker.AckObserver.
func (a *answer) Acked(done bool) {
	a.mu.Lock()
	moved := a.acking != a.hold
	a.acking = nil
	told := a.refusal != nil && done && !moved
	size := a.retained() // before somebody may take it over
	if !moved && !told {
		a.since = time.Now()
	}
	a.mu.Unlock()
	switch {
	case moved && a.refusal != nil:
		a.settle()
		return
	case moved:
		a.acknowledge()
		return
	case done:
		crashpoint.Reached(crashpoint.Acked, a.m.Name, a.d.CorrelationId)
	}
	// If it is not known to be settled nothing is told: the request comes back, or its
	// caller's time runs out.
	if told {
		a.settled = true
		a.m.requests.forget(a)
		a.send(*a.refusal)
		return
	}
	a.rest(done, size)
}

// rest is what follows the end: what was run is remembered if it will come back, and
// what was acknowledged too, as that proves nothing. But what looks like a plain request
// that was acknowledged is more likely to be another one.
func (a *answer) rest(acked bool, size int) {
	if a.ran && (!acked || a.certain) {
		a.m.requests.remember(a, size)
	} else {
		a.m.requests.forget(a)
	}
	a.s.open.Done()
}

// answerSize is about how large an answer is without its bodies, in bytes.
const answerSize = 1 << 10

// retained is about how many bytes are kept with the answer.
func (a *answer) retained() int {
	n := answerSize + len(a.d.Body)
	if a.publish != nil {
		n += len(a.publish.Msg.Body)
	}
	return n
}

// suspend reports whether the request is held no more: its answer has to wait until it
// comes back.
func (a *answer) suspend() bool {
	a.mu.Lock()
	if a.hold.Live() {
		a.mu.Unlock()
		return false
	}
	a.hold.Abandon()
	size := a.retained()
	a.since = time.Now()
	a.mu.Unlock()
	a.rest(false, size)
	return true
}

// finish ends a request that is left.
func (a *answer) finish() {
	if a.left == unsettled {
		a.giveBack()
		return
	}
	a.m.requests.forget(a)
	a.delivery().Return()
	a.s.open.Done()
}

// giveBack leaves the request unacknowledged: the broker hands it out again
// when this channel closes.
func (a *answer) giveBack() {
	if !a.settled {
		a.m.requests.forget(a)
		a.delivery().Abandon()
	}
	a.s.open.Done()
}
