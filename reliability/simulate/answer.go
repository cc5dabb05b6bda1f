package simulate

import (
	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// again makes another attempt after one that ended in err, if the policy has it.
// If not, the call waits on. It returns what was decided.
func (cl *call) again(a *attempt, err *warren.Error) policy.Decision {
	if err.Reason != "" {
		cl.hint = err.Reason
	}
	if a.failed {
		return policy.Decision{Retry: true}
	}
	a.failed = true
	if cl.ended || cl.onItsWay || cl.open() {
		return policy.Decision{Retry: true}
	}
	ended := cl.tries.Failed
	if err.Reason == warren.ReasonNacked {
		ended = cl.tries.Refused
	}
	d := ended(cl.now, err)
	if d.Retry {
		cl.repeat(d)
	} else if d.Why == policy.WhyBudget && cl.hint == "" {
		cl.hint = warren.ReasonBudgetExhausted
	}
	return d
}

func (cl *call) repeat(d policy.Decision) {
	cl.onItsWay = true
	cl.retry = cl.after(d.Wait, cl.publish)
}

// answered takes what a server has answered to an attempt; err is nil of a
// success.
func (cl *call) answered(a *attempt, err *warren.Error) {
	if cl.deaf {
		cl.mail = append(cl.mail, func() { cl.answered(a, err) })
		return
	}
	switch {
	case cl.ended:
		cl.record.late(cl.elapsed())
		return
	case err == nil:
		cl.tries.Succeeded()
		a.judge(policy.Success)
		cl.state.Latency.Observe(cl.now.Sub(cl.made[0].written))
		cl.finishBy(a, nil)
		return
	case a.proven && err.Outcome == warren.NotExecuted:
		return
	}
	switch err.Outcome {
	case warren.NotExecuted:
		cl.prove(a)
	case warren.Executed:
		cl.executed = true
	case warren.Unknown:
	}
	a.failed = true
	if (cl.onItsWay || cl.open()) && !cl.final(err) {
		a.judge(policy.Classify(err))
		return
	}
	d := cl.tries.Failed(cl.now, err)
	if d.Retry {
		cl.hint = err.Reason
		cl.repeat(d)
	}
	a.judge(policy.Classify(err))
	switch {
	case d.Retry:
	case d.Why == policy.WhyBudget:
		cl.finishBy(a, policy.BudgetExhausted(err))
	default:
		cl.finishBy(a, err)
	}
}

// open reports whether an attempt that was made is still waited for.
func (cl *call) open() bool {
	for _, a := range cl.made {
		if !a.failed {
			return true
		}
	}
	return false
}

// prove notes that the attempt is known not to have been executed.
func (cl *call) prove(a *attempt) {
	if !a.proven {
		a.proven = true
		cl.proven++
	}
}

// final reports whether an error leaves nothing to wait for, whatever other
// attempts there are.
func (cl *call) final(err *warren.Error) bool {
	if err.RetryAfter < 0 {
		return true
	}
	alone := cl.policy.Begin(cl.now, cl.deadline, nil)
	switch alone.Failed(cl.now, err).Why {
	case policy.WhyCode, policy.WhyReason, policy.WhyNotIdempotent:
		return true
	default:
		return false
	}
}

// finishBy ends the call with what was answered to one attempt, which says
// nothing of the others.
func (cl *call) finishBy(a *attempt, err *warren.Error) {
	for _, b := range cl.made {
		if b != a {
			b.judge(policy.Ignored)
		}
	}
	cl.finish(err)
}
