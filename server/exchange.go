package server

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// exchange is one request, from its delivery to its acknowledgement. The goroutine
// that serves it has it for itself until it concludes it; from then on its response
// and its ack bring the decision about.
type exchange struct {
	s   *Server
	m   *method
	d   broker.Delivery // the first one of the request
	req *wire.Request

	// What is known of its call.
	id     *identity    // nil without a record
	replay *wire.Replay // what a request says that was parked before
	unpark bool         // that is true: an operator lets the call run again
	begun  bool         // an attempt may have begun, for this delivery or as the record has it
	ran    bool         // the application was called for this delivery, and may have done something

	// How far it has come.
	stage    stage
	inner    decision      // the innermost handler's, when it has returned last
	panicked *warren.Error // what is told of a panic, and recorded
	ticket   policy.Ticket // of the kill switch

	entry    entry
	response response
	ack      ack
}

// stage is how far a request has come.
type stage uint8

const (
	received stage = iota // bounds, admission, interceptors, decoding
	decoded               // the innermost handler has it
	entered               // the application's function was called for it
)

// drop acknowledges a message that must not be answered.
func (ex *exchange) drop(why string) {
	ex.s.counters.dropped.Add(1)
	ex.m.log.Warn("message dropped", "why", why, "call_id", clip(ex.d.CorrelationId), "reply_to", clip(ex.d.ReplyTo))
	ex.ack.acknowledge()
}

// check decides on a request that no handler may see. unfit says what is wrong with
// it, if that is known already.
func (ex *exchange) check(unfit error) decision {
	m := ex.m
	if ex.replay != nil {
		ex.req.Redelivered = true // it was, before it was parked
		if unfit == nil && m.gate != nil {
			if err := m.gate.vouchers.check(ex.s.handlers, ex); err != nil {
				unfit = m.gate.unanswered(ex.req.CallID, err)
			}
		}
	}
	if unfit = cmp.Or(unfit, unreadable(&ex.d)); unfit != nil {
		return ex.refuse(unfit)
	}
	if m.gate != nil {
		id, refusal := m.gate.keys.identify(&ex.req.Request, ex.d.ReplyTo)
		if refusal != nil {
			return ex.refuse(refusal)
		}
		ex.id = id
	}
	if n := wire.Deliveries(ex.d.Message()); m.gate == nil && m.Dedupe.Park > 0 && n >= m.Dedupe.Park {
		return decision{kind: park, err: poisonedBy(n), attempts: n}
	}
	if ex.late() {
		return ex.expired()
	}
	return decision{}
}

// late reports whether the request's deadline has passed.
func (ex *exchange) late() bool {
	return !ex.req.Deadline.IsZero() && !time.Now().Before(ex.req.Deadline)
}

// expired is the end of a request that came too late for a handler.
func (ex *exchange) expired() decision {
	return ex.refuse(warren.Errorf(warren.CodeDeadlineExceeded, "the request outlived its deadline before a handler saw it").
		WithReason(warren.ReasonExpired))
}

// refuse tells an error for which no handler sees the request.
func (ex *exchange) refuse(err error) decision {
	e, ok := warren.AsError(err)
	if !ok {
		e = warren.Errorf(warren.CodeInternal, "%w", err)
	}
	told := *e
	told.Outcome = ex.notExecuted()
	return failed(&told)
}

// notExecuted is the outcome of a request that no handler will see. One may have
// when it was delivered before, or by what the call's record has shown.
func (ex *exchange) notExecuted() warren.Outcome {
	if ex.req.Redelivered || ex.begun {
		return warren.Unknown
	}
	return warren.NotExecuted
}

// admit decides on a request that is to wait no longer, or is not to be handled by this
// server.
func (ex *exchange) admit() decision {
	m := ex.m
	if m.shedder == nil && m.kill == nil {
		return decision{}
	}
	now := time.Now()
	if m.shedder != nil && !ex.req.OneWay {
		if retryAfter, admitted := m.shedder.Admit(now); !admitted {
			ex.s.counters.shed.Add(1)
			return ex.refuse(warren.Errorf(warren.CodeResourceExhausted, "too many requests wait for this method").
				WithReason(warren.ReasonOverloaded).WithRetryAfter(retryAfter))
		}
	}
	if m.kill != nil {
		ticket, refusal := m.kill.Allow(now)
		if refusal != nil {
			return left(putBack) // it was fetched in the moment in which the switch tripped
		}
		ex.ticket = ticket
	}
	return decision{}
}

// handle calls the handler within its interceptors, and concludes the request by what
// they return. A handler that panics, or ends its goroutine, is answered for.
func (ex *exchange) handle(ctx context.Context) {
	var dec decision
	defer func() {
		if dec.kind == undecided {
			// nil if the handler called runtime.Goexit, which recover cannot stop.
			value := recover()
			told := ex.panicError(ctx)
			logPanic(ex.m, "the handler panicked", ex.req.CallID, told, value)
			if dec = failed(told); ex.inner.isLeft() {
				dec = ex.inner
			}
		}
		ex.judged(dec)
		ex.conclude(dec)
	}()
	reply, err := ex.m.chain.handle(ctx, ex)
	dec = ex.decide(ctx, reply, err)
}

// innermost is what the interceptors of a method wrap. Its errors are what the caller
// is told, with the outcome; what led to them is their Cause. r is the request as the
// interceptors pass it on; they may do so more than once.
func (ex *exchange) innermost(ctx context.Context, r *warren.Request) (*warren.Reply, error) {
	if ex.inner.isLeft() {
		return nil, ex.inner.err
	}
	ex.inner = decision{}
	b, err := ex.m.prepare(r)
	if err != nil {
		ex.inner = ex.refuse(err)
		return nil, ex.inner.err
	}
	ex.stage = max(ex.stage, decoded)
	if warren.RequestFromContext(ctx) != r { // the handler finds in its context what it gets
		ctx = warren.ContextWithRequest(ctx, r)
	}
	if ex.id != nil {
		ex.inner = ex.m.gate.handle(ctx, ex, b)
	} else if ex.inner = ex.call(ctx, b, nil); ex.inner.err != nil && isStopping(ctx) {
		ex.inner = left(leave) // the handler gave up because the server stops: another one takes it
	}
	if ex.inner.err != nil {
		return nil, ex.inner.err
	}
	return ex.inner.reply, nil
}

// call runs the application's function, and says what the caller is told of its
// error: as executed, unless the function vouches that it has done nothing.
func (ex *exchange) call(ctx context.Context, b body, tx any) decision {
	begun, ran := ex.begun, ex.ran
	ex.begun, ex.ran, ex.stage = true, true, entered
	ex.s.counters.handled.Add(1)
	if s := ex.m.shedder; s != nil {
		defer func(began time.Time) { s.Done(time.Since(began)) }(time.Now())
	}
	crashpoint.Reached(crashpoint.InHandler, ex.m.Name, ex.req.CallID)
	reply, err := b(ctx, tx)
	crashpoint.Reached(crashpoint.EffectDone, ex.m.Name, ex.req.CallID)
	switch {
	case err != nil:
		told := forCaller(ex.m.log, ex.req.CallID, err)
		told.Outcome = warren.Executed
		// The error's own methods are the user's code too, and may panic.
		if warren.DidNothing(err) {
			ex.begun, ex.ran = begun, ran
			told.Outcome = ex.notExecuted()
		}
		return failed(told)
	case reply == nil:
		return replied(&warren.Reply{})
	default:
		return replied(reply)
	}
}

// decide returns what follows from what the interceptors have returned. In whatever
// words they tell an error, its outcome is that of the innermost handler.
func (ex *exchange) decide(ctx context.Context, reply *warren.Reply, err error) decision {
	if ex.inner.isLeft() {
		return ex.inner
	}
	if err == nil {
		if reply == nil {
			reply = &warren.Reply{}
		}
		return replied(reply)
	}
	if e, typed := warren.AsError(err); typed && e == ex.inner.err {
		return failed(e)
	}
	if isStopping(ctx) {
		return left(leave)
	}
	told := forCaller(ex.m.log, ex.req.CallID, err)
	told.Outcome = ex.outcome(ctx)
	return failed(told)
}

// outcome is that of a request whose end the interceptors have made up.
func (ex *exchange) outcome(ctx context.Context) warren.Outcome {
	switch {
	case ex.inner.err != nil:
		return ex.inner.err.Outcome
	case ex.stage >= decoded:
		return warren.Executed
	case ex.id != nil && ex.notExecuted() == warren.Unknown:
		return ex.m.gate.outcome(ctx, ex)
	default:
		return ex.notExecuted()
	}
}

// panicError is what is told and recorded of a handler that did not return. It is the
// same for both. If it was not called yet, an interceptor has panicked.
func (ex *exchange) panicError(ctx context.Context) *warren.Error {
	if ex.panicked == nil {
		message := "the handler panicked; the server's log has the rest"
		if ex.stage < decoded {
			message = "the server panicked before the handler was called; its log has the rest"
		}
		ex.panicked = panicError(message)
		ex.panicked.Outcome = ex.outcome(ctx)
	}
	return ex.panicked
}

// judged tells the kill switch how the handler has ended, in the words that its caller
// is told. Where the handler has not come to an end of its own, that says nothing.
func (ex *exchange) judged(dec decision) {
	if ex.m.kill == nil {
		return
	}
	result := policy.Ignored
	if !dec.isLeft() && (ex.stage == entered || ex.stage == received && ex.inner.kind == undecided) {
		result = judge(dec.err)
	}
	ex.m.kill.Done(ex.ticket, time.Now(), result)
}

// conclude carries a decision out.
func (ex *exchange) conclude(dec decision) {
	switch dec.kind {
	case sendReply:
		ex.response.succeed(dec.reply)
	case sendError:
		if ex.stage < decoded {
			ex.s.counters.rejected.Add(1)
		}
		ex.fail(dec)
	case park:
		parkRequest(ex, dec.err, parkNote(ex, dec.err, dec.attempts), ex.fail)
	case leave:
		ex.ack.giveBack()
	case putBack:
		ex.ack.putBack()
	case undecided, lookAgain:
		panic("warren: a request ends without a decision")
	}
}

// fail tells an error, or leaves the request. A replay that has not brought its call
// to an end is parked again: the copy that was parked is gone.
func (ex *exchange) fail(dec decision) {
	told := dec.err
	switch {
	case dec.kind == leave:
		ex.ack.giveBack()
	case ex.replay != nil && ex.m.Dedupe.Park > 0 && !endsReplay(told):
		again := *told
		again.Outcome, again.Incident = warren.Unknown, ex.replay.Incident
		again.Message = "the replay was refused: " + told.Error()
		note := wire.Dead{Reason: replayRefused, Incident: ex.replay.Incident, User: ex.replay.User}
		ex.replay = nil
		parkRequest(ex, &again, note, ex.fail)
	case ex.req.OneWay:
		ex.m.log.Warn("a notification failed", "call_id", clip(ex.req.CallID), "error", told)
		ex.ack.acknowledge()
	case told.Outcome == warren.NotExecuted:
		ex.ack.refuse(told)
	default:
		ex.response.fail(told)
	}
}

// isStopping reports whether the context has ended because the server stops.
func isStopping(ctx context.Context) bool { return errors.Is(context.Cause(ctx), errStopping) }

// clip bounds what strangers can write into the log.
func clip(s string) string { return s[:min(len(s), 128)] }
