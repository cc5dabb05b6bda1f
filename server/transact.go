package server

import (
	"context"
	"errors"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/store"
)

// inTransaction runs the handler in the store's transaction.
func (at *attempt) inTransaction(ctx context.Context, b body) (*warren.Reply, error) {
	a := at.a
	var reply *warren.Reply
	var handlerErr *warren.Error
	var payload []byte
	ran, committing := false, false
	defer func() {
		if ran && !committing && handlerErr == nil {
			// A panic, or the end of the goroutine: the effect is rolled back.
			at.panicked(ctx)
		}
	}()
	once := func(tx any) (store.Result, error) {
		if !ran && ctx.Err() != nil {
			return store.Result{}, ctx.Err()
		}
		ran, committing, handlerErr = true, false, nil
		reply, handlerErr = at.handle(ctx, b, tx)
		if handlerErr == nil {
			payload, handlerErr = at.payload(reply)
		}
		if handlerErr != nil {
			return store.Result{}, handlerErr
		}
		committing = true
		crashpoint.Reached(crashpoint.Committing, at.m.Name, a.req.CallID)
		return store.Result{State: store.Completed, Payload: payload}, nil
	}
	err := at.transact(ctx, a.id.key, at.token, at.retention(a), once)
	if err != nil && handlerErr == nil && committing && !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrClosed) {
		// It was rolled back, or committed without a word of it. In the second case the
		// repetition finds the token stale.
		err = at.untilTaken(ctx, func(ctx context.Context) error {
			return at.transact(ctx, a.id.key, at.token, at.retention(a), once)
		})
	}
	switch {
	case handlerErr != nil:
		return at.failed(ctx, handlerErr)
	case err != nil && !ran:
		if errors.Is(err, store.ErrStale) {
			a.begun = true // by another server
			return nil, errAgain
		}
		if ctx.Err() != nil {
			return at.notRun(ctx)
		}
		at.abandon(store.Undone)
		return nil, at.broken(ctx, a, err)
	default:
		return at.recorded(err, payload, reply, nil)
	}
}
