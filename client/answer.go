package client

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// again publishes the call once more after an attempt that ended in err, if the
// policy has it, and returns what was decided: to retry if there is another attempt
// already. If not, a call waits on: the request may have arrived, and then a reply
// comes.
func (cl *call) again(a *attempt, err *warren.Error) policy.Decision {
	cl.mu.Lock()
	defer cl.mu.Unlock()
	if err.Reason != "" {
		cl.hint = err.Reason
	}
	if a.failed {
		return policy.Decision{Retry: true} // what follows from it has been decided
	}
	a.failed = true
	return cl.follow(err)
}

// replyQueueLost publishes the call again, or ends it, if the reply to one of its
// attempts was to come to that queue. One that is still in line gets the new name
// when it is written.
func (cl *call) replyQueueLost(queue string) {
	err := &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonReplyQueueLost, Outcome: warren.Unknown,
		Message: "the queue that the reply was to come to is gone",
	}
	cl.mu.Lock()
	waits := true
	for a := cl.current; a != nil; a = a.before {
		if !a.written.IsZero() && a.publish.Msg.ReplyTo == queue {
			a.failed, waits = true, false
		}
	}
	if !waits {
		cl.hint = err.Reason
		waits = cl.follow(err).Retry
	}
	cl.mu.Unlock()
	if !waits {
		cl.finish(nil, err)
	}
}

// follow decides what follows an attempt that ended in err. The caller holds mu.
func (cl *call) follow(err *warren.Error) policy.Decision {
	if cl.ended || cl.onItsWay || cl.open() {
		return policy.Decision{Retry: true}
	}
	ended := cl.tries.Failed
	if err.Reason == warren.ReasonNacked {
		ended = cl.tries.Refused
	}
	d := ended(time.Now(), err)
	if d.Retry {
		cl.repeat(d)
	} else if d.Why == policy.WhyBudget && cl.hint == "" {
		cl.hint = warren.ReasonBudgetExhausted
	}
	return d
}

// repeat has the call published again after a pause. The caller holds mu.
func (cl *call) repeat(d policy.Decision) {
	cl.onItsWay = true
	cl.retry = time.AfterFunc(d.Wait, cl.publish)
}

// answered takes what a server has answered to one of the attempts.
func (cl *call) answered(reply *warren.Reply, err *warren.Error) {
	if err == nil {
		cl.mu.Lock()
		a := cl.numbered(reply.Attempts)
		cl.mu.Unlock()
		cl.succeed(a, reply)
		return
	}
	cl.mu.Lock()
	a := cl.numbered(err.Attempts)
	// The broker, or a server that was not sure, may deliver an answer twice.
	if cl.ended || a == nil || a.proven && err.Outcome == warren.NotExecuted {
		cl.mu.Unlock()
		return
	}
	switch err.Outcome {
	case warren.NotExecuted:
		cl.prove(a)
	case warren.Executed:
		executed := *err // err itself is completed below, without the lock
		cl.executed = &executed
	case warren.Unknown:
	}
	a.failed = true
	now := time.Now()
	if (cl.onItsWay || cl.open()) && !cl.final(now, err) {
		cl.mu.Unlock() // the other attempt decides
		a.judge(a.classify(err))
		return
	}
	d := cl.tries.Failed(now, err)
	if d.Retry {
		cl.hint = err.Reason
		cl.repeat(d)
	}
	cl.mu.Unlock()
	a.judge(a.classify(err))
	switch {
	case d.Retry:
	case d.Why == policy.WhyBudget:
		cl.finishBy(a, nil, policy.BudgetExhausted(cl.c.fail(&cl.req.Request, err)))
	default:
		cl.finishBy(a, nil, err)
	}
}

// open reports whether an attempt that was made is still waited for. The caller
// holds mu.
func (cl *call) open() bool {
	for a := cl.current; a != nil; a = a.before {
		if !a.failed {
			return true
		}
	}
	return false
}

// numbered returns the attempt that bears the number on the wire, the last one
// that was written if a server does not tell, and nil if none was. The caller
// holds mu.
func (cl *call) numbered(number int) *attempt {
	if number < 1 || number > cl.attempts {
		number = cl.attempts
	}
	if number == 0 {
		return nil
	}
	a := cl.current
	for a.number > number {
		a = a.before
	}
	return a
}

// prove notes that the attempt is known not to have been executed. The caller
// holds mu.
func (cl *call) prove(a *attempt) {
	if !a.proven {
		a.proven = true
		cl.proven++
	}
}

// final reports whether an error leaves nothing to wait for, whatever other
// attempts there are: they are of no use after one of its kind, or the server
// wants no more of them. The caller holds mu.
func (cl *call) final(now time.Time, err *warren.Error) bool {
	if err.RetryAfter < 0 {
		return true
	}
	alone := cl.policy.Begin(now, cl.deadline, nil, cl.settings.attempts, cl.settings.idempotent)
	switch alone.Failed(now, err).Why {
	case policy.WhyCode, policy.WhyReason, policy.WhyNotIdempotent:
		return true
	default:
		return false
	}
}

// succeed ends the call with the reply to an attempt. That is nil if the call was
// answered before it was written.
func (cl *call) succeed(a *attempt, reply *warren.Reply) {
	cl.mu.Lock()
	if cl.ended {
		cl.mu.Unlock()
		return
	}
	cl.tries.Succeeded()
	begun := cl.first.written
	cl.mu.Unlock()
	if a != nil {
		a.judge(policy.Success)
		if !cl.settings.oneWay {
			cl.method.Latency.Observe(time.Since(begun))
		}
	}
	cl.finishBy(a, reply, nil)
}

// finishBy ends the call with what was answered to one attempt, which says
// nothing of the others.
func (cl *call) finishBy(a *attempt, reply *warren.Reply, err *warren.Error) {
	cl.mu.Lock()
	last := cl.current
	cl.mu.Unlock()
	for b := last; b != nil; b = b.before {
		if b != a {
			b.judge(policy.Ignored)
		}
	}
	cl.finish(reply, err)
}
