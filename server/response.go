package server

import (
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
)

// response publishes what the caller is told until the broker has taken it, or it is
// given up; then the request is acknowledged. It is the Sink of these publishes.
type response struct {
	ex    *exchange
	limit int // of the reply's body, in bytes

	first    broker.Publishing
	publish  *broker.Publishing // the last one; nil before the first
	tries    int                // publishes that were not confirmed
	since    time.Time          // when the first of them ended
	replaced bool               // the broker has refused the reply, and an error goes out in its place
}

func (r *response) succeed(reply *warren.Reply) {
	if r.ex.req.OneWay {
		r.ex.ack.acknowledge()
		return
	}
	limits := r.ex.m.limits
	limits.Body = r.limit
	r.send(wire.EncodeReply(r.ex.req, reply, r.mode(), limits))
}

func (r *response) fail(e *warren.Error) { r.send(wire.EncodeError(r.ex.req, e, r.mode())) }

func (r *response) mode() uint8 {
	if r.ex.s.cfg.PersistentReplies {
		return wire.Persistent
	}
	return wire.Transient
}

func (r *response) send(msg wire.Message) {
	// The broker returns every mandatory reply to a direct reply-to, although it
	// delivers it.
	r.publish = &r.first
	r.first.Key, r.first.Msg, r.first.Sink, r.first.Mandatory = r.ex.d.ReplyTo, msg, r, !r.direct()
	r.first.Bundle = r.ex.req.Bundles && wire.FitsBundle(&msg)
	r.put()
}

// direct reports whether the caller uses the broker's direct reply-to.
func (r *response) direct() bool { return isDirect(r.ex.d.ReplyTo) }

func (r *response) put() {
	publisher := r.ex.s.publisher
	if r.direct() {
		publisher = r.ex.s.direct.publisher(r.ex.d.ReplyTo)
	}
	if err := publisher.Publish(r.publish); err != nil {
		r.ex.ack.giveBack()
	}
}

// Writing implements broker.Sink. A reply is worth sending even if its request
// will be delivered again: its caller waits.
func (r *response) Writing(time.Time, *wire.Message) bool { return true }

// Settled implements broker.Sink.
func (r *response) Settled(result broker.Result, reason error) {
	ex := r.ex
	switch result {
	case broker.Acked:
		if r.direct() {
			ex.s.direct.taken(ex.d.ReplyTo)
		}
		crashpoint.Reached(crashpoint.ReplyConfirmed, ex.m.Name, ex.req.CallID)
		ex.ack.acknowledge()
	case broker.Returned:
		ex.s.counters.unrouted.Add(1)
		ex.ack.acknowledge()
	case broker.Nacked, broker.Lost:
		if r.direct() {
			ex.s.direct.lost(ex.d.ReplyTo)
		}
		r.again(reason)
	case broker.Refused:
		r.refused(reason)
	case broker.Unsent:
		ex.ack.giveBack()
	}
}

// again publishes the reply once more, as long as the request is this server's.
// The caller drops the second copy if both arrive.
func (r *response) again(reason error) {
	if r.ex.ack.suspend() {
		return
	}
	now := time.Now()
	if r.tries++; r.tries == 1 {
		r.since = now
	}
	// A request whose reply cannot be delivered (its caller's queue is full and rejects
	// more, this user may not publish) would otherwise hold its place in the prefetch
	// for ever, and some of them the whole method.
	if r.ex.late() || now.Sub(r.since) > replyPatience {
		r.giveUp(reason)
		return
	}
	r.ex.s.counters.retried.Add(1)
	time.AfterFunc(replyPause(r.tries), func() { r.republish(r.publish.Msg) })
}

// replyPatience is for how long a reply that the broker does not take is published
// again.
const replyPatience = 30 * time.Second

// replyPause draws the pause before a message is published again that was not
// confirmed so many times: below 100 ms at first, and up to 2 s.
func replyPause(tries int) time.Duration {
	return time.Duration(rand.Int64N(int64(min(100*time.Millisecond<<min(tries-1, 10), 2*time.Second))))
}

// republish puts a message in the place of the one that was published last.
func (r *response) republish(msg wire.Message) {
	r.publish = &broker.Publishing{
		Key: r.publish.Key, Mandatory: r.publish.Mandatory, Bundle: r.publish.Bundle && wire.FitsBundle(&msg), Msg: msg, Sink: r,
	}
	r.put()
}

// refused tells the caller of a reply that the broker does not take, in its place.
// The handler has run, unless the reply says otherwise. A server that may not publish
// tries again: somebody may permit it.
func (r *response) refused(reason error) {
	refusal, ok := errors.AsType[*broker.RefusalError](reason)
	switch {
	case !ok || refusal.Kind == broker.NotPermitted:
		r.again(reason)
	case r.replaced || refusal.Kind == broker.EndsConnection:
		r.giveUp(reason)
	default:
		r.replaced = true
		e := &warren.Error{
			Code: warren.CodeResourceExhausted, Reason: warren.ReasonReplyTooLarge, Outcome: warren.Executed,
			Message: "the reply cannot be sent: " + strings.TrimPrefix(refusal.Error(), "warren: "),
		}
		if meta, err := wire.DecodeMeta(r.publish.Msg.Type); err == nil && meta.Code != 0 {
			e.Outcome = meta.Outcome
		}
		r.ex.m.log.Warn("a reply was too large for the broker", "call_id", clip(r.ex.d.CorrelationId), "error", refusal)
		r.republish(wire.EncodeError(r.ex.req, e, r.mode()))
	}
}

// giveUp leaves a reply that cannot be delivered.
func (r *response) giveUp(reason error) {
	r.ex.s.counters.undelivered.Add(1)
	r.ex.m.log.Error("a reply was given up: the broker does not take it",
		"call_id", clip(r.ex.d.CorrelationId), "reply_to", clip(r.ex.d.ReplyTo), "tries", r.tries, "error", reason)
	r.ex.ack.acknowledge()
}

// bundle is how the server's publishers put several replies to one caller into one
// message.
func (s *Server) bundle(replies []*wire.Message) wire.Message {
	s.counters.bundled.Add(uint64(len(replies)))
	return wire.EncodeBundle(replies)
}
