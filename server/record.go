package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/store"
)

// attempt is a claimed call that is run.
type attempt struct {
	*gate
	a     *answer
	run   *run
	token uint64
}

// execute runs the handler and records its end before that is told.
func (at *attempt) execute(ctx context.Context, b body) (*warren.Reply, error, bool) {
	a := at.a
	if at.transact != nil {
		return at.inTransaction(ctx, b)
	}
	select {
	case at.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, at.notRun(ctx), false
	}
	held := true
	release := func() {
		if held {
			held = false
			<-at.slots
		}
	}
	defer release()
	reply, err := at.handle(ctx, b, nil)
	release() // not held while the record commits
	if err != nil {
		return at.failed(ctx, err)
	}
	payload, failure := at.payload(reply)
	if failure != nil {
		return at.failed(ctx, failure)
	}
	crashpoint.Reached(crashpoint.Committing, at.m.Name, a.req.CallID)
	return at.record(ctx, store.Completed, payload, reply, nil)
}

// handle calls the application. If that panics, or ends its goroutine, its end is
// recorded on the way.
func (at *attempt) handle(ctx context.Context, b body, tx any) (reply *warren.Reply, err error) {
	a, returned := at.a, false
	a.working(1)
	defer func() {
		a.working(-1)
		if !returned && at.transact == nil {
			at.panicked()
		}
	}()
	crashpoint.Reached(crashpoint.InHandler, at.m.Name, a.req.CallID)
	a.started()
	reply, err = b(ctx, tx)
	crashpoint.Reached(crashpoint.EffectDone, at.m.Name, a.req.CallID)
	if reply == nil {
		reply = &warren.Reply{}
	}
	returned = true
	return reply, err
}

// panicked records a call whose handler has not returned. The answer follows where
// the panic ends.
func (at *attempt) panicked() {
	told := at.a.panicError()
	_, _, _ = at.record(context.Background(), store.Failed, wire.EncodeStored(nil, told), nil, told)
}

// payload is what is stored of a reply. One that cannot be sent is an error.
func (at *attempt) payload(reply *warren.Reply) ([]byte, *warren.Error) {
	limits := at.m.limits
	limits.Body = at.s.cfg.MaxReply
	if err := wire.CheckReply(reply, limits); err != nil {
		return nil, err
	}
	return wire.EncodeStored(reply, nil), nil
}

// failed records the end of a call by an error, and returns what its caller is
// told.
func (at *attempt) failed(ctx context.Context, err error) (*warren.Reply, error, bool) {
	a, g := at.a, at.gate
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		a.ended(reliability.Ignored)
		return nil, nil, true
	}
	if errors.Is(context.Cause(ctx), errStopping) {
		// The handler gave up because the server stops: another one takes it.
		a.ended(reliability.Ignored)
		at.abandon()
		a.keep()
		return nil, errHandled, false
	}
	told := g.s.toError(a.req, err)
	a.ended(judge(err, told))
	if !terminal(told) && g.m.Dedupe.Mode != AtMostOnce {
		at.abandon()
		return nil, verdict{told}, false
	}
	return at.record(ctx, store.Failed, wire.EncodeStored(nil, told), nil, told)
}

// record completes the call's record and returns what its caller is told. While
// the store does not take it nothing is told, and the request not acknowledged.
func (at *attempt) record(ctx context.Context, state store.State, payload []byte, reply *warren.Reply, failure *warren.Error) (*warren.Reply, error, bool) {
	result := store.Result{State: state, Payload: payload}
	err := at.untilTaken(ctx, func(ctx context.Context) error {
		return at.store.Complete(ctx, at.a.id.key, at.token, result, at.m.Dedupe.Retention)
	})
	return at.recorded(err, payload, reply, failure)
}

// recorded follows what came of writing the record.
func (at *attempt) recorded(err error, payload []byte, reply *warren.Reply, failure *warren.Error) (*warren.Reply, error, bool) {
	a := at.a
	switch {
	case err == nil:
		at.run.payload = payload
		crashpoint.Reached(crashpoint.Committed, at.m.Name, a.req.CallID)
		if failure != nil {
			return nil, verdict{failure}, false
		}
		a.ended(reliability.Success)
		return reply, nil, false
	case errors.Is(err, store.ErrStale):
		// Another server has it, or it was recorded after all: the record tells.
		a.ended(reliability.Ignored)
		return nil, nil, true
	default:
		a.ended(reliability.Ignored)
		a.keep()
		return nil, errHandled, false
	}
}

// untilTaken repeats a write until the store has taken it, or says that it is too
// late, or the server stops. The handler has run: what it did must not be
// forgotten while there is hope.
func (at *attempt) untilTaken(ctx context.Context, write func(ctx context.Context) error) error {
	ctx = context.WithoutCancel(ctx)
	stopping := at.s.handlers
	for pause := writeFirst; ; pause = min(2*pause, writeMost) {
		err := write(ctx)
		if err == nil || errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrClosed) {
			return err
		}
		var unavailable *store.UnavailableError
		if !errors.As(err, &unavailable) && !isFull(err) {
			return err
		}
		at.s.counters.storeErrors.Add(1)
		at.s.cfg.Logger.Error("a call that has run cannot be recorded; trying again, without an answer", "method", at.m.Name,
			"call_id", clip(at.a.req.CallID), "error", err)
		if !sleep(stopping, pause) {
			return err
		}
	}
}

// Pauses before a write is repeated that the store has not taken.
const (
	writeFirst = 50 * time.Millisecond
	writeMost  = 2 * time.Second
)

func isFull(err error) bool {
	var full *store.FullError
	return errors.As(err, &full)
}

// abandon gives the claim up after an attempt that ended in order. If the store
// does not take it the claim ends with its lease, or its process.
func (at *attempt) abandon() {
	err := at.untilTaken(context.Background(), func(ctx context.Context) error {
		return at.store.Abandon(ctx, at.a.id.key, at.token, true)
	})
	if err != nil && !errors.Is(err, store.ErrStale) {
		at.s.cfg.Logger.Error("a claim cannot be given up", "method", at.m.Name, "call_id", clip(at.a.req.CallID), "error", err)
	}
}

// notRun gives up a claim whose handler was never called.
func (at *attempt) notRun(ctx context.Context) error {
	at.a.notBegun()
	at.abandon()
	if errors.Is(context.Cause(ctx), errStopping) {
		at.a.keep()
		return errHandled
	}
	return verdict{at.a.expired()}
}

// inTransaction runs the handler in the store's transaction.
func (at *attempt) inTransaction(ctx context.Context, b body) (*warren.Reply, error, bool) {
	a := at.a
	var reply *warren.Reply
	var handlerErr error
	var payload []byte
	ran, committing := false, false
	defer func() {
		if ran && !committing && handlerErr == nil {
			// A panic, or the end of the goroutine: the effect is rolled back.
			at.panicked()
		}
	}()
	once := func(tx any) (store.Result, error) {
		ran, committing, handlerErr = true, false, nil
		reply, handlerErr = at.handle(ctx, b, tx)
		if handlerErr == nil {
			var failure *warren.Error
			if payload, failure = at.payload(reply); failure != nil {
				handlerErr = failure
			}
		}
		if handlerErr != nil {
			return store.Result{}, handlerErr
		}
		committing = true
		crashpoint.Reached(crashpoint.Committing, at.m.Name, a.req.CallID)
		return store.Result{State: store.Completed, Payload: payload}, nil
	}
	err := at.transact(ctx, a.id.key, at.token, at.m.Dedupe.Retention, once)
	if err != nil && handlerErr == nil && committing && !errors.Is(err, store.ErrStale) && !errors.Is(err, store.ErrClosed) {
		// It was rolled back, or committed without a word of it. In the second case the
		// repetition finds the token stale.
		err = at.untilTaken(ctx, func(ctx context.Context) error {
			return at.transact(ctx, a.id.key, at.token, at.m.Dedupe.Retention, once)
		})
	}
	switch {
	case handlerErr != nil:
		return at.failed(ctx, handlerErr)
	case err != nil && !ran:
		if errors.Is(err, store.ErrStale) {
			a.notBegun()
			return nil, nil, true
		}
		if ctx.Err() != nil {
			return nil, at.notRun(ctx), false
		}
		a.notBegun()
		at.abandon()
		return nil, at.broken(ctx, a, err), false
	default:
		return at.recorded(err, payload, reply, nil)
	}
}

// errLeaseLost is the cause of a handler's context that ends because another
// server has taken the call.
var errLeaseLost = errors.New("warren: another server has taken the call")

// keepLease renews the claim's lease until stop is called. The context ends when
// that fails because somebody else has the call.
func (at *attempt) keepLease(ctx context.Context) (_ context.Context, stop func()) {
	leased, cancel := context.WithCancelCause(ctx)
	done := make(chan struct{})
	lease := at.m.Dedupe.Lease
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(lease / 3)
		defer tick.Stop()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			bounded, cancelRenew := context.WithTimeout(context.Background(), lease)
			err := at.store.Renew(bounded, at.a.id.key, at.token, lease)
			cancelRenew()
			if errors.Is(err, store.ErrStale) {
				cancel(errLeaseLost)
				return
			}
		}
	}()
	return leased, func() {
		close(done)
		<-ended
		cancel(nil)
	}
}

// panicError is what is told and stored of a handler that did not return. It is
// the same for both.
func (a *answer) panicError() *warren.Error {
	if a.panicked == nil {
		a.panicked = &warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonPanic, Outcome: warren.Executed, Incident: uuid.NewString(),
			Message: "the handler panicked; the server's log has the rest",
		}
	}
	return a.panicked
}

// logPanic writes down the panic whose value this is; nil if the handler ended its
// goroutine.
func (a *answer) logPanic(value any) {
	a.s.counters.panics.Add(1)
	a.s.cfg.Logger.Error("the handler panicked", "incident", a.panicError().Incident, "method", a.req.Method,
		"call_id", clip(a.req.CallID), "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}
