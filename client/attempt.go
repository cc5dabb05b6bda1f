package client

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
)

// attempt is one publish of a call; it is the publisher's Sink.
type attempt struct {
	call    *call
	publish broker.Publishing
	ticket  reliability.Ticket
	judged  atomic.Bool // the breaker has been told of its end

	// Guarded by call.mu.
	written time.Time
	counted bool // it is in the call's attempts
	timer   *time.Timer
	hedge   *time.Timer
}

// publish makes the next attempt, if the breaker allows it. It is called by the
// caller for the first and by timers for later ones.
func (cl *call) publish() {
	ticket, refusal := cl.method.Breaker.Allow(time.Now())
	if refusal != nil {
		cl.finish(nil, refusal)
		return
	}
	cl.mu.Lock()
	n := slices.Index(cl.made[:], nil)
	if cl.ended || n < 0 {
		cl.mu.Unlock()
		cl.method.Breaker.Done(ticket, time.Now(), reliability.Ignored)
		return
	}
	a := &cl.first
	if n > 0 {
		a = &attempt{publish: broker.Publishing{Msg: cl.first.publish.Msg}}
	}
	a.call, a.ticket = cl, ticket
	a.publish.Key, a.publish.Mandatory, a.publish.Sink = cl.req.Method, true, a
	cl.made[n], cl.current = a, a
	cl.mu.Unlock()
	switch err := cl.c.publisher.Publish(&a.publish); {
	case err == nil:
	case errors.Is(err, broker.ErrBlocked):
		cl.refuseBlocked()
	default:
		cl.finish(nil, errClosed())
	}
}

// refuseBlocked ends a call that the broker's block kept from going out. One of
// which an attempt has gone out waits on: that may be answered.
func (cl *call) refuseBlocked() {
	cl.mu.Lock()
	out := cl.attempts > 0
	if out {
		cl.hint = warren.ReasonBlocked
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
	cl.attempts++
	cl.onItsWay = false
	a.counted, a.written = true, now
	a.watch(now)
	if !cl.settings.oneWay {
		msg.ReplyTo = cl.c.replies.name()
		msg.Expiration = wire.Expiration(cl.deadline.Sub(now))
	}
	if cl.attempts > 1 {
		cl.c.counters.republished.Add(1)
		meta := wire.Meta{Kind: wire.KindCall, Attempt: cl.attempts, Issued: cl.req.Issued}
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
	if delay, ok := reliability.HedgeDelay(cl.policy.Hedge, cl.method.Latency); ok && now.Add(delay).Before(cl.deadline) {
		a.hedge = time.AfterFunc(delay, a.hedged)
	}
}

// timedOut gives up waiting for an attempt alone. A reply that comes for it is
// taken all the same.
func (a *attempt) timedOut() {
	a.judge(reliability.Failure)
	a.call.again(a, &warren.Error{
		Code: warren.CodeDeadlineExceeded, Outcome: warren.Unknown, Message: "the attempt was not answered in time",
	})
}

// hedged makes a second attempt beside the first, if the budget has room for
// it.
func (a *attempt) hedged() {
	cl := a.call
	cl.mu.Lock()
	if cl.ended || cl.onItsWay || cl.current != a || !cl.method.Budget.Allow() {
		cl.mu.Unlock()
		return
	}
	cl.onItsWay = true
	cl.mu.Unlock()
	cl.method.Budget.Failure()
	cl.c.counters.hedged.Add(1)
	cl.publish()
}

// Settled implements broker.Sink.
func (a *attempt) Settled(result broker.Result, reason error) {
	cl, c := a.call, a.call.c
	switch result {
	case broker.Acked:
		crashpoint.Reached(crashpoint.Confirmed, cl.req.Method, cl.req.CallID)
		if cl.settings.oneWay {
			cl.succeed(&warren.Reply{})
		}
	case broker.Returned:
		c.counters.returned.Add(1)
		cl.prove(a)
		c.presence.forget(cl.req.Method)
		cl.finish(nil, errNoRoute())
	case broker.Nacked:
		c.counters.nacked.Add(1)
		a.judge(reliability.Failure)
		a.unconfirmed(warren.ReasonNacked)
	case broker.Lost:
		c.counters.lost.Add(1)
		a.judge(reliability.Ignored)
		if broker.IsRefused(reason) {
			cl.finish(nil, errNotPermitted(reason))
			return
		}
		a.unconfirmed(warren.ReasonConnectionLost)
	case broker.Unsent:
		switch {
		case errors.Is(reason, broker.ErrBlocked):
			cl.refuseBlocked()
		case errors.Is(reason, broker.ErrClosed):
			cl.finish(nil, errClosed())
		}
		// Otherwise Writing said no: the call has ended, or ends by its timer.
	}
}

// unconfirmed follows a publish that may or may not have arrived. A notification
// has nothing to wait for.
func (a *attempt) unconfirmed(reason string) {
	err := &warren.Error{
		Code: warren.CodeUnavailable, Reason: reason, Outcome: warren.Unknown,
		Message: "the broker did not confirm the request",
	}
	if !a.call.again(a, err) && a.call.settings.oneWay {
		a.call.finish(nil, err)
	}
}

// judge tells the breaker how the attempt ended, once.
func (a *attempt) judge(r reliability.Result) {
	if !a.judged.Swap(true) {
		a.call.method.Breaker.Done(a.ticket, time.Now(), r)
	}
}

// end ends an attempt with its call. Of several the last counts as the one that
// was answered.
func (a *attempt) end(answered bool, err *warren.Error) {
	cl := a.call
	cl.mu.Lock()
	for _, t := range []*time.Timer{a.timer, a.hedge} {
		if t != nil {
			t.Stop()
		}
	}
	cl.mu.Unlock()
	switch {
	case answered:
		a.judge(reliability.Success)
	case err != nil:
		a.judge(reliability.Classify(err))
	default:
		a.judge(reliability.Ignored)
	}
}

// prove notes that the attempt is known not to have been executed.
func (cl *call) prove(a *attempt) {
	cl.mu.Lock()
	if a.counted {
		cl.proven++
		a.counted = false
	}
	cl.mu.Unlock()
}

// again publishes the call once more after an attempt that ended in err, if the
// policy has it, and reports whether there is another attempt. If not, a call
// waits on: the request may have arrived, and then a reply comes. a is nil if all
// attempts are concerned.
func (cl *call) again(a *attempt, err *warren.Error) bool {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if err.Reason != "" {
		cl.hint = err.Reason
	}
	if cl.ended || cl.onItsWay || a != nil && a != cl.current {
		return true
	}
	d := cl.tries.Failed(time.Now(), err)
	if d.Retry {
		cl.repeat(d)
	}
	return d.Retry
}

// repeat has the call published again after a pause. The caller holds mu.
func (cl *call) repeat(d reliability.Decision) {
	cl.onItsWay = true
	cl.retry = time.AfterFunc(d.Wait, cl.publish)
}

// answered takes what a server has answered.
func (cl *call) answered(reply *warren.Reply, err *warren.Error) {
	if err == nil {
		cl.succeed(reply)
		return
	}
	cl.mu.Lock()
	if cl.ended {
		cl.mu.Unlock()
		return
	}
	cl.executed = cl.executed || err.Outcome == warren.Executed
	current := cl.current
	if err.Outcome == warren.NotExecuted && cl.proven < cl.attempts-1 && cl.onItsWay {
		// Another attempt is on its way, and this one is proven.
		cl.proven++
		cl.mu.Unlock()
		return
	}
	d := cl.tries.Failed(time.Now(), err)
	if d.Retry {
		if err.Outcome == warren.NotExecuted {
			cl.proven++
		}
		cl.hint = err.Reason
		cl.repeat(d)
	}
	cl.mu.Unlock()
	switch {
	case d.Retry:
		if current != nil {
			current.judge(reliability.Classify(err))
		}
	case d.Why == reliability.WhyBudget:
		cl.finish(nil, reliability.BudgetExhausted(err))
	default:
		cl.finish(nil, err)
	}
}

// succeed ends the call with a reply.
func (cl *call) succeed(reply *warren.Reply) {
	cl.mu.Lock()
	if cl.ended {
		cl.mu.Unlock()
		return
	}
	cl.tries.Succeeded()
	begun := cl.first.written
	cl.mu.Unlock()
	cl.method.Latency.Observe(time.Since(begun))
	cl.finish(reply, nil)
}
