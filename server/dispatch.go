package server

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
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
	if m.lines != nil {
		m.lines.working.Add(1)
		defer m.lines.working.Add(-1)
	}
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
	a := &answer{s: s, m: m, d: d, req: req}
	if err != nil {
		a.reject(err)
		return
	}
	ctx := s.handlers
	if !req.Deadline.IsZero() {
		if !time.Now().Before(req.Deadline) {
			a.reject(&warren.Error{
				Code: warren.CodeDeadlineExceeded, Reason: warren.ReasonExpired, Outcome: warren.NotExecuted,
				Message: "the request outlived its deadline before a handler saw it",
			})
			return
		}
		timed := withDeadline(ctx, req.Deadline)
		defer timed.release()
		ctx = timed
	}
	if !a.begin() {
		return
	}
	s.counters.handled.Add(1)
	a.run(ctx)
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
		value := recover()
		s.counters.panics.Add(1)
		incident := uuid.NewString()
		s.cfg.Logger.Error("the handler panicked", "incident", incident, "method", req.Method, "call_id", clip(req.CallID),
			"panic", fmt.Sprint(value), "stack", string(debug.Stack()))
		a.ended(reliability.Failure)
		a.fail(&warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonPanic, Outcome: warren.Executed, Incident: incident,
			Message: "the handler panicked; the server's log has the rest",
		})
	}()
	crashpoint.Reached(crashpoint.InHandler, req.Method, req.CallID)
	reply, err := a.m.handler(ctx, req)
	crashpoint.Reached(crashpoint.EffectDone, req.Method, req.CallID)
	var refused *refusal
	var failure *warren.Error
	stopping := err != nil && errors.Is(context.Cause(ctx), errStopping)
	// The error's own methods are the user's code too, and may panic.
	if err != nil && !errors.As(err, &refused) && !stopping {
		failure = s.toError(req, err)
	}
	returned = true
	a.ended(judge(err, failure))
	switch {
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
		told.Outcome = warren.Executed
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
