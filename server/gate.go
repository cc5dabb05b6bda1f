package server

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/store"
)

// body is the application's function with its request, decoded and valid. tx is
// the store's transaction, of transactional methods.
type body func(ctx context.Context, tx any) (*warren.Reply, error)

// gate stands between a method's interceptors and its handler, and sees that a
// call which is delivered, or made, again is not run again when it must not be. It
// is where a request meets the store:
//
//	look up (replay, attach, tombstone) → claim → handler → record
//
// A call that is presumably new is claimed at once, and looked up if the claim is lost
// or fails.
type gate struct {
	records

	keys     keys
	vouchers vouchers
	transact transactor    // of transactional methods
	places   chan struct{} // one per handler that runs
	// Attempts share it; that of a call which has died too often with its server has it
	// alone.
	lock     sharedLock
	inFlight inFlight
	waiter   store.Waiter    // nil if the store is none
	writes   context.Context // of what is written after a handler has run; see attempt.untilTaken
}

// transactor is a Transactional store's Transact for any type of transaction.
type transactor func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx any) (store.Result, error)) error

func newGate(m *method, t transactor) *gate {
	g := &gate{
		records: records{m: m, store: m.s.cfg.Store, retention: retention{Dedupe: &m.Dedupe, log: m.log}},
		keys:    newKeys(m), transact: t, places: make(chan struct{}, m.Concurrency), inFlight: newInFlight(), writes: m.s.writes,
	}
	g.vouchers = vouchers{&g.keys, g.store}
	g.waiter, _ = g.store.(store.Waiter)
	return g
}

// handle answers the request from the record of its call, or runs it and records how
// it ended.
func (g *gate) handle(ctx context.Context, ex *exchange, b body) decision {
	for {
		call, mine := g.inFlight.enter(ex.id)
		if mine {
			return g.own(ctx, ex, call, b)
		}
		if !call.fingerprint.Matches(ex.id.fingerprint) {
			return g.reused(ex)
		}
		g.m.s.counters.attached.Add(1)
		ex.begun = true
		select {
		case <-call.done:
		case <-ctx.Done():
			return g.unfinished(ctx)
		}
		if call.payload != nil {
			return g.replay(&store.Record{CallID: ex.req.CallID, State: store.Completed, Payload: call.payload, Retained: true})
		}
		// It ended without a result, and is nobody's again.
	}
}

// own is handle for the one goroutine of this process that has the call.
func (g *gate) own(ctx context.Context, ex *exchange, call *flight, b body) decision {
	defer g.inFlight.exit(ex.id.key, call)
	// A look at the record is wasted on nearly all calls.
	if presumablyNew := !ex.req.Redelivered && ex.req.Attempt <= 1 && !ex.unpark && !ex.ran; presumablyNew {
		if dec := newAttempt(g, ex, call).begin(ctx, b, nil); dec.kind != lookAgain {
			return dec
		}
	}
	for pause := foreignFirst; ; pause = min(2*pause, foreignMost) {
		rec, err := g.look(ctx, ex.id.key)
		switch {
		case err != nil:
			if g.wait(ctx, ex, err, pause) {
				continue
			}
			return g.broken(ctx, ex, err)
		case rec.State != store.Absent && !rec.Fingerprint.Matches(ex.id.fingerprint):
			return g.reused(ex)
		case rec.State.Ended() && (rec.State != store.Parked || !ex.unpark):
			return g.replay(&rec)
		case rec.State == store.Tombstone:
			return failed(g.canceled(ex, &rec))
		case rec.State == store.InProgress:
			// Another server's, which lives. Not acknowledging costs nothing; giving it
			// back would be a delivery of the queue's limit.
			ex.begun = true
			if !g.awaitChange(ctx, &rec, pause) {
				return g.unfinished(ctx)
			}
			continue
		case (rec.State == store.Interrupted || rec.State == store.Absent && ex.ran) && g.m.Dedupe.Mode == AtMostOnce:
			// Without a record it was forgotten under the handler.
			g.m.s.counters.interrupted.Add(1)
			return failed(warren.Errorf(warren.CodeAborted, "an attempt of the call was begun and did not end, and it must not be begun twice").
				WithReason(warren.ReasonInterrupted))
		case rec.State != store.Absent && (g.m.Dedupe.Mode == AtLeastOnce || g.store.Traits().Shared):
			// In a transaction it may commit yet, if its owner lives and nobody claims it.
			ex.begun = true
		}
		if dec := newAttempt(g, ex, call).begin(ctx, b, &rec); dec.kind != lookAgain {
			return dec
		}
	}
}

// Pauses between looks at a call that another server has, if the store does not tell
// when it changes.
const (
	foreignFirst = 20 * time.Millisecond
	foreignMost  = time.Second
)

// awaitChange waits until the record, which another server has in progress, may have
// changed, and reports whether ctx is alive after that.
func (g *gate) awaitChange(ctx context.Context, rec *store.Record, pause time.Duration) bool {
	if g.waiter == nil || g.waiter.Wait(ctx, rec.Key, rec.Token) != nil {
		return sleep(ctx, pause) // a store that fails is met again by the next look
	}
	return ctx.Err() == nil
}

// look returns the record of a call. A claim of which the store said that it had failed
// is given up.
func (g *gate) look(ctx context.Context, key store.Key) (store.Record, error) {
	rec, err := g.store.Get(ctx, key)
	if err != nil || !g.inFlight.doubted(&rec, g.store.Owner()) {
		return rec, err
	}
	if err := g.store.Abandon(ctx, key, rec.Token, store.Undone); err != nil && !errors.Is(err, store.ErrStale) {
		g.doubt(key, rec.Token-1)
		return rec, err
	}
	return g.store.Get(ctx, key)
}

// doubt notes that a claim after that token, which has failed, may have been made. It
// is looked at until the store answers: another server that met it would take it for
// an attempt that was begun.
func (g *gate) doubt(key store.Key, token uint64) {
	if g.inFlight.doubt(key, token) {
		g.m.s.inBackground(g.settle)
	}
}

// settle looks at the calls that are in doubt until there are none, or handlers must
// end: what is in doubt then is a dead owner's.
func (g *gate) settle() {
	for sleep(g.m.s.handlers, settleEvery) {
		doubts := g.inFlight.inDoubt()
		if len(doubts) == 0 {
			return
		}
		for _, key := range doubts {
			call, mine := g.inFlight.enter(&identity{key: key})
			if !mine {
				continue // who has the call looks at its record, or has claimed it
			}
			ctx, cancel := context.WithTimeout(g.m.s.handlers, g.m.Dedupe.Lease)
			_, err := g.look(ctx, key)
			cancel()
			g.inFlight.exit(key, call)
			if err != nil {
				break
			}
		}
	}
}

// settleEvery is how often it is tried.
const settleEvery = 200 * time.Millisecond

// reused is the end of a request whose ID was used for another.
func (g *gate) reused(ex *exchange) decision {
	g.m.s.counters.conflicts.Add(1)
	return ex.refuse(warren.Errorf(warren.CodeAlreadyExists, "the call ID was used for another request").WithReason(warren.ReasonKeyReused))
}

// unfinished is the end of a request that waited for a call under way elsewhere.
func (g *gate) unfinished(ctx context.Context) decision {
	if isStopping(ctx) {
		return left(leave)
	}
	return failed(warren.Errorf(warren.CodeDeadlineExceeded, "the call was still being handled elsewhere"))
}

// late is the end of a request whose context ended before it was begun.
func (g *gate) late(ex *exchange) decision {
	if g.m.s.handlers.Err() != nil {
		return left(leave)
	}
	return ex.expired()
}

// wait pauses if the store has failed in a way that may pass, and the request can
// wait for that: a notification, which nobody would send again. It reports whether
// to try again.
func (g *gate) wait(ctx context.Context, ex *exchange, err error, pause time.Duration) bool {
	if !ex.req.OneWay || !uncertain(err) && !isFull(err) {
		return false
	}
	g.m.s.counters.storeErrors.Add(1)
	g.m.log.Error("the idempotency store has failed; a notification waits for it", "call_id", clip(ex.req.CallID), "error", err)
	return sleep(ctx, pause)
}

// broken is the end of a request while the store does not do its work.
func (g *gate) broken(ctx context.Context, ex *exchange, err error) decision {
	if errors.Is(err, store.ErrKeyReused) {
		return g.reused(ex)
	}
	if ctx.Err() != nil {
		return g.late(ex)
	}
	told := g.storeError(err)
	log := g.m.log.With("call_id", clip(ex.req.CallID), "error", err)
	if ex.req.OneWay {
		// Nobody would hear of a refusal: it stays in the queue.
		log.Error("the idempotency store has failed; the notification waits for another server")
		return left(leave)
	}
	if !isFull(err) {
		told.Incident = newIncident()
	}
	log.Error("the idempotency store has failed; the call was not begun", "incident", told.Incident)
	return ex.refuse(told)
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
