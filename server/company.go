package server

import (
	"context"
	"sync"
)

// company is a lock that the handlers of a method share, and that one of them can
// have for itself. Unlike that of a sync.RWMutex, the wait for it ends with a
// context: who wants to be alone, and keeps all others out until those who are in
// have left, does so no longer than its own deadline.
type company struct {
	mu      sync.Mutex
	in      int           // who are in
	alone   bool          // the one who is in has it for itself
	loners  int           // who wait to be alone: nobody else enters meanwhile
	changed chan struct{} // closed when one of these has changed; nil if nobody waits
}

// enter waits for a place, alone or among others, and reports whether there is one.
// There is none if ctx ends first.
func (c *company) enter(ctx context.Context, alone bool) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if alone {
		c.loners++
		defer func() {
			c.loners--
			c.change()
		}()
	}
	for c.alone || alone && c.in > 0 || !alone && c.loners > 0 {
		if c.changed == nil {
			c.changed = make(chan struct{})
		}
		changed := c.changed
		c.mu.Unlock()
		select {
		case <-changed:
			c.mu.Lock()
		case <-ctx.Done():
			c.mu.Lock()
			return false
		}
	}
	c.in++
	c.alone = alone
	return true
}

func (c *company) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.in--
	c.alone = false
	c.change()
}

// change wakes those who wait. mu is held.
func (c *company) change() {
	if c.changed != nil {
		close(c.changed)
		c.changed = nil
	}
}
