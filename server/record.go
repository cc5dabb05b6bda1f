package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// attempt is a claimed call that is run.
type attempt struct {
	*gate
	a     *answer
	run   *run
	token uint64
	slot  bool // it has one of the places for handlers
	in    bool // it is in the method's company
}

// execute runs the handler and records its end before that is told.
func (at *attempt) execute(ctx context.Context, b body) (*warren.Reply, error) {
	if at.transact != nil {
		return at.inTransaction(ctx, b)
	}
	if !at.takeSlot(ctx) || ctx.Err() != nil {
		at.freeSlot()
		return at.notRun(ctx)
	}
	defer at.freeSlot()
	reply, told := at.handle(ctx, b, nil)
	at.freeSlot() // not held while the record commits
	if told != nil {
		return at.failed(ctx, told)
	}
	payload, failure := at.payload(reply)
	if failure != nil {
		return at.failed(ctx, failure)
	}
	return at.record(ctx, store.Completed, payload, reply, nil)
}

// takeSlot waits for one of the method's places for handlers, and reports whether
// the attempt has one. There is none if ctx ends first.
func (at *attempt) takeSlot(ctx context.Context) bool {
	if at.slot {
		return true
	}
	select {
	case at.slots <- struct{}{}:
		at.slot = true
	case <-ctx.Done():
	}
	return at.slot
}

func (at *attempt) freeSlot() {
	if at.slot {
		at.slot = false
		<-at.slots
	}
}

func (at *attempt) leaveCompany() {
	if at.in {
		at.in = false
		at.company.leave()
	}
}

// handle calls the application. If that panics, or ends its goroutine, its end is
// recorded on the way.
func (at *attempt) handle(ctx context.Context, b body, tx any) (reply *warren.Reply, told *warren.Error) {
	a, returned := at.a, false
	a.working(1)
	defer func() {
		a.working(-1)
		if !returned && at.transact == nil {
			at.panicked(ctx)
		}
	}()
	reply, told = a.call(ctx, b, tx)
	returned = true
	return reply, told
}

// panicked records a call whose handler has not returned. The answer follows where
// the panic ends, unless it is another server's by now: then the next delivery
// finds that one's.
func (at *attempt) panicked(ctx context.Context) {
	told := at.a.panicError(ctx)
	_, err := at.record(ctx, store.Failed, wire.EncodeStored(nil, told), nil, told)
	if errors.Is(err, errAgain) {
		_ = at.a.leave(putBack)
	}
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

// failed records the end of a call by an error, or gives the claim back where a later
// attempt may end otherwise, and returns what its caller is told.
func (at *attempt) failed(ctx context.Context, told *warren.Error) (*warren.Reply, error) {
	a, g := at.a, at.gate
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		a.ran, a.begun = false, true // its end is another's
		return nil, errAgain
	}
	stopping := errors.Is(context.Cause(ctx), errStopping)
	nothingDone := told.Outcome != warren.Executed
	if at.transact != nil && (stopping || nothingDone || !terminal(told)) {
		nothingDone = true // it is rolled back
		told.Outcome = g.interrupted()
	}
	end := store.Ended
	if nothingDone {
		end = store.Undone
	}
	switch {
	case stopping:
		// The handler gave up because the server stops: another one takes it.
		at.abandon(end)
		return nil, a.leave(unsettled)
	case nothingDone, !terminal(told) && g.m.Dedupe.Mode != AtMostOnce:
		if at.abandon(end) {
			a.begun = true // by another server
			return nil, errAgain
		}
		return nil, told
	default:
		return at.record(ctx, store.Failed, wire.EncodeStored(nil, told), nil, told)
	}
}

// record completes the call's record and returns what its caller is told. While
// the store does not take it nothing is told, and the request not acknowledged.
func (at *attempt) record(ctx context.Context, state store.State, payload []byte, reply *warren.Reply, failure *warren.Error) (*warren.Reply, error) {
	result := store.Result{State: state, Payload: payload}
	crashpoint.Reached(crashpoint.Committing, at.m.Name, at.a.req.CallID)
	err := at.untilTaken(ctx, func(ctx context.Context) error {
		return at.store.Complete(ctx, at.a.id.key, at.token, result, at.retention(at.a))
	})
	return at.recorded(err, payload, reply, failure)
}

// recorded follows what came of writing the record.
func (at *attempt) recorded(err error, payload []byte, reply *warren.Reply, failure *warren.Error) (*warren.Reply, error) {
	a := at.a
	switch {
	case err == nil:
		at.run.payload = payload
		crashpoint.Reached(crashpoint.Committed, at.m.Name, a.req.CallID)
		if failure != nil {
			return nil, failure
		}
		return reply, nil
	case errors.Is(err, store.ErrStale):
		// Another server has it, or it was recorded after all: the record tells.
		a.ran = false
		return nil, errAgain
	default:
		return nil, a.leave(unsettled)
	}
}

// untilTaken repeats a write until the store has taken it, or says that it is too
// late, or the server has cancelled its handlers and waits no longer. The handler
// has run: what it did must not be forgotten while there is hope.
func (at *attempt) untilTaken(ctx context.Context, write func(ctx context.Context) error) error {
	ctx = lasting{at.writes, context.WithoutCancel(ctx)}
	for pause := writeFirst; ; pause = min(2*pause, writeMost) {
		err := write(ctx)
		if err == nil || errors.Is(err, store.ErrStale) || errors.Is(err, store.ErrClosed) {
			return err
		}
		if !uncertain(err) && !isFull(err) {
			return err
		}
		at.s.counters.storeErrors.Add(1)
		at.s.cfg.Logger.Error("a call that has run cannot be recorded; trying again, without an answer", "method", at.m.Name,
			"call_id", clip(at.a.req.CallID), "error", err)
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

func isFull(err error) bool {
	var full *store.FullError
	return errors.As(err, &full)
}

// abandon gives the claim up after an attempt that came to that end, and reports
// whether it has been lost to another server. If the store does not take it the
// claim ends with its lease, or its process.
func (at *attempt) abandon(end store.AttemptEnd) (lost bool) {
	err := at.untilTaken(context.Background(), func(ctx context.Context) error {
		return at.store.Abandon(ctx, at.a.id.key, at.token, end)
	})
	if lost = errors.Is(err, store.ErrStale); err != nil && !lost {
		at.s.cfg.Logger.Error("a claim cannot be given up", "method", at.m.Name, "call_id", clip(at.a.req.CallID), "error", err)
	}
	return lost
}

// notRun is the end of a claim whose handler was never called, as ctx has ended.
func (at *attempt) notRun(ctx context.Context) (*warren.Reply, error) {
	if at.abandon(store.Undone) || errors.Is(context.Cause(ctx), errLeaseLost) {
		at.a.begun = true // by another server
		return nil, errAgain
	}
	return nil, at.late(ctx, at.a)
}

// sleep pauses for about d, and reports whether ctx is alive after that.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d/2 + time.Duration(rand.Int64N(int64(d))))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
