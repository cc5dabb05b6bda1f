package server

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// answer brings the end of one request to its caller and then acknowledges the
// request. It is the Sink of the reply's publish.
//
// What is told to be not executed is acknowledged first, and told once the broker has
// taken that: the request could otherwise come back, by the death of this server, and
// be executed by one that finds no fault with it.
type answer struct {
	s   *Server
	m   *method
	d   broker.Delivery
	req *wire.Request
	tenure

	id       *identity     // nil without a record
	replay   *wire.Replay  // what a request says that was parked; see refuseReplay
	unpark   bool          // an operator lets it run again, and it was parked
	ticket   policy.Ticket // of the kill switch
	reached  bool          // the interceptors have called the innermost handler
	end      *warren.Error // what that has come to, nil if to a reply
	ran      bool          // the application's function was called for this request
	begun    bool          // an attempt may have begun, for this delivery or as the record has it
	left     leaving       // it is not answered
	panicked *warren.Error // what is told of a panic
	control  bool          // it answers a question about a call
	refusal  *wire.Message // to be sent when the request is settled
	refusing *warren.Error // what that says
	settled  bool          // the request is acknowledged

	first   broker.Publishing
	publish *broker.Publishing // the last one
	tries   int                // publishes of the reply that were not confirmed
	told    bool               // the broker has refused the reply, and an error goes out in its place
	failed  time.Time          // when the first of them ended
}

func newAnswer(s *Server, m *method, d broker.Delivery, req *wire.Request) *answer {
	a := &answer{s: s, m: m, d: d, req: req}
	a.hold = &a.d
	return a
}

// reject answers a request that no handler saw.
func (a *answer) reject(err error) {
	a.s.counters.rejected.Add(1)
	e, ok := warren.AsError(err)
	if !ok {
		e = warren.Errorf(warren.CodeInternal, "%w", err)
	}
	told := *e
	told.Outcome = a.notExecuted()
	a.fail(&told)
}

// notExecuted is the outcome of a request that no handler will see. One may have
// when it was delivered before, or by what the call's record has shown.
func (a *answer) notExecuted() warren.Outcome {
	if a.req.Redelivered || a.begun {
		return warren.Unknown
	}
	return warren.NotExecuted
}

func (a *answer) fail(e *warren.Error) {
	if a.refuseReplay(e) {
		return
	}
	if a.req.OneWay {
		a.s.cfg.Logger.Warn("a notification failed", "method", a.req.Method, "call_id", clip(a.req.CallID), "error", e)
		a.acknowledge()
		return
	}
	msg := wire.EncodeError(a.req, e, a.mode())
	if e.Outcome == warren.NotExecuted {
		a.refusal, a.refusing = &msg, e
		a.settle()
		return
	}
	a.send(msg)
}

func (a *answer) succeed(reply *warren.Reply) {
	if a.req.OneWay {
		a.acknowledge()
		return
	}
	limits := a.m.limits
	if limits.Body = a.s.cfg.MaxReply; a.control {
		limits.Body = wire.ResolutionBytes(limits.Body)
	}
	a.send(wire.EncodeReply(a.req, reply, a.mode(), limits))
}

func (a *answer) mode() uint8 {
	if a.s.cfg.PersistentReplies {
		return wire.Persistent
	}
	return wire.Transient
}

func (a *answer) send(msg wire.Message) {
	// The broker returns every mandatory reply to a direct reply-to, although it
	// delivers it.
	a.publish = &a.first
	a.first.Key, a.first.Msg, a.first.Sink, a.first.Mandatory = a.d.ReplyTo, msg, a, !a.direct()
	a.put()
}

// direct reports whether the caller uses the broker's direct reply-to.
func (a *answer) direct() bool { return isDirect(a.d.ReplyTo) }

func (a *answer) put() {
	publisher := a.s.publisher
	if a.direct() {
		publisher = a.s.direct.publisher(a.d.ReplyTo)
	}
	if err := publisher.Publish(a.publish); err != nil {
		a.giveBack()
	}
}

// Writing implements broker.Sink. A reply is worth sending even if its request
// will be delivered again: its caller waits.
func (a *answer) Writing(time.Time, *wire.Message) bool { return true }

// Settled implements broker.Sink.
func (a *answer) Settled(result broker.Result, reason error) {
	switch result {
	case broker.Acked:
		if a.direct() {
			a.s.direct.taken(a.d.ReplyTo)
		}
		crashpoint.Reached(crashpoint.ReplyConfirmed, a.req.Method, a.req.CallID)
		a.acknowledge()
	case broker.Returned:
		a.s.counters.unrouted.Add(1)
		a.acknowledge()
	case broker.Nacked, broker.Lost:
		if a.direct() {
			a.s.direct.lost(a.d.ReplyTo)
		}
		a.again(reason)
	case broker.Refused:
		a.refused(reason)
	case broker.Unsent:
		a.giveBack()
	}
}

// replyPause bounds the random pause before a reply that was not confirmed is
// published for the second time; it doubles up to replyPauseMost.
const (
	replyPause     = 100 * time.Millisecond
	replyPauseMost = 2 * time.Second
)

// again publishes the reply once more, as long as the request is this server's.
// The caller drops the second copy if both arrive.
func (a *answer) again(reason error) {
	if !a.settled && a.suspend() {
		return
	}
	now := time.Now()
	if a.tries++; a.tries == 1 {
		a.failed = now
	}
	if a.hopeless(now) {
		a.giveUp(reason)
		return
	}
	a.s.counters.retried.Add(1)
	pause := min(replyPause<<min(a.tries-1, 10), replyPauseMost)
	time.AfterFunc(time.Duration(rand.Int64N(int64(pause))), func() { a.republish(a.publish.Msg) })
}

// republish puts a message in the place of the one that was published last.
func (a *answer) republish(msg wire.Message) {
	a.publish = &broker.Publishing{Key: a.publish.Key, Mandatory: a.publish.Mandatory, Msg: msg, Sink: a}
	a.put()
}

// refused tells the caller of a reply that the broker does not take, in its place.
// The handler has run, unless the reply says otherwise. A server that may not publish
// tries again: somebody may permit it.
func (a *answer) refused(reason error) {
	r, ok := errors.AsType[*broker.RefusalError](reason)
	switch {
	case !ok || r.Kind == broker.NotPermitted:
		a.again(reason)
	case a.told || r.Kind == broker.EndsConnection:
		a.giveUp(reason)
	default:
		a.told = true
		e := &warren.Error{
			Code: warren.CodeResourceExhausted, Reason: warren.ReasonReplyTooLarge, Outcome: warren.Executed,
			Message: "the reply cannot be sent: " + strings.TrimPrefix(r.Error(), "warren: "),
		}
		if meta, err := wire.DecodeMeta(a.publish.Msg.Type); err == nil && meta.Code != 0 {
			e.Outcome = meta.Outcome
		}
		a.s.cfg.Logger.Warn("a reply was too large for the broker", "method", a.m.Name, "call_id", clip(a.d.CorrelationId), "error", r)
		a.republish(wire.EncodeError(a.req, e, a.mode()))
	}
}

// giveUp leaves a reply that cannot be delivered.
func (a *answer) giveUp(reason error) {
	a.s.counters.undelivered.Add(1)
	a.s.cfg.Logger.Error("a reply was given up: the broker does not take it", "method", a.m.Name,
		"call_id", clip(a.d.CorrelationId), "reply_to", clip(a.d.ReplyTo), "tries", a.tries, "error", reason)
	a.acknowledge()
}

// replyPatience is for how long a reply that the broker does not take is published
// again.
const replyPatience = 30 * time.Second

// hopeless reports whether the reply is not worth another publish. A request
// whose reply cannot be delivered (its caller's queue is full and rejects more,
// this user may not publish) would otherwise hold its place in the prefetch for
// ever, and some of them the whole method.
func (a *answer) hopeless(now time.Time) bool {
	late := !a.req.Deadline.IsZero() && now.After(a.req.Deadline)
	return late || now.Sub(a.failed) > replyPatience
}

// leaving is how a request is left to another delivery of it.
type leaving uint8

const (
	unsettled leaving = iota + 1 // when this channel closes
	putBack                      // at once, to another server
)

// leave has the request left when its handler has returned, and returns what the
// interceptors see of that.
func (a *answer) leave(how leaving) *warren.Error {
	a.left = how
	a.end = &warren.Error{Code: warren.CodeUnavailable, Message: "the request is left to another delivery"}
	return a.end
}
