package server

import (
	"math/rand/v2"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/wire"
)

// answer brings the end of one request to its caller and then acknowledges the
// request. It is the Sink of the reply's publish.
type answer struct {
	s       *Server
	m       *method
	d       broker.Delivery
	req     *warren.Request
	first   broker.Publishing
	publish *broker.Publishing // the last one
}

// reject answers a request that no handler saw.
func (a *answer) reject(err error) {
	a.s.counters.rejected.Add(1)
	e, ok := warren.AsError(err)
	if !ok {
		e = warren.Errorf(warren.CodeInternal, "%w", err)
	}
	told := *e
	told.Outcome = warren.NotExecuted
	if a.d.Redelivered {
		// A handler may have run for it when it was delivered before.
		told.Outcome = warren.Unknown
	}
	a.fail(&told)
}

func (a *answer) fail(e *warren.Error) {
	if a.req.OneWay {
		a.s.cfg.Logger.Warn("a notification failed", "method", a.req.Method, "call_id", clip(a.req.CallID), "error", e)
		a.acknowledge()
		return
	}
	a.send(wire.EncodeError(a.req, e, a.mode()))
}

func (a *answer) succeed(reply *warren.Reply) {
	if a.req.OneWay {
		a.acknowledge()
		return
	}
	limits := a.m.limits
	limits.Body = a.s.cfg.MaxReply
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
	mandatory := !strings.HasPrefix(a.d.ReplyTo, wire.DirectReplyTo)
	a.publish = &a.first
	a.first.Key, a.first.Msg, a.first.Sink, a.first.Mandatory = a.d.ReplyTo, msg, a, mandatory
	a.put()
}

func (a *answer) put() {
	if err := a.s.publisher.Publish(a.publish); err != nil {
		a.giveBack()
	}
}

// Writing implements broker.Sink. A reply is worth sending even if its request
// will be delivered again: its caller waits.
func (a *answer) Writing(time.Time, *wire.Message) bool { return true }

// Settled implements broker.Sink.
func (a *answer) Settled(result broker.Result, _ error) {
	switch result {
	case broker.Acked:
		crashpoint.Reached(crashpoint.ReplyConfirmed, a.req.Method, a.req.CallID)
		a.acknowledge()
	case broker.Returned:
		a.s.counters.unrouted.Add(1)
		a.acknowledge()
	case broker.Nacked, broker.Lost:
		a.again()
	case broker.Unsent:
		a.giveBack()
	}
}

// replyPause bounds the random pause before a reply that was not confirmed is
// published again.
const replyPause = 100 * time.Millisecond

// again publishes the reply once more, as long as the request is this server's.
// The caller drops the second copy if both arrive.
func (a *answer) again() {
	if !a.d.Live() {
		a.giveBack()
		return
	}
	a.s.counters.retried.Add(1)
	next := &broker.Publishing{Key: a.publish.Key, Mandatory: a.publish.Mandatory, Msg: a.publish.Msg, Sink: a}
	time.AfterFunc(time.Duration(rand.Int64N(int64(replyPause))), func() {
		a.publish = next
		a.put()
	})
}

func (a *answer) acknowledge() { a.d.Ack(a) }

// Acked implements broker.Acked.
func (a *answer) Acked(written bool) {
	if written {
		crashpoint.Reached(crashpoint.Acked, a.m.Name, a.d.CorrelationId)
	}
	a.s.open.Done()
}

// giveBack leaves the request unacknowledged: the broker hands it out again
// when this channel closes.
func (a *answer) giveBack() {
	a.d.Abandon()
	a.s.open.Done()
}
