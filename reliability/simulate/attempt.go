package simulate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// attempt is one publish of a call, like package client's.
type attempt struct {
	call    *call
	ticket  policy.Ticket
	beside  bool // the one before is still waited for
	judged  bool
	written time.Time
	failed  bool
	proven  bool
	timer   *event
	hedge   *event
}

// write hands the request to the broker, if the call has not ended.
func (a *attempt) write() bool {
	cl := a.call
	if cl.ended || !cl.now.Before(cl.deadline) {
		return false
	}
	cl.attempts++
	cl.onItsWay = false
	a.written = cl.now
	a.ticket.Begin(cl.now)
	cl.record.attempt(cl.elapsed(), cl.attempts > 1, a.beside)
	a.watch()
	cl.servers.arrive(a)
	return true
}

// watch sets the timers of an attempt that begins.
func (a *attempt) watch() {
	cl := a.call
	if _, until := cl.tries.Next(cl.now); until.Before(cl.deadline) {
		a.timer = cl.after(until.Sub(cl.now), a.timedOut)
	}
	if !cl.policy.Hedge.On || cl.attempts > 1 || !cl.tries.Idempotent() || cl.tries.Left() == 0 {
		return
	}
	if delay, ok := policy.HedgeDelay(cl.policy.Hedge, cl.state.Latency); ok && cl.now.Add(delay).Before(cl.deadline) {
		a.hedge = cl.after(delay, a.hedged)
	}
}

// timedOut gives up waiting for an attempt alone.
func (a *attempt) timedOut() {
	err := &warren.Error{Code: warren.CodeDeadlineExceeded, Outcome: warren.Unknown}
	a.judge(a.classify(err))
	a.call.again(a, err)
}

// hedged makes a second attempt beside the first.
func (a *attempt) hedged() {
	cl := a.call
	if cl.ended || cl.onItsWay || cl.current != a || a.failed || !cl.state.Budget.Allow() || !cl.state.Budget.Failure() {
		return
	}
	cl.onItsWay = true
	cl.publish()
}

// returned is what follows if no queue takes the request.
func (a *attempt) returned() {
	a.call.prove(a)
	a.call.finish(&warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Outcome: warren.NotExecuted,
	})
}

// nacked is what follows if the broker refuses the request.
func (a *attempt) nacked() {
	d := a.call.again(a, &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonNacked, Outcome: warren.Unknown,
	})
	result := policy.Failure
	if d.Ignored {
		result = policy.Ignored
	}
	a.judge(result)
}

// judge tells the breaker how the attempt ended, once.
func (a *attempt) judge(r policy.Result) {
	if a.judged {
		return
	}
	a.judged = true
	if a.unsettled() {
		a.ticket.Begin(a.call.now)
	}
	a.call.state.Breaker.Done(a.ticket, a.call.now, r)
}

// end ends an attempt with its call, which ended in err if that is not nil. One
// that was never written says nothing of the method.
func (a *attempt) end(err *warren.Error) {
	a.timer.cancel()
	a.hedge.cancel()
	if err != nil && !a.written.IsZero() {
		a.judge(a.classify(err))
		return
	}
	a.judge(policy.Ignored)
}

// classify says what an error on the client's side tells of the method.
func (a *attempt) classify(err *warren.Error) policy.Result {
	if err.Code == warren.CodeDeadlineExceeded && a.unsettled() {
		return policy.Ignored
	}
	return policy.Classify(err)
}

// unsettled reports whether replies cannot come in, or could not shortly before the
// request was written.
func (a *attempt) unsettled() bool {
	cl := a.call
	return cl.deaf || !cl.back.IsZero() && a.written.Before(cl.back.Add(policy.Settling))
}
