package simulate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// client is one process with the method's policy at work.
type client struct {
	*world
	number int
	set    *policy.Set
	state  *policy.Method

	down bool       // it has no connection that publishes
	deaf bool       // it has no connection that consumes
	back time.Time  // when it last had one again
	line []*attempt // to be written once it publishes
	mail []func()   // replies to be taken once it consumes

	pace *policy.Pacer
	beat *event // when more of the line goes out
}

func newClient(w *world, number int, table *policy.Table) *client {
	c := &client{world: w, number: number, pace: policy.NewPacer(w.now)}
	c.set = policy.NewSet(table, func(change policy.Change) { w.record.change(number, change) })
	c.state = c.set.Method(w.method)
	return c
}

// cut takes the client's connections away.
func (c *client) cut() {
	c.down, c.deaf = true, true
	c.pace.Interrupted(c.now)
	c.beat.cancel()
}

// publishes gives it a connection that publishes.
func (c *client) publishes() {
	c.down = false
	c.write()
}

// write hands what is in line to the broker, at its pace.
func (c *client) write() {
	c.beat.cancel()
	for !c.down {
		n, wait := c.pace.Take(c.now, len(c.line))
		if len(c.line) == 0 {
			return
		}
		if n == 0 {
			c.beat = c.after(wait, c.write)
			return
		}
		for n > 0 && len(c.line) > 0 {
			a := c.line[0]
			if c.line = c.line[1:]; a.write() {
				n--
			}
		}
	}
}

// consumes takes the replies that have waited for a connection.
func (c *client) consumes() {
	mail := c.mail
	c.deaf, c.mail, c.back = false, nil, c.now
	for _, take := range mail {
		take()
	}
}

// call is a call in flight. Its methods are those of package client's call, with
// timers in the agenda: they must ask the policy the same in the same order.
type call struct {
	*client
	policy   *policy.Policy
	begun    time.Time
	deadline time.Time
	tries    policy.Attempts
	expiry   *event
	retry    *event

	made     []*attempt
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
		cl.refuse(refusal)
		return
	}
	if cl.ended {
		cl.state.Breaker.Done(ticket, cl.now, policy.Ignored)
		return
	}
	a := &attempt{call: cl, ticket: ticket, beside: cl.open()}
	cl.made, cl.current = append(cl.made, a), a
	cl.line = append(cl.line, a)
	cl.pace.Arrived()
	cl.client.write()
}

// refuse ends a call whose next attempt the breaker does not let out; not one
// that an earlier attempt is still waited for.
func (cl *call) refuse(refusal *warren.Error) {
	if cl.open() {
		cl.onItsWay = false
		return
	}
	cl.finish(refusal)
}

// leave ends the call at its deadline.
func (cl *call) leave() {
	err := &warren.Error{Code: warren.CodeDeadlineExceeded, Outcome: warren.NotExecuted, Reason: cl.hint}
	if cl.attempts == 0 && (cl.down || cl.deaf) {
		err.Reason = warren.ReasonNotConnected
	}
	cl.finish(err)
}

// finish ends the call, once; err is nil of a success.
func (cl *call) finish(err *warren.Error) {
	if cl.ended {
		return
	}
	cl.ended = true
	cl.retry.cancel()
	cl.expiry.cancel()
	if err != nil {
		err.Outcome = cl.outcome(err)
	}
	for _, a := range cl.made {
		a.end(err)
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
	if err.Outcome == warren.NotExecuted && cl.attempts > cl.proven {
		return warren.Unknown
	}
	return err.Outcome
}
