package server

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
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
	s        *Server
	m        *method
	store    store.Store
	transact transactor // of transactional methods
	volatile map[string]bool

	control *broker.Consumer
	slots   chan struct{} // one per handler that runs
	// Handlers share it; one whose call has died too often with its server runs alone.
	company company
	runs    runs
	// Of calls from the future, and of questions that were not answered.
	skewed, unanswered seldom
	writes             context.Context // of what is written after a handler has run; see untilTaken
}

// transactor is a Transactional store's Transact for any type of transaction.
type transactor func(ctx context.Context, key store.Key, token uint64, retention time.Duration, fn func(tx any) (store.Result, error)) error

func newGate(s *Server, m *method, t transactor) *gate {
	volatile := map[string]bool{wire.ReplayMark: true} // it is the same call
	for _, name := range m.Dedupe.Volatile {
		volatile[name] = true
	}
	writes, cancel := context.WithCancel(context.Background())
	context.AfterFunc(s.handlers, func() { time.AfterFunc(writePatience, cancel) })
	return &gate{
		s: s, m: m, store: s.cfg.Store, transact: t, volatile: volatile,
		slots: make(chan struct{}, m.Concurrency), runs: newRuns(), writes: writes,
	}
}

// do answers the request from the record of its call, or runs it and records how
// it ended.
func (g *gate) do(ctx context.Context, a *answer, b body) (*warren.Reply, error) {
	for {
		r, mine := g.runs.enter(a.id)
		if mine {
			return g.own(ctx, a, r, b)
		}
		if !r.fingerprint.Matches(a.id.fingerprint) {
			return nil, g.reused(a)
		}
		g.s.counters.attached.Add(1)
		a.begun = true
		select {
		case <-r.done:
		case <-ctx.Done():
			return nil, g.unfinished(ctx, a)
		}
		if r.payload != nil {
			return g.replay(a, r.payload)
		}
		// It ended without a result, and is nobody's again.
	}
}

// own is do for the one goroutine of this process that has the call.
func (g *gate) own(ctx context.Context, a *answer, r *run, b body) (*warren.Reply, error) {
	defer g.runs.leave(a.id.key, r)
	if g.presumablyNew(a) {
		reply, err := g.begin(ctx, a, r, b, nil)
		if !errors.Is(err, errAgain) {
			return reply, err
		}
	}
	for pause := foreignFirst; ; pause = min(2*pause, foreignMost) {
		rec, err := g.store.Get(ctx, a.id.key)
		if err != nil {
			if g.wait(ctx, a, err, pause) {
				continue
			}
			return nil, g.broken(ctx, a, err)
		}
		if rec.State != store.Absent && !rec.Fingerprint.Matches(a.id.fingerprint) {
			return nil, g.reused(a)
		}
		if g.runs.doubted(&rec, g.store.Owner()) {
			// A claim of which the store said that it had failed.
			if err := g.store.Abandon(ctx, a.id.key, rec.Token, store.Undone); err != nil && !errors.Is(err, store.ErrStale) {
				g.runs.doubt(a.id.key, rec.Token-1)
				return nil, g.broken(ctx, a, err)
			}
			continue
		}
		switch {
		case rec.State.Ended() && (rec.State != store.Parked || !a.unpark):
			if !rec.Retained {
				return nil, g.notRetained(&rec)
			}
			return g.replay(a, rec.Payload)
		case rec.State == store.Tombstone:
			return nil, g.canceled(ctx, a, &rec)
		case rec.State == store.InProgress:
			// Another server's, which lives. Not acknowledging costs nothing; giving it
			// back would be a delivery of the queue's limit.
			a.begun = true
			if !sleep(ctx, pause) {
				return nil, g.unfinished(ctx, a)
			}
			continue
		case rec.State == store.Interrupted && g.m.Dedupe.Mode == AtMostOnce:
			g.s.counters.interrupted.Add(1)
			return nil, &warren.Error{
				Code: warren.CodeAborted, Reason: warren.ReasonInterrupted, Outcome: warren.Unknown,
				Message: "an attempt of the call was begun and did not end, and it must not be begun twice",
			}
		case rec.State != store.Absent && g.m.Dedupe.Mode == AtLeastOnce:
			a.begun = true
		}
		reply, err := g.begin(ctx, a, r, b, &rec)
		if !errors.Is(err, errAgain) {
			return reply, err
		}
	}
}

// Pauses between looks at a call that another server has.
const (
	foreignFirst = 20 * time.Millisecond
	foreignMost  = time.Second
)

// errAgain says that the record has to be looked at again, because somebody else has
// changed it, or it could not be written.
var errAgain = errors.New("warren: the record has changed")

// presumablyNew reports whether to claim a call without a look at its record, which
// is wasted on nearly all.
func (g *gate) presumablyNew(a *answer) bool {
	return !a.req.Redelivered && a.req.Attempt <= 1 && !a.unpark
}

// begin claims the call and runs it, or returns errAgain. rec is the record as it
// was seen, or nil if it was not looked at: then only a new call is claimed.
func (g *gate) begin(ctx context.Context, a *answer, r *run, b body, rec *store.Record) (*warren.Reply, error) {
	d := &g.m.Dedupe
	unseen := rec == nil
	if unseen {
		rec = &store.Record{}
	}
	last := d.Park > 0 && rec.State == store.Interrupted && rec.Attempts == d.Park-1
	if !g.company.enter(ctx, last) {
		return nil, g.late(ctx, a)
	}
	at := &attempt{gate: g, a: a, run: r, in: true}
	defer at.leaveCompany()
	if d.Mode == AtMostOnce {
		// What is claimed and not begun, when the server dies, is never begun: hence a
		// place first.
		if !at.takeSlot(ctx) {
			return nil, g.late(ctx, a)
		}
		defer at.freeSlot()
	}
	if why := g.tooOld(a); why != nil {
		if unseen {
			return nil, errAgain // its record may tell how it ended
		}
		return nil, at.refuseAge(why)
	}
	claimed, won, err := g.store.Claim(ctx, store.Claim{
		Key: a.id.key, Fingerprint: a.id.fingerprint, Method: g.m.Name, CallID: a.req.CallID,
		Lease: d.Lease, Retention: g.retention(a), Once: unseen || d.Mode == AtMostOnce, Unpark: a.unpark,
	})
	if err != nil || !won {
		if err == nil && claimed.State == store.Tombstone {
			return nil, g.canceled(ctx, a, &claimed)
		}
		if err == nil {
			a.begun = true
			return nil, errAgain
		}
		if uncertain(err) {
			g.runs.doubt(a.id.key, rec.Token)
		}
		// Of a call that was not looked at, only that the store is full says that there
		// is no record of it.
		if unseen && !isFull(err) && !errors.Is(err, store.ErrKeyReused) || g.wait(ctx, a, err, writeMost) {
			return nil, errAgain
		}
		return nil, g.broken(ctx, a, err)
	}
	g.s.counters.claims.Add(1)
	if rec.State != store.Absent {
		g.s.counters.takeovers.Add(1)
	}
	crashpoint.Reached(crashpoint.Claimed, g.m.Name, a.req.CallID)
	at.token = claimed.Token
	if !claimed.Lease.IsZero() {
		var stop func()
		ctx, stop = at.keepLease(ctx)
		defer stop()
	}
	switch {
	case d.Park > 0 && claimed.Attempts > d.Park:
		at.leaveCompany() // the queue of dead ones may be long in coming
		return at.park(claimed.Attempts - 1)
	case d.Park > 0 && claimed.Attempts == d.Park && !last:
		// Others have begun it since it was looked at: this attempt must run alone.
		at.abandon(store.Undone)
		return nil, errAgain
	}
	return at.execute(ctx, b)
}

// reused is the answer to a request whose ID was used for another.
func (g *gate) reused(a *answer) error {
	g.s.counters.conflicts.Add(1)
	return &warren.Error{
		Code: warren.CodeAlreadyExists, Reason: warren.ReasonKeyReused, Outcome: a.notExecuted(),
		Message: "the call ID was used for another request",
	}
}

// canceled is the answer to a request whose call was resolved before it was begun,
// or after it was interrupted.
func (g *gate) canceled(ctx context.Context, a *answer, rec *store.Record) error {
	told := &warren.Error{Code: warren.CodeCanceled, Outcome: a.notExecuted(), Message: "the call was cancelled before it was begun"}
	switch {
	case rec.Token > 0:
		told.Message, told.Outcome = "the call was cancelled; an attempt of it had been begun", g.interrupted()
		if told.Outcome == warren.NotExecuted {
			told.Message += ", and was rolled back"
		}
	case told.Outcome == warren.Unknown && !a.begun:
		if proven, err := g.neverRan(ctx, rec, a.req.Issued); err == nil && proven {
			told.Outcome = warren.NotExecuted
		}
	}
	return told
}

// outcome is that of a request that was delivered before and is refused now, as the
// record of its call has it. That there is none proves nothing: the server that had the
// request may be about to begin it.
func (g *gate) outcome(ctx context.Context, a *answer) warren.Outcome {
	rec, err := g.store.Get(ctx, a.id.key)
	if err == nil && rec.State == store.Absent {
		rec, err = g.store.Get(ctx, a.id.key.Tombstone(a.id.fingerprint))
	}
	switch {
	case err != nil || !rec.Fingerprint.Matches(a.id.fingerprint):
	case rec.State.Ended():
		return g.ended(&rec).Outcome
	case rec.State == store.Tombstone:
		if proven, err := g.neverRan(ctx, &rec, a.req.Issued); err == nil && proven {
			return warren.NotExecuted
		}
	}
	return warren.Unknown
}

// interrupted is what is known of attempts that did not end: in a transaction,
// they were rolled back.
func (g *gate) interrupted() warren.Outcome {
	if g.m.Dedupe.Mode == Transactional {
		return warren.NotExecuted
	}
	return warren.Unknown
}

// unfinished is the end of a request that waited for a call under way elsewhere.
func (g *gate) unfinished(ctx context.Context, a *answer) error {
	if errors.Is(context.Cause(ctx), errStopping) {
		return a.leave(unsettled)
	}
	return &warren.Error{
		Code: warren.CodeDeadlineExceeded, Outcome: warren.Unknown, Message: "the call was still being handled elsewhere",
	}
}

// late is the end of a request whose context ended before it was begun.
func (g *gate) late(ctx context.Context, a *answer) error {
	if errors.Is(context.Cause(ctx), errStopping) {
		return a.leave(unsettled)
	}
	return a.expired()
}

// notRetained is the answer of a call that ended with more than is kept.
func (g *gate) notRetained(rec *store.Record) error {
	g.s.counters.replays.Add(1)
	if rec.State == store.Parked {
		return &warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonPoisoned, Outcome: g.interrupted(), Replayed: true,
			Message: "its attempts were begun and did not end; the call is parked",
		}
	}
	return &warren.Error{
		Code: warren.CodeDataLoss, Reason: warren.ReasonReplyNotRetained, Outcome: warren.Executed, Replayed: true,
		Message: fmt.Sprintf("the call was executed; its reply of %d bytes was too large to keep", rec.Size),
	}
}

// replay answers with what is stored.
func (g *gate) replay(a *answer, payload []byte) (*warren.Reply, error) {
	g.s.counters.replays.Add(1)
	reply, failure, err := wire.DecodeStored(payload)
	switch {
	case err != nil:
		g.s.cfg.Logger.Error("a stored reply cannot be read", "method", g.m.Name, "call_id", clip(a.req.CallID), "error", err)
		return nil, &warren.Error{
			Code: warren.CodeDataLoss, Reason: warren.ReasonReplyNotRetained, Outcome: warren.Executed, Replayed: true,
			Message: "the call was executed; its stored reply cannot be read",
		}
	case failure != nil:
		failure.Replayed = true
		return nil, failure
	default:
		reply.Replayed = true
		return reply, nil
	}
}

// wait pauses if the store has failed in a way that may pass, and the request can
// wait for that: a notification, which nobody would send again. It reports whether
// to try again.
func (g *gate) wait(ctx context.Context, a *answer, err error, pause time.Duration) bool {
	if !a.req.OneWay || !uncertain(err) && !isFull(err) {
		return false
	}
	g.s.counters.storeErrors.Add(1)
	g.s.cfg.Logger.Error("the idempotency store has failed; a notification waits for it", "method", g.m.Name,
		"call_id", clip(a.req.CallID), "error", err)
	return sleep(ctx, pause)
}

// uncertain reports whether a change that failed so may have been made.
func uncertain(err error) bool {
	var unavailable *store.UnavailableError
	return errors.As(err, &unavailable)
}

// broken is the answer while the store does not do its work.
func (g *gate) broken(ctx context.Context, a *answer, err error) error {
	if errors.Is(err, store.ErrKeyReused) {
		return g.reused(a)
	}
	if ctx.Err() != nil {
		return g.late(ctx, a)
	}
	g.s.counters.storeErrors.Add(1)
	if a.req.OneWay {
		// Nobody would hear of a refusal: it stays in the queue.
		g.s.cfg.Logger.Error("the idempotency store has failed; the notification waits for another server", "method", g.m.Name,
			"call_id", clip(a.req.CallID), "error", err)
		return a.leave(unsettled)
	}
	told := &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonStoreUnavailable, Outcome: a.notExecuted(),
		RetryAfter: storeRetryAfter, Message: "the server cannot look the call up; its log has the rest",
	}
	if full, ok := errors.AsType[*store.FullError](err); ok {
		told.Code, told.Reason, told.Message = warren.CodeResourceExhausted, warren.ReasonStoreFull, "the server's store is full"
		told.RetryAfter = max(full.RetryAfter, storeRetryAfter)
	} else {
		told.Incident = uuid.NewString()
	}
	g.s.cfg.Logger.Error("the idempotency store has failed; the call was not begun", "incident", told.Incident,
		"method", g.m.Name, "call_id", clip(a.req.CallID), "error", err)
	return told
}

// storeRetryAfter is the advice to callers that meet a store which does not work.
const storeRetryAfter = time.Second
