package simulate

import (
	"slices"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
)

// client is one process with the method's policy at work.
type client struct {
	*world
	number int
	set    *reliability.Set
	state  *reliability.Method

	down bool       // it has no connection to the broker
	line []*attempt // to be written once it has
	mail []func()   // replies to be taken once it has
}

func newClient(w *world, number int, table *reliability.Table) *client {
	c := &client{world: w, number: number}
	c.set = reliability.NewSet(table, func(change reliability.Change) { w.record.change(number, change) })
	c.state = c.set.Method(w.method)
	return c
}

// connected writes what has waited and takes the replies that have.
func (c *client) connected() {
	c.down = false
	mail, line := c.mail, c.line
	c.mail, c.line = nil, nil
	for _, take := range mail {
		take()
	}
	for _, a := range line {
		a.write()
	}
}

// call is a call in flight. Its methods are those of package client's call, with
// timers in the agenda: they must ask the policy the same in the same order.
type call struct {
	*client
	policy   *reliability.Policy
	begun    time.Time
	deadline time.Time
	tries    reliability.Attempts
	expiry   *event
	retry    *event

	made     [5]*attempt
	current  *attempt
	attempts int
	proven   int
	executed bool
	ended    bool
	onItsWay bool
	hint     string
}

// begin makes a call.
func (c *client) begin() {
	cl := &call{client: c, begun: c.now}
	c.record.begun(c.elapsed())
	method := c.set.Method(c.method)
	cl.policy = method.Policy()
	cl.deadline = c.now.Add(cl.policy.Timeout)
	if err := method.Bulkhead.Acquire(); err != nil {
		c.record.ended(cl, err)
		return
	}
	cl.tries = cl.policy.Begin(c.now, cl.deadline, method.Budget)
	cl.tries.DrawFrom(c.dice.waits.Float64)
	cl.expiry = c.after(cl.policy.Timeout, cl.leave)
	cl.publish()
}

// publish makes the next attempt, if the breaker allows it.
func (cl *call) publish() {
	ticket, refusal := cl.state.Breaker.Allow(cl.now)
	if refusal != nil {
		cl.finish(false, refusal)
		return
	}
	n := slices.Index(cl.made[:], nil)
	if cl.ended || n < 0 {
		cl.state.Breaker.Done(ticket, cl.now, reliability.Ignored)
		return
	}
	a := &attempt{call: cl, ticket: ticket}
	cl.made[n], cl.current = a, a
	if cl.down {
		cl.line = append(cl.line, a)
		return
	}
	a.write()
}

// again makes another attempt after one that ended in err, if the policy has it.
func (cl *call) again(a *attempt, err *warren.Error) {
	if err.Reason != "" {
		cl.hint = err.Reason
	}
	if cl.ended || cl.onItsWay || a != cl.current {
		return
	}
	if d := cl.tries.Failed(cl.now, err); d.Retry {
		cl.repeat(d)
	}
}

func (cl *call) repeat(d reliability.Decision) {
	cl.onItsWay = true
	cl.retry = cl.after(d.Wait, cl.publish)
}

// answered takes what a server has answered; err is nil of a success.
func (cl *call) answered(err *warren.Error) {
	if cl.down {
		cl.mail = append(cl.mail, func() { cl.answered(err) })
		return
	}
	if cl.ended {
		cl.record.late(cl.elapsed())
		return
	}
	if err == nil {
		cl.tries.Succeeded()
		cl.state.Latency.Observe(cl.now.Sub(cl.made[0].written))
		cl.finish(true, nil)
		return
	}
	cl.executed = cl.executed || err.Outcome == warren.Executed
	if err.Outcome == warren.NotExecuted && cl.proven < cl.attempts-1 && cl.onItsWay {
		cl.proven++
		return
	}
	d := cl.tries.Failed(cl.now, err)
	switch {
	case d.Retry:
		if err.Outcome == warren.NotExecuted {
			cl.proven++
		}
		cl.hint = err.Reason
		cl.repeat(d)
		if cl.current != nil {
			cl.current.judge(reliability.Classify(err))
		}
	case d.Why == reliability.WhyBudget:
		cl.finish(false, reliability.BudgetExhausted(err))
	default:
		cl.finish(false, err)
	}
}

// leave ends the call at its deadline.
func (cl *call) leave() {
	err := &warren.Error{Code: warren.CodeDeadlineExceeded, Outcome: warren.NotExecuted, Reason: cl.hint}
	if cl.attempts == 0 && cl.down {
		err.Reason = warren.ReasonNotConnected
	}
	cl.finish(false, err)
}

// finish ends the call, once.
func (cl *call) finish(ok bool, err *warren.Error) {
	if cl.ended {
		return
	}
	cl.ended = true
	cl.retry.cancel()
	cl.expiry.cancel()
	if err != nil {
		err.Outcome = cl.outcome(err)
	}
	current := cl.current
	for _, a := range cl.made {
		if a == nil {
			break
		}
		a.end(ok && a == current, err)
	}
	cl.state.Bulkhead.Release()
	cl.record.ended(cl, err)
}

// outcome joins what err says of the last attempt with what is known of the
// others.
func (cl *call) outcome(err *warren.Error) warren.Outcome {
	if cl.executed {
		return warren.Executed
	}
	if err.Outcome != warren.NotExecuted {
		return err.Outcome
	}
	open := cl.attempts - cl.proven
	if err.Remote {
		open--
	}
	if open > 0 {
		return warren.Unknown
	}
	return warren.NotExecuted
}
