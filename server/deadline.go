package server

import (
	"context"
	"sync"
	"time"
)

// deadlineContext is a context with a deadline that starts a timer only when
// somebody waits for it: most handlers never do, and a timer per request is a
// twentieth of what a small one costs.
type deadlineContext struct {
	context.Context // the parent
	deadline        time.Time

	mu       sync.Mutex
	inner    context.Context // made by the first Done
	cancel   context.CancelFunc
	released bool
	err      error // what Err has said
}

func withDeadline(parent context.Context, deadline time.Time) *deadlineContext {
	return &deadlineContext{Context: parent, deadline: deadline}
}

// release cancels the context and what was derived from it.
func (c *deadlineContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	if c.cancel != nil {
		c.cancel()
	}
}

// Deadline implements context.Context.
func (c *deadlineContext) Deadline() (time.Time, bool) { return c.deadline, true }

// Done implements context.Context.
func (c *deadlineContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner == nil {
		c.inner, c.cancel = context.WithDeadline(c.Context, c.deadline)
		if c.released {
			c.cancel()
		}
	}
	return c.inner.Done()
}

// Err implements context.Context.
func (c *deadlineContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil: // once said, it stays
	case c.inner != nil:
		c.err = c.inner.Err()
	case c.Context.Err() != nil:
		c.err = c.Context.Err()
	case !time.Now().Before(c.deadline):
		c.err = context.DeadlineExceeded
	case c.released:
		c.err = context.Canceled
	}
	return c.err
}

// Value implements context.Context. It goes through the inner context, if there
// is one, because package context finds there what it derives children from
// without a goroutine for each.
func (c *deadlineContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.Context.Value(key)
}
