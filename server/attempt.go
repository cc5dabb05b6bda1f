package server

import (
	"context"
	"errors"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// attempt is one try to claim a call and run it.
type attempt struct {
	claim

	flight  *flight
	locked  bool // it holds the method's lock
	placed  bool // it has one of the places for handlers
	running bool // the application has been called, and has not returned
}

func newAttempt(g *gate, ex *exchange, f *flight) *attempt {
	return &attempt{claim: claim{gate: g, ex: ex}, flight: f}
}

// begin claims the call and runs it. rec is its record as it was seen, or nil if
// nobody has looked: then only a new call is claimed.
func (at *attempt) begin(ctx context.Context, b body, rec *store.Record) decision {
	defer at.unlock()
	defer at.freePlace()
	g, ex, d, unseen := at.gate, at.ex, &at.m.Dedupe, rec == nil
	if unseen {
		rec = &store.Record{}
	}
	last := d.Park > 0 && rec.State == store.Interrupted && rec.Attempts == d.Park-1
	at.locked = g.lock.lock(ctx, last)
	// What is claimed at most once and not begun, when the server dies, is never begun:
	// hence a place first.
	if !at.locked || d.Mode == AtMostOnce && !at.takePlace(ctx) {
		return g.late(ex)
	}
	if why := g.retention.forbids(ex); why != nil {
		if unseen {
			return decision{kind: lookAgain} // its record may tell how it ended
		}
		return at.refuseAge(why)
	}
	claimed, won, err := g.store.Claim(ctx, store.Claim{
		Key: ex.id.key, Fingerprint: ex.id.fingerprint, Method: g.m.Name, CallID: ex.req.CallID,
		Lease: d.Lease, Retention: g.retention.ofRecord(ex), Once: unseen || d.Mode == AtMostOnce, Unpark: ex.unpark,
	})
	if err != nil || !won {
		return at.notClaimed(ctx, &claimed, rec, unseen, err)
	}
	g.inFlight.claimed(ex.id.key)
	g.m.s.counters.claims.Add(1)
	if rec.State != store.Absent {
		g.m.s.counters.takeovers.Add(1)
	}
	crashpoint.Reached(crashpoint.Claimed, g.m.Name, ex.req.CallID)
	at.token = claimed.Token
	if !claimed.Lease.IsZero() {
		var stop func()
		ctx, stop = at.keepLease(ctx)
		defer stop()
	}
	switch {
	case d.Park > 0 && claimed.Attempts > d.Park:
		at.unlock() // the dead queue may be long in coming
		return at.parkPoisoned(claimed.Attempts - 1)
	case d.Park > 0 && claimed.Attempts == d.Park && !last:
		// Others have begun it since it was looked at: this attempt must run alone.
		at.abandon(store.Undone)
		return decision{kind: lookAgain}
	}
	return at.execute(ctx, b)
}

// notClaimed is the end of an attempt whose claim was lost, or failed.
func (at *attempt) notClaimed(ctx context.Context, claimed, seen *store.Record, unseen bool, err error) decision {
	switch {
	case err == nil && claimed.State == store.Tombstone:
		return failed(at.canceled(at.ex, claimed))
	case err == nil:
		return at.othersNow()
	case uncertain(err):
		at.doubt(at.ex.id.key, seen.Token)
	}
	// That the store has failed, or is full, says nothing of the call's record.
	if unseen && !errors.Is(err, store.ErrKeyReused) || at.wait(ctx, at.ex, err, writeMost) {
		return decision{kind: lookAgain}
	}
	return at.broken(ctx, at.ex, err)
}

// othersNow is the end of an attempt whose call another server has.
func (at *attempt) othersNow() decision {
	at.ex.begun = true
	return decision{kind: lookAgain}
}

// overtaken is othersNow of an attempt whose handler has run: what it returned counts for
// nothing.
func (at *attempt) overtaken() decision {
	at.ex.stage = decoded
	return at.othersNow()
}

// takePlace waits for one of the method's places for handlers, and reports whether
// the attempt has one. There is none if ctx ends first, or the server's handlers have
// to: they are told one after the other, and the place of the first must not go to one
// that is about to be told, or whose interceptors have taken it out of the server's hand.
func (at *attempt) takePlace(ctx context.Context) bool {
	if !at.placed {
		select {
		case at.places <- struct{}{}:
			at.placed = true
			if at.m.s.handlers.Err() != nil {
				at.freePlace()
			}
		case <-ctx.Done():
		}
	}
	return at.placed
}

func (at *attempt) freePlace() {
	if at.placed {
		at.placed = false
		<-at.places
	}
}

func (at *attempt) unlock() {
	if at.locked {
		at.locked = false
		at.lock.unlock()
	}
}

// execute runs the handler and records its end before that is told. If the handler
// panics, or ends its goroutine, that is recorded on the way.
func (at *attempt) execute(ctx context.Context, b body) (dec decision) {
	defer func() {
		if at.running {
			dec = at.panicked(ctx)
		}
	}()
	if at.transact != nil {
		return at.inTransaction(ctx, b)
	}
	if !at.takePlace(ctx) || ctx.Err() != nil {
		at.freePlace()
		return at.notRun(ctx)
	}
	dec, payload := at.run(ctx, b, nil)
	at.freePlace() // not held while the record commits
	if dec.kind == sendError {
		return at.failed(ctx, dec)
	}
	return at.record(ctx, store.Completed, payload, dec)
}

// run calls the application, and returns what is stored of its reply. One that cannot
// be sent is an error.
func (at *attempt) run(ctx context.Context, b body, tx any) (dec decision, payload []byte) {
	at.m.working(1)
	defer at.m.working(-1)
	at.running = true
	dec = at.ex.call(ctx, b, tx)
	at.running = false
	if dec.kind != sendReply {
		return dec, nil
	}
	limits := at.m.limits
	limits.Body = at.m.s.cfg.MaxReply
	if err := wire.CheckReply(dec.reply, limits); err != nil {
		return failed(err), nil
	}
	return dec, wire.EncodeStored(dec.reply, nil)
}

// inTransaction runs the handler in the store's transaction.
func (at *attempt) inTransaction(ctx context.Context, b body) decision {
	var dec decision
	var payload []byte
	begun := at.ex.begun
	once := func(tx any) (store.Result, error) {
		if dec.kind == undecided && ctx.Err() != nil {
			return store.Result{}, ctx.Err()
		}
		if dec, payload = at.run(ctx, b, tx); dec.kind == sendError {
			return store.Result{}, dec.err
		}
		crashpoint.Reached(crashpoint.Committing, at.m.Name, at.ex.req.CallID)
		return store.Result{State: store.Completed, Payload: payload}, nil
	}
	err := at.transact(ctx, at.ex.id.key, at.token, at.retention.ofRecord(at.ex), once)
	if err != nil && dec.kind == sendReply && !isOneOf(err, store.ErrStale, store.ErrClosed, store.ErrRolledBack) {
		// It was rolled back, or committed without a word of it. In the second case the
		// repetition finds the token stale.
		err = at.untilTaken(ctx, func(ctx context.Context) error {
			return at.transact(ctx, at.ex.id.key, at.token, at.retention.ofRecord(at.ex), once)
		})
	}
	switch {
	case at.running:
		// The store has met the handler's panic: it takes that of a page which cannot be
		// read for a damage of its file. What is returned follows from the record.
		logPanic(at.m, "the handler panicked", at.ex.req.CallID, at.ex.panicError(ctx), err)
		return decision{}
	case errors.Is(err, store.ErrRolledBack):
		return at.rolledBack(err)
	case dec.kind == sendError && uncertain(err) && err != error(dec.err): //nolint:errorlint // the store returns the handler's own as it is
		// The store has failed under the handler, whose error says no more than that.
		at.ex.begun = begun
		return at.noTransaction(ctx, err)
	case dec.kind == sendError:
		return at.failed(ctx, dec)
	case dec.kind == sendReply:
		return at.recorded(err, payload, dec)
	case errors.Is(err, store.ErrStale):
		return at.othersNow()
	case ctx.Err() != nil:
		return at.notRun(ctx)
	default:
		return at.noTransaction(ctx, err)
	}
}

// rolledBack is the end of an attempt whose handler returned a reply although a
// statement of its transaction had failed. The fault is the handler's, and nothing
// was done.
func (at *attempt) rolledBack(err error) decision {
	told := warren.Errorf(warren.CodeInternal, "the handler's transaction could not commit, and was rolled back; the server's log has the rest")
	told.Incident, told.Outcome = newIncident(), at.interrupted()
	at.m.log.Error("the handler passed over an error of its transaction, which could not commit",
		"incident", told.Incident, "call_id", clip(at.ex.req.CallID), "error", err)
	if at.abandon(store.Undone) {
		return at.othersNow()
	}
	return failed(told)
}

// noTransaction is the end of an attempt for which the store has no transaction, or
// has lost it.
func (at *attempt) noTransaction(ctx context.Context, err error) decision {
	at.ex.stage = decoded
	if at.abandon(store.Undone) {
		return at.othersNow()
	}
	// The attempt's own context ends when its lease cannot be renewed any more.
	if at.wait(at.m.s.handlers, at.ex, err, writeMost) {
		return decision{kind: lookAgain}
	}
	return at.broken(ctx, at.ex, err)
}

// panicked records a call whose handler has not returned. The answer follows where
// the panic ends, unless it is another server's by now: then the next delivery
// finds that one's. Nobody else begins what is begun at most once.
func (at *attempt) panicked(ctx context.Context) decision {
	told := at.ex.panicError(ctx)
	dec := at.record(ctx, store.Failed, wire.EncodeStored(nil, told), failed(told))
	switch {
	case dec.kind != lookAgain:
	case at.m.Dedupe.Mode == AtMostOnce:
		dec = failed(told)
	default:
		dec = left(putBack)
	}
	at.ex.inner = dec
	return dec
}

// failed records the end of a call by an error, or gives the claim back where a later
// attempt may end otherwise.
func (at *attempt) failed(ctx context.Context, dec decision) decision {
	if errors.Is(context.Cause(ctx), errLeaseLost) {
		return at.overtaken()
	}
	told := dec.err
	stopping, retryable, undone := isStopping(ctx), !terminal(told), told.Outcome != warren.Executed
	if at.transact != nil && (stopping || retryable || undone) {
		told.Outcome, undone = at.interrupted(), true // it is rolled back
	}
	end := store.Ended
	if undone {
		end = store.Undone
	}
	switch {
	case stopping:
		// The handler gave up because the server stops: another one takes it.
		at.abandon(end)
		return left(leave)
	case undone, retryable && at.m.Dedupe.Mode != AtMostOnce:
		if at.abandon(end) {
			return at.othersNow()
		}
		return dec
	default:
		return at.record(ctx, store.Failed, wire.EncodeStored(nil, told), dec)
	}
}

// notRun is the end of a claim whose handler was never called, as ctx has ended.
func (at *attempt) notRun(ctx context.Context) decision {
	if at.abandon(store.Undone) || errors.Is(context.Cause(ctx), errLeaseLost) {
		return at.othersNow()
	}
	return at.late(at.ex)
}

// record completes the call's record. While the store does not take it nothing is told,
// and the request not acknowledged.
func (at *attempt) record(ctx context.Context, state store.State, payload []byte, dec decision) decision {
	crashpoint.Reached(crashpoint.Committing, at.m.Name, at.ex.req.CallID)
	err := at.complete(ctx, store.Result{State: state, Payload: payload})
	return at.recorded(err, payload, dec)
}

// recorded follows what came of writing the record.
func (at *attempt) recorded(err error, payload []byte, dec decision) decision {
	switch {
	case err == nil:
		at.flight.payload = payload
		crashpoint.Reached(crashpoint.Committed, at.m.Name, at.ex.req.CallID)
		return dec
	case errors.Is(err, store.ErrStale):
		return at.overtaken() // or it was recorded after all: the record tells
	default:
		return left(leave)
	}
}

// refuseAge is the end of a request that is too old. A notification, whose sender
// would not hear of that, is parked.
func (at *attempt) refuseAge(why *warren.Error) decision {
	if !at.ex.req.OneWay || at.m.Dedupe.Park <= 0 || at.ex.replay != nil {
		return failed(why)
	}
	why.Incident = newIncident()
	return at.park(why, 0)
}

// parkPoisoned parks a claimed call and records that.
func (at *attempt) parkPoisoned(attempts int) decision {
	dec := at.park(poisonedBy(attempts), attempts)
	if dec.kind == leave {
		at.abandon(store.Undone)
		return dec
	}
	// What the attempts did cannot be told, unless it was rolled back.
	dec.err.Outcome = at.interrupted()
	return at.record(context.Background(), store.Parked, wire.EncodeStored(nil, dec.err), dec)
}

// park parks the request with a voucher, and waits until it is. If it cannot be parked
// the request is left: the next delivery tries again.
func (at *attempt) park(why *warren.Error, attempts int) decision {
	note := parkNote(at.ex, why, attempts)
	err := at.untilTaken(context.Background(), func(ctx context.Context) error {
		return at.vouchers.write(ctx, at.ex, note)
	})
	if err != nil {
		return left(leave)
	}
	parked := make(chan decision, 1)
	parkRequest(at.ex, why, note, func(dec decision) { parked <- dec })
	return <-parked
}
