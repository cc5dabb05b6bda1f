package simulate

import (
	"time"

	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/policy"
)

// client is one process with the method's policy at work.
type client struct {
	*world
	number int
	set    *policy.Set
	target *policy.Method

	publishingDown bool      // it has no connection that publishes
	consumingDown  bool      // it has no connection that consumes
	back           time.Time // when it last had one again
	sendQueue      []request // to be written once it publishes
	replies        []func()  // to be taken once it consumes

	pace      *policy.Pacer
	nextWrite *event // when more of the send queue goes out
}

func newClient(w *world, number int, table *policy.Table) *client {
	c := &client{world: w, number: number, pace: policy.NewPacer(w.now)}
	c.set = policy.NewSet(table, func(change policy.Change) { w.record.change(number, change) })
	c.target = c.set.Method(w.method)
	return c
}

// cut takes the client's connections away.
func (c *client) cut() {
	c.publishingDown, c.consumingDown = true, true
	c.pace.Interrupted(c.now)
	c.nextWrite.cancel()
}

// publishes gives it a connection that publishes.
func (c *client) publishes() {
	c.publishingDown = false
	c.write()
}

// write hands the send queue to the broker, at its pace.
func (c *client) write() {
	c.nextWrite.cancel()
	for !c.publishingDown {
		n, wait := c.pace.Take(c.now, len(c.sendQueue))
		if len(c.sendQueue) == 0 {
			return
		}
		if n == 0 {
			c.nextWrite = c.after(wait, c.write)
			return
		}
		for n > 0 && len(c.sendQueue) > 0 {
			r := c.sendQueue[0]
			if c.sendQueue = c.sendQueue[1:]; r.write() {
				n--
			}
		}
	}
}

// consumes takes the replies that have waited for a connection.
func (c *client) consumes() {
	replies := c.replies
	c.consumingDown, c.replies, c.back = false, nil, c.now
	for _, take := range replies {
		take()
	}
}

// begin makes a call.
func (c *client) begin() {
	cl := &call{client: c, begun: c.now}
	c.record.begun(c.elapsed())
	rules := c.target.Policy()
	if full := c.target.Bulkhead.Acquire(); full != nil {
		c.record.ended(cl, full)
		return
	}
	cl.deadline = c.now.Add(rules.Timeout)
	tries := rules.Begin(c.now, cl.deadline, c.target.Budget, policy.Overrides{})
	tries.DrawFrom(c.dice.waits.Float64)
	cl.state.Begin(callstate.Config{Hedge: rules.Hedge, Latency: c.target.Latency}, tries)
	cl.expiry = c.after(rules.Timeout, cl.expire)
	cl.ask()
}
