package server

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// controlWorkers is how many questions about a method's calls are answered at a
// time.
const controlWorkers = 8

// newControl returns the consumer of a method's control queue, where clients ask
// what became of their calls.
func (s *Server) newControl(m *method) *broker.Consumer {
	declarer := &broker.Declarer{Logger: s.cfg.Logger, Queue: broker.Queue{
		Name: wire.ControlQueue(m.Name), Type: broker.Classic, Durable: true,
	}}
	declare := func(session *broker.Session) (string, error) {
		// What another server's store knows is not told by this one's.
		if err := m.owner.hold(session); err != nil {
			return "", err
		}
		return declarer.Declare(session)
	}
	return broker.NewConsumer(broker.ConsumerConfig{
		Name: m.Name + ", control", Prefetch: 2 * controlWorkers, Workers: controlWorkers, Declare: declare,
		Handle: func(d broker.Delivery) { s.serveControl(m, d) }, Logger: s.cfg.Logger,
	})
}

// serveControl answers one question.
func (s *Server) serveControl(m *method, d broker.Delivery) {
	s.open.Add(1)
	req, asked, err := wire.DecodeResolve(&d.Delivery, m.Name, m.limits)
	if err != nil && req == nil {
		s.drop(m, &d, "the message is not a question about a call")
		return
	}
	if why := s.badReplyTo(d.ReplyTo); why != "" {
		s.drop(m, &d, why)
		return
	}
	a := newAnswer(s, m, d, req)
	a.control = true
	if err == nil {
		err = unreadable(&d)
	}
	switch {
	case err != nil:
		a.reject(err)
		return
	case !req.Deadline.IsZero() && !time.Now().Before(req.Deadline):
		a.reject(a.expired())
		return
	}
	scope, refusal := m.gate.key(&req.Request, asked.CallID)
	if refusal == nil && asked.Proof == (warren.Proof{}) {
		refusal = notProven("the question does not prove that its sender knows the call")
	}
	if refusal != nil {
		a.reject(refusal)
		return
	}
	ctx, cancel := context.WithCancel(s.handlers)
	defer cancel()
	if !req.Deadline.IsZero() {
		ctx, cancel = context.WithDeadline(ctx, req.Deadline)
		defer cancel()
	}
	resolution, err := m.gate.resolve(ctx, scope, &asked)
	switch {
	case err != nil && errors.Is(context.Cause(ctx), errStopping):
		a.giveBack()
		return
	case err != nil && ctx.Err() != nil:
		a.begun = true // what it asked for may be done
		a.reject(&warren.Error{Code: warren.CodeDeadlineExceeded, Message: "the question's deadline passed before the store had answered"})
		return
	case err != nil:
		a.reject(m.gate.unresolved(asked.CallID, err))
		return
	}
	s.counters.resolved.Add(1)
	a.succeed(&warren.Reply{ContentType: "application/json", Body: wire.EncodeResolution(resolution)})
}

// notProven refuses who asks about a call. It is told without a look at the record, or
// of one that is another request's, of which it says no more.
func notProven(message string) *warren.Error {
	return &warren.Error{Code: warren.CodePermissionDenied, Reason: warren.ReasonNotProven, Message: message}
}

// resolve tells what became of the call, and keeps it from running if it has not.
func (g *gate) resolve(ctx context.Context, scope store.Scope, asked *wire.Resolve) (wire.Resolution, error) {
	before, err := g.store.Bury(ctx, store.Claim{
		Key: scope.Key(), Fingerprint: store.ByProof(asked.Proof), Method: scope.Method, CallID: scope.CallID,
		Retention: g.forbidden(asked.Issued),
	})
	if err != nil {
		return wire.Resolution{}, err
	}
	r := wire.Resolution{State: wire.StateCanceled}
	switch before.State {
	case store.InProgress:
		r.State = wire.StateInProgress
	case store.Completed, store.Failed, store.Parked:
		return g.ended(&before), nil
	case store.Interrupted, store.Absent, store.Tombstone:
		proven, err := g.neverRan(ctx, &before, asked.Issued)
		if err != nil {
			return wire.Resolution{}, err
		}
		if proven {
			r.Outcome = warren.NotExecuted
		}
	}
	return r, nil
}

// forbidden returns for how long a tombstone of a call that never came must be kept.
// In at-most-once and transactional mode nothing is begun whose issue time is as old
// as the retention less the allowance, nor one that lies further ahead than the
// retention (see tooOld): once the call's own is so old, no request with it begins,
// tombstone or not. In at-least-once mode any request may be begun, however old it is;
// so it may if the issue time is not known.
func (g *gate) forbidden(issued time.Time) time.Duration {
	d := &g.m.Dedupe
	if d.Mode == AtLeastOnce || issued.IsZero() {
		return d.Retention
	}
	return min(max(d.Retention-time.Since(issued), clockAllowance), 2*d.Retention)
}

// neverRan reports whether what is known of a call that will not run proves that it
// never did.
func (g *gate) neverRan(ctx context.Context, before *store.Record, issued time.Time) (bool, error) {
	if before.Token > 0 {
		// It was begun. What it did in a transaction was rolled back.
		return g.interrupted() == warren.NotExecuted, nil
	}
	// There was no record of it. There may have been one that was forgotten, or that
	// went with an earlier store.
	stats, err := g.store.Stats(ctx)
	if err != nil {
		return false, err
	}
	return g.covered(issued) && issued.After(stats.Created.Add(clockAllowance)), nil
}

// ended is the resolution of a call that has ended.
func (g *gate) ended(rec *store.Record) wire.Resolution {
	r := wire.Resolution{State: wire.StateCompleted, Outcome: warren.Executed, Retained: rec.Retained}
	if rec.State != store.Completed {
		r.State = wire.StateFailed
	}
	if rec.State == store.Parked {
		r.Outcome = g.interrupted()
	}
	if !rec.Retained {
		return r
	}
	reply, failure, err := wire.DecodeStored(rec.Payload)
	switch {
	case err != nil:
		g.s.cfg.Logger.Error("a stored reply cannot be read", "method", g.m.Name, "call_id", clip(rec.CallID), "error", err)
		r.Retained = false
	case failure != nil:
		r.Err, r.Outcome = failure, failure.Outcome
	default:
		r.Reply = reply
	}
	return r
}

// unresolved is the answer to a question that the store does not answer. Strangers
// cause refusals as often as they ask.
func (g *gate) unresolved(callID string, err error) *warren.Error {
	if errors.Is(err, store.ErrKeyReused) {
		return notProven("the call ID was used for a call that the question does not prove to know")
	}
	g.s.counters.storeErrors.Add(1)
	told := &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonStoreUnavailable, RetryAfter: storeRetryAfter,
		Message: "the server cannot look the call up; its log has the rest",
	}
	if after, full := noRoom(err); full {
		told.Code, told.Reason, told.RetryAfter = warren.CodeResourceExhausted, warren.ReasonStoreFull, max(after, storeRetryAfter)
		told.Message = "the server's store takes no more notes of calls that never came"
	}
	if kept, due := g.unanswered.now(); due {
		g.s.cfg.Logger.Error("the idempotency store has failed; what became of a call cannot be told", "method", g.m.Name,
			"call_id", clip(callID), "error", err, "others", kept)
	}
	return told
}

// noRoom reports whether the store writes no tombstone for lack of room, and when it
// may again.
func noRoom(err error) (retryAfter time.Duration, full bool) {
	if e, ok := errors.AsType[*store.TombstonesError](err); ok {
		return e.RetryAfter, true
	}
	if e, ok := errors.AsType[*store.FullError](err); ok {
		return e.RetryAfter, true
	}
	return 0, false
}
