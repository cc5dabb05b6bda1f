package simulate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
)

// call is a call in flight: the state of package client's, which this tells the events
// and for which it carries out the effects, on virtual time.
type call struct {
	*client
	state    callstate.Call
	begun    time.Time
	deadline time.Time
	expiry   *event // its deadline
	timer    *event
	wakes    time.Time // when timer happens; zero if it does not
}

// request is one attempt of a call, as broker and servers see it.
type request struct {
	*call
	attempt int
}

// on takes an event.
func (cl *call) on(e callstate.Event) {
	at := callstate.Moment{Now: cl.now, Replies: callstate.Replies{Cut: cl.consumingDown, Back: cl.back}}
	effects := cl.state.Handle(at, e, nil)
	cl.setTimer()
	for i := range effects {
		cl.carryOut(&effects[i])
	}
}

// setTimer has the state woken when it wants to be.
func (cl *call) setTimer() {
	wakes := cl.state.Wake()
	if wakes.Equal(cl.wakes) {
		return
	}
	cl.wakes = wakes
	cl.timer.cancel()
	if !wakes.IsZero() {
		cl.timer = cl.after(wakes.Sub(cl.now), func() { cl.on(callstate.Event{Kind: callstate.Timer}) })
	}
}

// carryOut carries out an effect.
func (cl *call) carryOut(e *callstate.Effect) {
	switch e.Do {
	case callstate.Ask:
		cl.ask()
	case callstate.Publish:
		cl.sendQueue = append(cl.sendQueue, request{cl, e.Attempt})
		cl.pace.Arrived()
		cl.client.write()
	case callstate.Judge:
		cl.target.Breaker.Done(e.Ticket, cl.now, e.Result)
	case callstate.Observe:
		cl.target.Latency.Observe(e.Latency)
	case callstate.Finish:
		cl.finish()
	}
}

// ask asks the breaker for another attempt.
func (cl *call) ask() {
	ticket, refusal := cl.target.Breaker.Allow(cl.now)
	if refusal != nil {
		cl.on(callstate.Event{Kind: callstate.Denied, Err: refusal})
		return
	}
	cl.on(callstate.Event{Kind: callstate.Admitted, Ticket: ticket})
}

// write hands the request to the broker, if its call lets it out.
func (r request) write() bool {
	w, ok := r.state.Write(r.now, r.attempt, "", 1)
	if !ok {
		return false
	}
	r.setTimer()
	r.record.attempt(r.elapsed(), r.attempt > 1, w.Beside)
	r.servers.arrive(r)
	return true
}

// answered takes what a server has answered; err is nil of a success.
func (r request) answered(err *warren.Error) {
	switch {
	case r.consumingDown:
		r.client.replies = append(r.client.replies, func() { r.answered(err) })
	case r.state.Ended():
		r.record.late(r.elapsed())
	default:
		r.on(callstate.Event{Kind: callstate.Answered, Attempt: r.attempt, Err: err})
	}
}

// expire ends the call at its deadline.
func (cl *call) expire() {
	err := &warren.Error{Code: warren.CodeDeadlineExceeded, Outcome: warren.NotExecuted}
	if cl.state.Written() == 0 && (cl.publishingDown || cl.consumingDown) {
		err.Reason = warren.ReasonNotConnected
	}
	cl.on(callstate.Event{Kind: callstate.Left, Err: err})
}

// finish is the end of the call.
func (cl *call) finish() {
	cl.expiry.cancel()
	cl.target.Bulkhead.Release()
	_, err := cl.state.Result()
	cl.record.ended(cl, err)
}
