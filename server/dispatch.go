package server

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/reliability"
)

// serve takes one message through the server's order: decode and check bounds,
// deadline, shed or admit, kill switch, handler, reply; the acknowledgement
// follows the reply's confirm. A typed handler decodes and validates the body
// within its interceptors, hence after admission.
func (s *Server) serve(m *method, d broker.Delivery) {
	s.open.Add(1)
	s.counters.requests.Add(1)
	crashpoint.Reached(crashpoint.Delivered, m.Name, d.CorrelationId)

	req, err := wire.DecodeRequest(&d.Delivery, m.Name, m.limits)
	if err != nil && req == nil {
		s.drop(m, &d, "the message is not a call")
		return
	}
	if why := s.badReplyTo(d.ReplyTo); why != "" {
		s.drop(m, &d, why)
		return
	}
	a := &answer{s: s, m: m, d: d, req: req, replay: wire.ReplayOf(&d.Delivery)}
	if a.replay != nil {
		req.Redelivered = true // it was, before it was parked
		if err == nil && m.gate != nil {
			err = m.gate.believe(s.handlers, a)
		}
	}
	if err != nil {
		a.reject(err)
		return
	}
	if m.gate != nil {
		id, refusal := m.gate.identify(&req.Request, d.ReplyTo)
		if refusal != nil {
			a.reject(refusal)
			return
		}
		a.id = id
	}
	if n := wire.Deliveries(&d.Delivery); m.gate == nil && m.Dedupe.Park > 0 && n >= m.Dedupe.Park {
		a.park(n, newIncident(), a.settlePark)
		return
	}
	ctx := s.handlers
	if m.gate != nil {
		ctx = context.WithValue(ctx, answerKey{}, a)
	}
	if !req.Deadline.IsZero() {
		if !time.Now().Before(req.Deadline) {
			a.reject(a.expired())
			return
		}
		timed := withDeadline(ctx, req.Deadline)
		defer timed.release()
		ctx = timed
	}
	if a.id == nil {
		a.working(1)
		defer a.working(-1)
		if !a.begin() {
			return
		}
		a.started()
	}
	a.run(ctx)
}

// answerKey finds the answer in the context of a request's handler.
type answerKey struct{}

// plainly is the innermost handler of a method without records.
func plainly(p prepare) warren.Handler {
	return func(ctx context.Context, r *warren.Request) (*warren.Reply, error) {
		b, err := p(ctx, r)
		if err != nil {
			return nil, err
		}
		return b(ctx, nil)
	}
}

// guard is the innermost handler of a method with records.
func (g *gate) guard(p prepare) warren.Handler {
	return func(ctx context.Context, r *warren.Request) (*warren.Reply, error) {
		b, err := p(ctx, r)
		if err != nil {
			return nil, err
		}
		a, _ := ctx.Value(answerKey{}).(*answer)
		switch {
		case a == nil:
			return nil, errForeignContext
		case a.id == nil:
			return b(ctx, nil)
		case a.handled:
			return nil, errHandled // an interceptor that calls on, after an end
		}
		reply, err := g.do(ctx, a, b)
		a.verdict = nil
		if v, ok := errors.AsType[verdict](err); ok {
			a.verdict = v.told
		}
		return reply, err
	}
}

// errForeignContext is the end of a request whose call cannot be told.
var errForeignContext = errors.New("warren: an interceptor passes a context on that is not made from the one it got")

// expired is the answer to a request that came too late for a handler.
func (a *answer) expired() *warren.Error {
	return &warren.Error{
		Code: warren.CodeDeadlineExceeded, Reason: warren.ReasonExpired, Outcome: a.notExecuted(),
		Message: "the request outlived its deadline before a handler saw it",
	}
}

// badReplyTo says why a reply address must not be used, or is empty. A reply to
// a method's queue would be served as a request, and its reply again.
func (s *Server) badReplyTo(replyTo string) string {
	if _, ok := s.methods[replyTo]; ok {
		return "the reply address is a method's queue"
	}
	if len(replyTo) > 255 {
		return "the reply address is too long"
	}
	return ""
}

// drop acknowledges a message that must not be answered.
func (s *Server) drop(m *method, d *broker.Delivery, why string) {
	s.counters.dropped.Add(1)
	s.cfg.Logger.Warn("message dropped", "method", m.Name, "why", why, "call_id", clip(d.CorrelationId), "reply_to", clip(d.ReplyTo))
	(&answer{s: s, m: m, d: *d}).acknowledge()
}

// clip bounds what strangers can write into the log.
func clip(s string) string { return s[:min(len(s), 128)] }

// run calls the handler and answers with what it returns. A handler that
// panics, or ends its goroutine, is answered for.
func (a *answer) run(ctx context.Context) {
	s, req := a.s, a.req
	returned := false
	defer func() {
		if returned {
			return
		}
		// nil if the handler called runtime.Goexit, which recover cannot stop.
		a.logPanic(recover())
		a.ended(reliability.Failure)
		if !a.handled {
			a.fail(a.panicError())
		}
	}()
	if a.id == nil {
		crashpoint.Reached(crashpoint.InHandler, req.Method, req.CallID)
	}
	reply, err := a.m.handler(ctx, &req.Request)
	if a.id == nil {
		crashpoint.Reached(crashpoint.EffectDone, req.Method, req.CallID)
	}
	if a.handled {
		returned = true
		return
	}
	var refused *refusal
	var told verdict
	var failure *warren.Error
	stopping := err != nil && errors.Is(context.Cause(ctx), errStopping)
	// The error's own methods are the user's code too, and may panic.
	if err != nil && !errors.As(err, &refused) && !errors.As(err, &told) && !stopping {
		failure = s.toError(&req.Request, err)
		if a.verdict != nil {
			failure.Outcome = a.verdict.Outcome // an interceptor tells it in other words
		}
	}
	returned = true
	a.ended(judge(err, failure))
	switch {
	case told.told != nil:
		a.fail(told.told)
	case refused != nil:
		a.reject(refused.error)
	case stopping:
		// The handler gave up because the server stops: another one takes it.
		a.giveBack()
	case failure != nil:
		a.fail(failure)
	case reply == nil:
		a.succeed(&warren.Reply{})
	default:
		a.succeed(reply)
	}
}

// toError returns what the caller is told of a handler's error: what the handler
// said to it, and otherwise no more than a code and where the log has the rest.
func (s *Server) toError(req *warren.Request, err error) *warren.Error {
	e, typed := warren.AsError(err)
	if typed && e.Method == "" {
		told := *e
		told.Outcome, told.Replayed = warren.Executed, false
		if !told.Code.Valid() {
			told.Code = warren.CodeUnknown
		}
		return &told
	}
	told := &warren.Error{Code: warren.CodeOf(err), Outcome: warren.Executed}
	if text, ok := warren.PublicText(err); ok {
		told.Message = strings.TrimPrefix(text, "warren: ")
		return told
	}
	switch {
	case typed:
		// It came from a call that the handler made: its code says something about
		// this call too; its text may name brokers and methods that this caller
		// must not know of.
		told.Message = "a call that the handler made failed; the server's log has the rest"
	case told.Code == warren.CodeDeadlineExceeded:
		told.Message = "the handler ran out of time"
		return told
	case told.Code == warren.CodeCanceled:
		told.Message = "the handler was cancelled"
		return told
	default:
		told.Message = "the handler failed; the server's log has the rest"
	}
	told.Incident = uuid.NewString()
	s.cfg.Logger.Error("the handler failed", "incident", told.Incident, "method", req.Method, "call_id", clip(req.CallID), "error", err)
	return told
}
