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
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// serve takes one message through the server's order: bounds, deadline, admission,
// kill switch, interceptors, decoding of the body, gate, handler, reply; the
// acknowledgement follows the reply's confirm.
func (s *Server) serve(m *method, d broker.Delivery) {
	s.open.Add(1)
	s.counters.requests.Add(1)
	crashpoint.Reached(crashpoint.Delivered, m.Name, d.CorrelationId)

	if d.Lost() {
		s.bury(m, d)
		return
	}
	req, err := wire.DecodeRequest(&d.Delivery, m.Name, m.limits)
	if err != nil && req == nil {
		s.drop(m, &d, "the message is not a call")
		return
	}
	if why := s.badReplyTo(d.ReplyTo); why != "" {
		s.drop(m, &d, why)
		return
	}
	a := newAnswer(s, m, d, req)
	a.replay = wire.ReplayOf(&d.Delivery)
	if err == nil && a.replay == nil && !m.requests.begin(a) {
		return
	}
	if a.replay != nil {
		req.Redelivered = true // it was, before it was parked
		if err == nil && m.gate != nil {
			err = m.gate.believe(s.handlers, a)
		}
	}
	if err == nil {
		err = unreadable(&d)
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
	if !req.Deadline.IsZero() && !time.Now().Before(req.Deadline) {
		a.reject(a.expired())
		return
	}
	if !a.admit() {
		return
	}
	if a.id == nil {
		a.working(1)
		defer a.working(-1)
	}
	ctx := newRequestContext(s.handlers, a)
	defer ctx.release()
	a.run(ctx)
}

// innermost is what the interceptors of a method wrap. Its errors are what the caller
// is told, with the outcome; what led to them is their Cause.
func (m *method) innermost(p prepare) warren.Handler {
	return func(ctx context.Context, r *warren.Request) (*warren.Reply, error) {
		a, _ := ctx.Value(answerKey{}).(*answer)
		switch {
		case a == nil:
			return nil, errForeignContext
		case a.left != 0:
			return nil, a.end // an interceptor calls on, after that
		}
		a.end = nil
		b, err := p(ctx, r)
		if err != nil {
			a.end = a.undecoded(err)
			return nil, a.end
		}
		a.reached = true
		reply, err := a.do(ctx, b)
		if err == nil {
			return reply, nil
		}
		a.end, _ = warren.AsError(err)
		return nil, a.end
	}
}

// do is the innermost of a method's handlers.
func (a *answer) do(ctx context.Context, b body) (*warren.Reply, error) {
	if a.id != nil {
		return a.m.gate.do(ctx, a, b)
	}
	reply, told := a.call(ctx, b, nil)
	switch {
	case told == nil:
		return reply, nil
	case errors.Is(context.Cause(ctx), errStopping):
		// The handler gave up because the server stops: another one takes it.
		return nil, a.leave(unsettled)
	default:
		return nil, told
	}
}

// call runs the application's function, and says what the caller is told of its
// error: as executed, unless the function vouches that it has done nothing.
func (a *answer) call(ctx context.Context, b body, tx any) (reply *warren.Reply, told *warren.Error) {
	begun := a.begun
	a.begun, a.ran = true, true
	a.s.counters.handled.Add(1)
	if a.m.shedder != nil {
		defer a.handled(time.Now())
	}
	crashpoint.Reached(crashpoint.InHandler, a.m.Name, a.req.CallID)
	reply, err := b(ctx, tx)
	crashpoint.Reached(crashpoint.EffectDone, a.m.Name, a.req.CallID)
	switch {
	case err != nil:
		told = a.s.toError(&a.req.Request, err)
		told.Outcome = warren.Executed
		// The error's own methods are the user's code too, and may panic.
		if warren.DidNothing(err) {
			a.begun = begun
			told.Outcome = a.notExecuted()
		}
		return nil, told
	case reply == nil:
		return &warren.Reply{}, nil
	default:
		return reply, nil
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
	if isDirect(replyTo) && !wire.IsDirectReplyTo(replyTo) {
		return "the reply address is no direct reply-to address"
	}
	return ""
}

// drop acknowledges a message that must not be answered.
func (s *Server) drop(m *method, d *broker.Delivery, why string) {
	s.counters.dropped.Add(1)
	s.cfg.Logger.Warn("message dropped", "method", m.Name, "why", why, "call_id", clip(d.CorrelationId), "reply_to", clip(d.ReplyTo))
	newAnswer(s, m, *d, nil).acknowledge()
}

// clip bounds what strangers can write into the log.
func clip(s string) string { return s[:min(len(s), 128)] }

// run calls the handler and answers with what it returns. A handler that
// panics, or ends its goroutine, is answered for.
func (a *answer) run(ctx context.Context) {
	returned := false
	defer func() {
		if returned {
			return
		}
		// nil if the handler called runtime.Goexit, which recover cannot stop.
		a.logPanic(ctx, recover())
		told := a.panicError(ctx)
		a.judged(told)
		a.respond(nil, told)
	}()
	reply, err := a.m.handler(ctx, &a.req.Request)
	var told *warren.Error
	if err != nil {
		told = a.tell(ctx, err)
	}
	returned = true
	a.judged(told)
	a.respond(reply, told)
}

// respond answers with what the interceptors have made of the handler's end, unless
// the request is left.
func (a *answer) respond(reply *warren.Reply, told *warren.Error) {
	switch {
	case a.left != 0:
		a.finish()
	case told != nil:
		if !a.reached {
			a.s.counters.rejected.Add(1)
		}
		a.fail(told)
	case reply == nil:
		a.succeed(&warren.Reply{})
	default:
		a.succeed(reply)
	}
}

// tell returns what the caller is told of the error that the interceptors have
// returned. In whatever words they tell it, its outcome is that of the innermost.
func (a *answer) tell(ctx context.Context, err error) *warren.Error {
	e, typed := warren.AsError(err)
	if typed && e == a.end {
		return e
	}
	if errors.Is(context.Cause(ctx), errStopping) {
		return a.leave(unsettled)
	}
	told := a.s.toError(&a.req.Request, err)
	told.Outcome = a.outcome(ctx)
	return told
}

// outcome is that of a request whose end the interceptors have made up.
func (a *answer) outcome(ctx context.Context) warren.Outcome {
	switch {
	case a.end != nil:
		return a.end.Outcome
	case a.reached:
		return warren.Executed
	case a.id != nil && a.notExecuted() == warren.Unknown:
		return a.m.gate.outcome(ctx, a)
	default:
		return a.notExecuted()
	}
}

// undecoded is what the caller is told of a request that is not decoded.
func (a *answer) undecoded(err error) *warren.Error {
	e, ok := warren.AsError(err)
	if !ok {
		e = warren.Errorf(warren.CodeInternal, "%w", err)
	}
	told := *e
	told.Outcome = a.notExecuted()
	return &told
}

// judged tells the kill switch how the handler has ended, in the words that its caller
// is told. Where the handler has not come to an end of its own, that says nothing.
func (a *answer) judged(told *warren.Error) {
	if a.m.kill == nil {
		return
	}
	result := policy.Ignored
	if a.left == 0 && (a.ran || !a.reached && a.end == nil) {
		result = judge(told)
	}
	a.m.kill.Done(a.ticket, time.Now(), result)
}

// toError returns what the caller is told of a handler's error, but for the outcome:
// what the handler said to it, and otherwise no more than a code and where the log has
// the rest.
func (s *Server) toError(req *warren.Request, err error) *warren.Error {
	e, typed := warren.AsError(err)
	told, passed := warren.PassedOn(err)
	switch {
	case passed:
	case typed && e.Method == "":
		own := *e
		told, own.Replayed = &own, false
	default:
		return s.unmarked(req, err, typed)
	}
	told.Cause = err
	if !told.Code.Valid() {
		told.Code = warren.CodeUnknown
	}
	return told
}

// unmarked is toError of an error that is not meant for callers, unless its text is
// marked as public.
func (s *Server) unmarked(req *warren.Request, err error, ofCall bool) *warren.Error {
	told := &warren.Error{Code: warren.CodeOf(err), Cause: err}
	if text, ok := warren.PublicText(err); ok {
		told.Message = strings.TrimPrefix(text, "warren: ")
		return told
	}
	switch {
	case ofCall:
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

// panicError is what is told and stored of a handler that did not return. It is
// the same for both. If it was not called yet, an interceptor has panicked.
func (a *answer) panicError(ctx context.Context) *warren.Error {
	if a.panicked == nil {
		a.panicked = &warren.Error{
			Code: warren.CodeInternal, Reason: warren.ReasonPanic, Outcome: a.outcome(ctx), Incident: uuid.NewString(),
			Message: "the handler panicked; the server's log has the rest",
		}
		if !a.reached {
			a.panicked.Message = "the server panicked before the handler was called; its log has the rest"
		}
	}
	return a.panicked
}

// logPanic writes down the panic whose value this is; nil if the handler ended its
// goroutine.
func (a *answer) logPanic(ctx context.Context, value any) {
	a.s.counters.panics.Add(1)
	a.s.cfg.Logger.Error("the handler panicked", "incident", a.panicError(ctx).Incident, "method", a.req.Method,
		"call_id", clip(a.req.CallID), "panic", fmt.Sprint(value), "stack", string(debug.Stack()))
}
