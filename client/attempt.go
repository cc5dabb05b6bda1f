package client

import (
	"errors"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
)

// attempt is one publish of a call; it is the publisher's Sink.
type attempt struct {
	call    *call
	before  *attempt // the one that was made before it, nil if none was
	number  int      // from 1
	publish broker.Publishing
}

// publish puts an attempt into the publisher's send queue.
func (cl *call) publish(number int) {
	a := &cl.first
	if number > 1 {
		a = &attempt{before: cl.last.Load()}
		cl.lock()
		a.publish.Msg = cl.first.publish.Msg
		cl.mu.Unlock()
	}
	a.call, a.number = cl, number
	a.publish.Key, a.publish.Mandatory, a.publish.Sink = cl.queue(), true, a
	cl.last.Store(a)
	if err := cl.c.publisher.Publish(&a.publish); err != nil {
		a.Settled(broker.Unsent, err)
	}
	select {
	case <-cl.done:
		cl.c.publisher.Withdraw(&a.publish) // the call's end may have come too early for it
	default:
	}
}

// withdraw takes the attempts that are in the send queue back: the last one, and those
// that are there again since the broker never looked at them.
func (cl *call) withdraw() {
	for a := cl.last.Load(); a != nil; a = a.before {
		cl.c.publisher.Withdraw(&a.publish)
	}
}

// Writing implements broker.Sink.
func (a *attempt) Writing(now time.Time, msg *wire.Message) bool {
	cl, c := a.call, a.call.c
	cl.lock()
	defer cl.mu.Unlock()
	queue := c.replies.name() // under the lock: else it could be lost without the call being told
	w, ok := cl.state.Write(now, a.number, queue, int(cl.version))
	if !ok {
		return false
	}
	cl.setTimer(now)
	if !cl.settings.oneWay {
		msg.ReplyTo = queue
	}
	if w.Again || a.number > 1 || cl.version != cl.req.Version || now.Sub(cl.req.Issued) > wire.Prompt {
		cl.req.Stamp(msg, cl.kind(), cl.version, a.number, now)
	}
	if w.Again {
		return true
	}
	c.counters.attempts.Add(1)
	if a.number > 1 {
		c.counters.republished.Add(1)
		if w.Beside {
			c.counters.hedged.Add(1)
		}
	}
	return true
}

// Settled implements broker.Sink.
func (a *attempt) Settled(result broker.Result, reason error) {
	cl, c := a.call, a.call.c
	e := callstate.Event{Attempt: a.number}
	switch result {
	case broker.Acked:
		crashpoint.Reached(crashpoint.Confirmed, cl.req.Method, cl.req.CallID)
		if !cl.settings.oneWay {
			return // the call ends by its reply
		}
		e.Kind, e.Reply = callstate.Confirmed, &warren.Reply{CallID: cl.req.CallID}
	case broker.Returned:
		c.counters.returned.Add(1)
		c.serverCheck.forget(cl.queue())
		e.Kind, e.Err = callstate.Returned, errNoRoute()
	case broker.Refused:
		e.Kind, e.Err = callstate.Returned, errRefused(reason)
	case broker.Nacked:
		c.counters.nacked.Add(1)
		e.Kind = callstate.Nacked
	case broker.Lost:
		c.counters.lost.Add(1)
		e.Kind = callstate.Lost
		if broker.IsRefused(reason) {
			e.Kind, e.Err = callstate.Stopped, errNotPermitted(reason)
		}
	case broker.Unsent:
		e.Kind = callstate.Unsent
		switch {
		case errors.Is(reason, broker.ErrBlocked):
			_, why := c.publisher.Blocked()
			e.Kind, e.Err = callstate.Blocked, errBlocked(why)
		case errors.Is(reason, broker.ErrClosed):
			e.Err = errClosed()
		}
	}
	cl.on(time.Now(), e)
}
