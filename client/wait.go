package client

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
)

// wait waits for the end of shared, which is cl or the call that it has joined, and
// leaves it when the caller's own time is up.
func (cl *call) wait(ctx context.Context, expired <-chan time.Time, shared *call) (*warren.Reply, error) {
	select {
	case <-shared.done:
		return cl.result(shared)
	case <-expired:
		return cl.leave(shared, errDeadline())
	case <-ctx.Done():
	}
	if !cl.keepsOn(ctx, shared) {
		return cl.leave(shared, ended(ctx))
	}
	until := time.NewTimer(time.Until(cl.deadline))
	defer until.Stop()
	select {
	case <-shared.done:
		return cl.result(shared)
	case <-until.C:
		return cl.leave(shared, errDeadline())
	}
}

// keepsOn reports whether a caller whose context has ended waits on for a call that has
// gone out.
func (cl *call) keepsOn(ctx context.Context, shared *call) bool {
	if !cl.settings.keepsOn || !errors.Is(ctx.Err(), context.Canceled) {
		return false
	}
	shared.lock()
	defer shared.mu.Unlock()
	return shared.state.Written() > 0
}

// leave gives up waiting, with err: it executes nothing, so the outcome is that of the
// attempts.
func (cl *call) leave(shared *call, err *warren.Error) (*warren.Reply, error) {
	if !shared.on(time.Now(), callstate.Event{Kind: callstate.Left, Err: err}) {
		return nil, cl.complete(err) // others wait on
	}
	<-shared.done // until then its body may be read, which the caller is about to have back
	return cl.result(shared)
}

// result returns how a call has ended.
func (cl *call) result(shared *call) (*warren.Reply, error) {
	reply, err := shared.state.Result()
	if err == nil {
		return reply, nil
	}
	e := *err // each caller has an error of its own
	return nil, cl.complete(&e)
}

// complete completes an error for this caller. It reads the caller's own body: that of
// another one, who has joined this call, may have gone back to its owner.
func (cl *call) complete(e *warren.Error) *warren.Error {
	if e.Attempts == 0 && e.Reason == "" {
		cl.c.explain(e)
	}
	return complete(&cl.req.Request, e)
}
