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
	if refusal != nil {
		a.reject(refusal)
		return
	}
	ctx, cancel := context.WithCancel(s.handlers)
	if !req.Deadline.IsZero() {
		ctx, cancel = context.WithDeadline(s.handlers, req.Deadline)
	}
	defer cancel()
	resolution, err := m.gate.resolve(ctx, scope, asked.Issued)
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

// resolve tells what became of the call, and keeps it from running if it has not.
func (g *gate) resolve(ctx context.Context, scope store.Scope, issued time.Time) (wire.Resolution, error) {
	d := &g.m.Dedupe
	before, err := g.store.Bury(ctx, store.Claim{
		Key: scope.Key(), Method: scope.Method, CallID: scope.CallID, Retention: d.Retention,
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
		proven, err := g.neverRan(ctx, &before, issued)
		if err != nil {
			return wire.Resolution{}, err
		}
		if proven {
			r.Outcome = warren.NotExecuted
		}
	}
	return r, nil
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

// unresolved is the answer to a question that the store does not answer.
func (g *gate) unresolved(callID string, err error) *warren.Error {
	g.s.counters.storeErrors.Add(1)
	g.s.cfg.Logger.Error("the idempotency store has failed; what became of a call cannot be told", "method", g.m.Name,
		"call_id", clip(callID), "error", err)
	return &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonStoreUnavailable, RetryAfter: storeRetryAfter,
		Message: "the server cannot look the call up; its log has the rest",
	}
}
