package broker

import (
	"context"
	"errors"
)

// intake is whether and how much a consumer takes.
type intake struct {
	paused   bool
	prefetch int
	changed  chan struct{} // closed when another intake holds
}

// over reports whether another intake holds.
func (in *intake) over() bool {
	select {
	case <-in.changed:
		return true
	default:
		return false
	}
}

// errIntakeChanged says that a stream ended because of Pause or Resume.
var errIntakeChanged = errors.New("warren: the consumer takes another number of messages")

// Pause ends the intake, in this session and those to come, until Resume.
// Messages that were fetched and are not being handled go back to the queue at
// once; those that are handled are acknowledged as ever. It does not wait.
func (c *Consumer) Pause() { c.take(intake{paused: true, prefetch: c.cfg.Prefetch}) }

// Resume goes on with that many unacknowledged messages at most, or as
// configured if prefetch is 0. A consumer that takes so many already goes on
// undisturbed. It does not wait.
func (c *Consumer) Resume(prefetch int) {
	if prefetch == 0 {
		prefetch = c.cfg.Prefetch
	}
	c.take(intake{prefetch: prefetch})
}

func (c *Consumer) take(in intake) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if in.paused == c.intake.paused && in.prefetch == c.intake.prefetch {
		return
	}
	in.changed = make(chan struct{})
	close(c.intake.changed)
	c.intake = in
}

func (c *Consumer) taking() intake {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.intake
}

// Paused reports whether Pause was called, and Resume not since.
func (c *Consumer) Paused() bool { return c.taking().paused }

// waitFor waits for the change, and reports false if the consumer has to end
// first.
func (c *Consumer) waitFor(ctx context.Context, s *Session, changed <-chan struct{}) bool {
	select {
	case <-changed:
		return true
	case <-c.draining:
	case <-s.Done():
	case <-ctx.Done():
	}
	return false
}

// giveBack cancels the consumer and puts back what no worker has begun. The
// channel lives on for those that have, and would keep the rest as long.
func (st *stream) giveBack() {
	if err := st.s.do("cancel", func() error { return st.ch.Cancel(st.tag, false) }); err != nil {
		return // what was not begun goes back when the channel closes
	}
	// The cancel's answer follows the last delivery, and ends the channel of them.
	for d := range st.deliveries {
		st.acker.putBack(d.DeliveryTag)
	}
}
