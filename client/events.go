package client

import (
	"sync"
	"time"

	"github.com/warren-rpc/warren/internal/callstate"
)

// effectRooms are where the effects of an event stand while they are carried out.
var effectRooms = sync.Pool{New: func() any { return new([4]callstate.Effect) }}

// on takes an event that has come about now: what follows from it is decided under the lock, and done outside
// of it. It reports whether the call has ended, by this event or before.
func (cl *call) on(now time.Time, e callstate.Event) (ended bool) {
	room, _ := effectRooms.Get().(*[4]callstate.Effect)
	at := callstate.Moment{Now: now, Replies: cl.c.replies.arrivals()}
	cl.lock()
	effects := cl.state.Handle(at, e, room[:0])
	cl.setTimer(now)
	ended = cl.state.Ended()
	cl.mu.Unlock()
	for i := range effects {
		cl.carryOut(&effects[i], now)
	}
	clear(room[:])
	effectRooms.Put(room)
	return ended
}

// lock locks mu. Tests count how often.
func (cl *call) lock() {
	if cl.c.locking != nil {
		cl.c.locking()
	}
	cl.mu.Lock()
}

// setTimer has the state woken when it wants to be. The caller holds mu, so that no
// stop overtakes its start.
func (cl *call) setTimer(now time.Time) {
	wakes := cl.state.Wake()
	if wakes.Equal(cl.wakes) {
		return
	}
	cl.wakes = wakes
	switch {
	case wakes.IsZero():
		cl.timer.Stop()
	case cl.timer == nil:
		cl.timer = time.AfterFunc(wakes.Sub(now), func() { cl.on(time.Now(), callstate.Event{Kind: callstate.Timer}) })
	default:
		cl.timer.Reset(wakes.Sub(now))
	}
}

// carryOut carries out an effect.
func (cl *call) carryOut(e *callstate.Effect, now time.Time) {
	switch e.Do {
	case callstate.Ask:
		cl.ask(now)
	case callstate.Publish:
		cl.publish(e.Attempt)
	case callstate.Judge:
		cl.method.Breaker.Done(e.Ticket, now, e.Result)
	case callstate.Observe:
		cl.method.Latency.Observe(e.Latency)
	case callstate.Finish:
		cl.c.pending.remove(cl)
		close(cl.done)
		cl.withdraw()
	}
}

// ask asks the breaker for another attempt.
func (cl *call) ask(now time.Time) {
	ticket, refusal := cl.method.Breaker.Allow(now)
	if refusal != nil {
		cl.on(now, callstate.Event{Kind: callstate.Denied, Err: refusal})
		return
	}
	cl.on(now, callstate.Event{Kind: callstate.Admitted, Ticket: ticket})
}
