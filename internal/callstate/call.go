package callstate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// Call is the state of one call. Begin makes it; it must not be copied afterwards.
// It is not safe for concurrent use.
type Call struct {
	cfg        Config
	waiters    int             // callers who wait for its end
	tries      policy.Attempts // what the policy says of the next attempt
	attempts   []attempt       // in the order in which they are made: all are written, but perhaps the last
	first      [1]attempt
	written    int           // attempts that were handed to a connection
	unproven   int           // of these, not proven not to have been executed
	executed   *warren.Error // what came of the last one that is known to have been executed, nil if none is
	lastReason string        // the reason of the last attempt whose fate is unknown

	// next says that an attempt is on its way: it waits for nextAt, for the breaker, or
	// in the send queue. Whatever else fails, it is enough.
	next   bool
	ended  bool
	nextAt time.Time // with next the end of the pause, else when the hedge is due; zero is never

	reply *warren.Reply
	err   *warren.Error
}

// Config says what call it is.
type Config struct {
	// Hedge says whether, and after which wait, a second attempt is made beside the
	// first. [policy.HedgeDelay] is asked when the first is written.
	Hedge policy.HedgePolicy
	// Latency is what Hedge may leave the wait to; nil is none.
	Latency *policy.Latency
	// OneWay ends the call when the broker has taken it on: no reply is awaited.
	OneWay bool
}

// Begin makes c a call that begins, with one caller who waits for it. Its attempts are
// those of [policy.Policy.Begin]. The driver asks the breaker for the first one.
func (c *Call) Begin(cfg Config, tries policy.Attempts) {
	*c = Call{cfg: cfg, waiters: 1, tries: tries, next: true}
	c.attempts = c.first[:0]
}

// Join adds a caller who waits for its end. It reports false if the last one has
// left.
func (c *Call) Join() bool {
	if c.waiters > 0 {
		c.waiters++
		return true
	}
	return false
}

// Handle takes an event, and returns effects with what the driver has to do appended,
// in this order.
func (c *Call) Handle(at Moment, e Event, effects []Effect) []Effect {
	s := step{Call: c, Moment: at, effects: effects}
	switch {
	case e.Kind == Admitted && c.ended:
		s.do(Effect{Do: Judge, Ticket: e.Ticket, Result: policy.Ignored})
	case !c.ended:
		s.handle(&e)
	}
	return s.effects
}

// Writing says how an attempt is written.
type Writing struct {
	Again  bool // it was written before, and the broker did not look at it
	Beside bool // another one is still waited for: it is a hedge
}

// Write says that an attempt is about to be handed to a connection, in that version of
// the wire format, and that its reply, if it gets one, is to come to that queue. It
// reports whether to do so.
func (c *Call) Write(now time.Time, number int, replyQueue string, version int) (w Writing, ok bool) {
	deadline := c.tries.Deadline()
	if c.ended || !now.Before(deadline) {
		return w, false
	}
	a := &c.attempts[number-1]
	if !c.cfg.OneWay {
		a.replyQueue = replyQueue
	}
	a.version = int8(version)
	w = Writing{Again: a.isWritten(), Beside: a.beside}
	if w.Again {
		return w, true
	}
	c.written++
	c.unproven++
	c.next = false
	a.writtenAt = now
	a.ticket.Begin(now)
	_, until := c.tries.Next(now)
	if c.cfg.OneWay {
		return w, true
	}
	if until.Before(deadline) {
		a.until = until
	}
	if number == 1 && c.tries.Idempotent() && c.tries.Left() > 0 {
		if wait, ok := policy.HedgeDelay(c.cfg.Hedge, c.cfg.Latency); ok && wait < deadline.Sub(now) {
			c.nextAt = now.Add(wait)
		}
	}
	return w, true
}

// Wake returns when [Timer] is to be told, zero if never. The driver looks after each
// event and each Write.
func (c *Call) Wake() time.Time {
	if c.ended {
		return time.Time{}
	}
	wake := c.nextAt
	for i := range c.attempts {
		wake = earlier(wake, c.attempts[i].until)
	}
	return wake
}

// earlier returns the earlier of two times, of which zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// Written is how many attempts have been handed to a connection.
func (c *Call) Written() int { return c.written }

// Ended reports whether the call has ended. What ended stays as it is.
func (c *Call) Ended() bool { return c.ended }

// Result is how the call has ended: by the one or the other.
func (c *Call) Result() (*warren.Reply, *warren.Error) { return c.reply, c.err }
