package client

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// attempt is one publish of a call; it is the publisher's Sink.
type attempt struct {
	call    *call
	publish broker.Publishing
	before  *attempt    // of the same call, nil if this is the first
	number  int         // from 1, in the order in which they are made and written
	beside  bool        // the one before is still waited for
	judged  atomic.Bool // the breaker has been told of its end

	// Guarded by call.mu.
	ticket  policy.Ticket
	written time.Time // zero until it is handed to a connection
	failed  bool      // it is waited for no longer, or has been answered by an error
	proven  bool      // it is known not to have been executed
	timer   *time.Timer
	hedge   *time.Timer
}

// publish makes the next attempt, if the breaker allows it. It is called by the
// caller for the first and by timers for later ones.
func (cl *call) publish() {
	ticket, refusal := cl.method.Breaker.Allow(time.Now())
	if refusal != nil {
		cl.refuse(refusal)
		return
	}
	cl.mu.Lock()
	if cl.ended {
		cl.mu.Unlock()
		cl.method.Breaker.Done(ticket, time.Now(), policy.Ignored)
		return
	}
	a := &cl.first
	a.number = 1
	if last := cl.current; last != nil {
		a = &attempt{
			publish: broker.Publishing{Msg: cl.first.publish.Msg}, before: last, number: last.number + 1, beside: cl.open(),
		}
	}
	a.call, a.ticket = cl, ticket
	a.publish.Key, a.publish.Mandatory, a.publish.Sink = cl.queue(), true, a
	cl.current = a
	cl.mu.Unlock()
	switch err := cl.c.publisher.Publish(&a.publish); {
	case err == nil:
	case errors.Is(err, broker.ErrBlocked):
		a.refuseBlocked()
	default:
		cl.finish(nil, errClosed())
	}
}

// refuse ends a call whose next attempt the breaker does not let out; not one
// that an earlier attempt is still waited for, beside which it was to go.
func (cl *call) refuse(refusal *warren.Error) {
	cl.mu.Lock()
	beside := cl.open()
	if beside {
		cl.onItsWay = false
	}
	cl.mu.Unlock()
	if !beside {
		cl.finish(nil, refusal)
	}
}

// refuseBlocked ends a call that the broker's block kept from going out. One of
// which an attempt has gone out waits on, as if this one had never been: the
// other may be answered.
func (a *attempt) refuseBlocked() {
	cl := a.call
	a.judge(policy.Ignored)
	cl.mu.Lock()
	out := cl.attempts > cl.proven
	if out && a.before != nil && !cl.ended {
		cl.current = a.before
		cl.onItsWay, cl.hint = false, warren.ReasonBlocked
	}
	cl.mu.Unlock()
	if !out {
		_, reason := cl.c.publisher.Blocked()
		cl.finish(nil, errBlocked(reason))
	}
}

// Writing implements broker.Sink.
func (a *attempt) Writing(now time.Time, msg *wire.Message) bool {
	cl := a.call
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if cl.ended || !now.Before(cl.deadline) {
		return false
	}
	if !cl.settings.oneWay {
		msg.ReplyTo = cl.c.replies.name()
		msg.Expiration = wire.Expiration(cl.deadline.Sub(now))
	}
	if !a.written.IsZero() {
		return true // the broker has not looked at it: it is the same attempt
	}
	cl.attempts++
	cl.c.counters.attempts.Add(1)
	cl.onItsWay = false
	a.written = now
	a.ticket.Begin(now)
	a.watch(now)
	if cl.attempts > 1 {
		cl.c.counters.republished.Add(1)
		if a.beside {
			cl.c.counters.hedged.Add(1)
		}
		meta := wire.Meta{Kind: cl.kind(), Attempt: cl.attempts, Issued: cl.req.Issued, Nonce: cl.req.Nonce}
		if !cl.settings.oneWay {
			meta.Deadline = cl.deadline
		}
		msg.Type = meta.Encode()
	}
	return true
}

// watch sets the timers of an attempt that begins: when it is given up, and
// when another is made beside it. The caller holds call.mu.
func (a *attempt) watch(now time.Time) {
	cl := a.call
	if _, until := cl.tries.Next(now); until.Before(cl.deadline) && !cl.settings.oneWay {
		a.timer = time.AfterFunc(until.Sub(now), a.timedOut)
	}
	if !cl.policy.Hedge.On || cl.attempts > 1 || !cl.tries.Idempotent() || cl.tries.Left() == 0 || cl.settings.oneWay {
		return
	}
	if delay, ok := policy.HedgeDelay(cl.policy.Hedge, cl.method.Latency); ok && now.Add(delay).Before(cl.deadline) {
		a.hedge = time.AfterFunc(delay, a.hedged)
	}
}

// timedOut gives up waiting for an attempt alone. A reply that comes for it is
// taken all the same.
func (a *attempt) timedOut() {
	a.judge(a.classify(errDeadline(warren.Unknown)))
	a.call.again(a, &warren.Error{
		Code: warren.CodeDeadlineExceeded, Outcome: warren.Unknown, Message: "the attempt was not answered in time",
	})
}

// hedged makes a second attempt beside the first, if the budget has room for
// it.
func (a *attempt) hedged() {
	cl := a.call
	cl.mu.Lock()
	if cl.ended || cl.onItsWay || cl.current != a || a.failed || !cl.method.Budget.Allow() || !cl.method.Budget.Failure() {
		cl.mu.Unlock()
		return
	}
	cl.onItsWay = true
	cl.mu.Unlock()
	cl.publish()
}

// Settled implements broker.Sink.
func (a *attempt) Settled(result broker.Result, reason error) {
	cl, c := a.call, a.call.c
	switch result {
	case broker.Acked:
		crashpoint.Reached(crashpoint.Confirmed, cl.req.Method, cl.req.CallID)
		if cl.settings.oneWay {
			cl.succeed(a, &warren.Reply{})
		}
	case broker.Returned:
		c.counters.returned.Add(1)
		cl.mu.Lock()
		cl.prove(a)
		cl.mu.Unlock()
		c.presence.forget(cl.queue())
		cl.finish(nil, errNoRoute())
	case broker.Nacked:
		c.counters.nacked.Add(1)
		result := policy.Failure
		if a.unconfirmed(warren.ReasonNacked).Ignored {
			result = policy.Ignored
		}
		a.judge(result)
	case broker.Lost:
		c.counters.lost.Add(1)
		a.judge(policy.Ignored)
		if broker.IsRefused(reason) {
			cl.finish(nil, errNotPermitted(reason))
			return
		}
		a.unconfirmed(warren.ReasonConnectionLost)
	case broker.Refused:
		a.judge(policy.Ignored)
		cl.mu.Lock()
		cl.prove(a)
		cl.mu.Unlock()
		cl.finish(nil, errRefused(reason))
	case broker.Unsent:
		cl.mu.Lock()
		if !a.written.IsZero() {
			cl.prove(a) // it was taken back: the broker has not looked at it
		}
		cl.mu.Unlock()
		switch {
		case errors.Is(reason, broker.ErrBlocked):
			a.refuseBlocked()
		case errors.Is(reason, broker.ErrClosed):
			cl.finish(nil, errClosed())
		}
		// Otherwise Writing said no: the call has ended, or ends by its timer.
	}
}

// unconfirmed follows a publish that may or may not have arrived. A notification
// has nothing to wait for, and a call that was refused need not, by its policy.
func (a *attempt) unconfirmed(reason string) policy.Decision {
	err := &warren.Error{
		Code: warren.CodeUnavailable, Reason: reason, Outcome: warren.Unknown,
		Message: "the broker did not confirm the request",
	}
	d := a.call.again(a, err)
	failed := a.call.settings.oneWay || reason == warren.ReasonNacked && a.call.policy.Retry.FailNacked
	if !d.Retry && failed {
		a.call.finish(nil, err)
	}
	return d
}

// judge tells the breaker how the attempt ended, once. Slowness counts as little
// as a timeout while servers may be on their way back.
func (a *attempt) judge(r policy.Result) {
	if a.judged.Swap(true) {
		return
	}
	now := time.Now()
	a.call.mu.Lock()
	ticket, written := a.ticket, a.written
	a.call.mu.Unlock()
	if a.call.policy.Breaker.SlowAfter > 0 && a.call.c.replies.unsettled(written) {
		ticket.Begin(now)
	}
	a.call.method.Breaker.Done(ticket, now, r)
}

// end ends an attempt with its call, which ended in err if that is not nil. One
// that was never written says nothing of the method.
func (a *attempt) end(err *warren.Error) {
	a.call.mu.Lock()
	for _, t := range []*time.Timer{a.timer, a.hedge} {
		if t != nil {
			t.Stop()
		}
	}
	written := !a.written.IsZero()
	a.call.mu.Unlock()
	if err != nil && written {
		a.judge(a.classify(err))
		return
	}
	a.judge(policy.Ignored)
}

// classify says what an error tells of the method. That nothing came in time tells
// nothing while replies cannot come in, nor soon after they could not: the servers
// may still be on their way back. Nor does it, here or on the server, if the caller
// gave the attempt less time than the method's policy does.
func (a *attempt) classify(err *warren.Error) policy.Result {
	if err.Code != warren.CodeDeadlineExceeded {
		return policy.Classify(err)
	}
	cl := a.call
	cl.mu.Lock()
	written, until := a.written, cl.deadline
	if !err.Remote {
		until = time.Now()
	}
	fair := cl.tries.HadItsTime(written, until)
	cl.mu.Unlock()
	if !fair || !err.Remote && cl.c.replies.unsettled(written) {
		return policy.Ignored
	}
	return policy.Classify(err)
}
