package server

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren/store"
)

// claim is what an attempt has of its call's record: it keeps, completes or abandons it.
type claim struct {
	*gate

	ex    *exchange
	token uint64 // fences off whoever had the record before
}

// complete writes how the call has ended.
func (c *claim) complete(ctx context.Context, result store.Result) error {
	return c.untilTaken(ctx, func(ctx context.Context) error {
		return c.store.Complete(ctx, c.ex.id.key, c.token, result, c.retention.ofRecord(c.ex))
	})
}

// abandon gives the claim up after an attempt that came to that end, and reports
// whether it has been lost to another server. If the store does not take it the
// claim ends with its lease, or its process.
func (c *claim) abandon(end store.AttemptEnd) (lost bool) {
	err := c.untilTaken(context.Background(), func(ctx context.Context) error {
		return c.store.Abandon(ctx, c.ex.id.key, c.token, end)
	})
	if lost = errors.Is(err, store.ErrStale); err != nil && !lost {
		c.m.log.Error("a claim cannot be given up", "call_id", clip(c.ex.req.CallID), "error", err)
	}
	return lost
}

// untilTaken repeats a write until the store has taken it, or says that it is too
// late, or the server has cancelled its handlers and waits no longer. The handler
// has run: what it did must not be forgotten while there is hope.
func (c *claim) untilTaken(ctx context.Context, write func(ctx context.Context) error) error {
	ctx = lasting{c.writes, context.WithoutCancel(ctx)}
	for pause := writeFirst; ; pause = min(2*pause, writeMost) {
		err := write(ctx)
		if err == nil || !uncertain(err) && !isFull(err) || isOneOf(err, store.ErrStale, store.ErrClosed, store.ErrRolledBack) {
			return err
		}
		c.m.s.counters.storeErrors.Add(1)
		c.m.log.Error("a call that has run cannot be recorded; trying again, without an answer",
			"call_id", clip(c.ex.req.CallID), "error", err)
		if !sleep(ctx, pause) {
			return err
		}
	}
}

// Pauses before a write is repeated that the store has not taken.
const (
	writeFirst = 50 * time.Millisecond
	writeMost  = 2 * time.Second
)

// writePatience is how long after handlers were cancelled the store gets to take
// what is being written: a little less than Stop waits for them.
const writePatience = cancelPatience * 3 / 4

// lasting is a context with the end of one and the values of another.
type lasting struct {
	context.Context

	values context.Context
}

// Value implements context.Context.
func (l lasting) Value(key any) any { return l.values.Value(key) }
