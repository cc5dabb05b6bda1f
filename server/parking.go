package server

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
)

// parking publishes a request to its method's dead queue. It is the Sink of
// that publish.
type parking struct {
	ex      *exchange
	publish broker.Publishing
	why     *warren.Error
	done    func(decision)
	tries   int
	missing bool // the last publish of it came back
}

// parkNote is what is noted with the request when it is parked.
func parkNote(ex *exchange, why *warren.Error, attempts int) wire.Dead {
	return wire.Dead{Reason: why.Reason, Incident: why.Incident, User: ex.req.UserID, Attempts: attempts}
}

// parkRequest moves the request to its method's dead queue. done is told,
// once, what its caller is to be told, or to leave it, as it cannot be parked here: the
// request is another server's, or this one stops.
//
// A publish that the broker does not confirm is repeated, and so is one that came back,
// if the queue is there after all, or is away with its node. Dying in between parks it
// twice.
func parkRequest(ex *exchange, why *warren.Error, note wire.Dead, done func(decision)) {
	p := &parking{ex: ex, why: why, done: done}
	note.Method, note.Error, note.At = ex.m.Name, why.Message, time.Now()
	p.publish = broker.Publishing{Key: wire.DeadQueue(ex.m.Name), Mandatory: true, Sink: p, Msg: wire.EncodeDead(ex.d.Message(), note)}
	p.put()
}

func (p *parking) put() {
	if p.missing && !p.found() {
		return
	}
	if err := p.ex.s.publisher.Publish(&p.publish); err != nil {
		p.done(left(leave))
	}
}

// found makes the queue exist that a publish came back from, and reports whether
// the call can be parked there now. If it never can the call is given up.
func (p *parking) found() bool {
	_, err := p.ex.m.deadQueue.Declare(p.ex.ack.delivery().Session())
	switch {
	case err == nil:
		return true
	case broker.IsPermanent(err):
		p.giveUp("there is no queue for that", err)
	default:
		p.again(err)
	}
	return false
}

func (p *parking) log() *slog.Logger {
	return p.ex.m.log.With("call_id", clip(p.ex.d.CorrelationId), "incident", p.why.Incident, "queue", p.publish.Key)
}

// giveUp ends a request that can never be parked.
func (p *parking) giveUp(why string, err error) {
	p.log().Error("a call was given up: it is to be parked, and "+why, "why", p.why, "error", err)
	p.done(failed(p.why))
}

// again publishes it once more, while the request is this server's.
func (p *parking) again(reason error) {
	p.log().Warn("a call cannot be parked now", "error", reason)
	if !p.ex.ack.delivery().Live() || p.ex.s.isStopping() {
		p.done(left(leave))
		return
	}
	next := &parking{ex: p.ex, why: p.why, done: p.done, tries: p.tries + 1, missing: p.missing}
	next.publish = broker.Publishing{Key: p.publish.Key, Mandatory: true, Sink: next, Msg: p.publish.Msg}
	time.AfterFunc(replyPause(next.tries), next.put)
}

// Writing implements broker.Sink.
func (p *parking) Writing(time.Time, *wire.Message) bool { return true }

// Settled implements broker.Sink.
func (p *parking) Settled(result broker.Result, reason error) {
	switch result {
	case broker.Acked:
		p.ex.s.counters.parked.Add(1)
		p.log().Error("a call was parked", "why", p.why)
		p.done(failed(p.why))
	case broker.Returned:
		p.missing = true
		p.again(errors.New("warren: there is no such queue"))
	case broker.Refused:
		if broker.IsRefused(reason) {
			p.again(reason) // somebody may permit it
			return
		}
		// With the headers that say why it is parked it may be larger than it was.
		p.giveUp("the broker does not take it", reason)
	case broker.Nacked, broker.Lost, broker.Unsent:
		err := fmt.Errorf("warren: the publish is %v", result)
		if reason != nil {
			err = fmt.Errorf("%w: %w", err, reason)
		}
		p.again(err)
	}
}

// newDeadQueue returns what declares the method's dead queue, or looks it up if
// the method's own queue is somebody else's too.
func newDeadQueue(m *method) *broker.Declarer {
	// Classic: looking at parked calls puts them back, which a quorum queue counts, and
	// at last drops.
	q := broker.Queue{Name: wire.DeadQueue(m.Name), Type: broker.Classic, Durable: true}
	if m.Queue.Type == Existing {
		q.Type = broker.Existing
	}
	return &broker.Declarer{Logger: m.s.cfg.Logger, Queue: q}
}
