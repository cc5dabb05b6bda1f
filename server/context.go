package server

import (
	"context"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
)

// requestContext is the context of one request. It starts a timer only when somebody
// waits for its end: most handlers never do, and a timer per request is a twentieth of
// what a small one costs.
type requestContext struct {
	context.Context           // the parent, with the request
	deadline        time.Time // zero if there is none

	mu       sync.Mutex
	inner    context.Context // made when somebody asks for the end
	cancel   context.CancelFunc
	released bool
}

func newRequestContext(parent context.Context, req *warren.Request) *requestContext {
	return &requestContext{Context: warren.ContextWithRequest(parent, req), deadline: req.Deadline}
}

// release cancels the context and what was derived from it.
func (c *requestContext) release() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.released = true
	if c.cancel != nil {
		c.cancel()
	}
}

// ending returns the context that ends.
func (c *requestContext) ending() context.Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.inner != nil {
		return c.inner
	}
	if c.deadline.IsZero() {
		c.inner, c.cancel = context.WithCancel(c.Context)
	} else {
		c.inner, c.cancel = context.WithDeadline(c.Context, c.deadline)
	}
	if c.released {
		c.cancel()
	}
	return c.inner
}

// Deadline implements context.Context.
func (c *requestContext) Deadline() (time.Time, bool) { return c.deadline, !c.deadline.IsZero() }

// Done implements context.Context.
func (c *requestContext) Done() <-chan struct{} { return c.ending().Done() }

// Err implements context.Context. It needs no timer as long as there is no error.
func (c *requestContext) Err() error {
	c.mu.Lock()
	alive := c.inner == nil && !c.released && c.Context.Err() == nil && (c.deadline.IsZero() || time.Now().Before(c.deadline))
	c.mu.Unlock()
	if alive {
		return nil
	}
	return c.ending().Err()
}

// Value implements context.Context. It goes through the inner context, if there
// is one, because package context finds there what it derives children from
// without a goroutine for each.
func (c *requestContext) Value(key any) any {
	c.mu.Lock()
	inner := c.inner
	c.mu.Unlock()
	if inner != nil {
		return inner.Value(key)
	}
	return c.Context.Value(key)
}
