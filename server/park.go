package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/google/uuid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// parking brings a request to its method's queue of dead ones. It is the Sink of
// that publish.
type parking struct {
	a       *answer
	publish broker.Publishing
	why     *warren.Error
	done    func(told *warren.Error, err error)
	tries   int
	missing bool // the last publish of it came back
}

// newIncident returns an identifier that nobody can guess.
func newIncident() string { return uuid.NewString() }

// park moves the request to the dead ones after that many attempts that did not
// end; done is told, once, what its caller is to be told, or that it cannot be
// parked here, as the request is another server's or this one stops.
func (a *answer) park(attempts int, incident string, done func(told *warren.Error, err error)) {
	a.moveToDead(&warren.Error{
		Code: warren.CodeInternal, Reason: warren.ReasonPoisoned, Outcome: warren.Unknown, Incident: incident,
		Message: fmt.Sprintf("%d attempts were begun and did not end; the call is parked", attempts),
	}, wire.Dead{Reason: warren.ReasonPoisoned, Incident: incident, User: a.req.UserID, Attempts: attempts}, done)
}

// moveToDead publishes the request to its method's queue of dead ones. A publish
// that the broker does not confirm is repeated, and so is one that came back, if the
// queue is there after all, or is away with its node. Dying in between parks it
// twice.
func (a *answer) moveToDead(why *warren.Error, note wire.Dead, done func(told *warren.Error, err error)) {
	p := &parking{a: a, done: done, why: why}
	note.Method, note.Error, note.At = a.m.Name, why.Message, time.Now()
	p.publish.Key, p.publish.Mandatory, p.publish.Sink = wire.DeadQueue(a.m.Name), true, p
	p.publish.Msg = wire.EncodeDead(&a.d.Delivery, note)
	p.put()
}

func (p *parking) put() {
	if p.missing && !p.found() {
		return
	}
	if err := p.a.s.publisher.Publish(&p.publish); err != nil {
		p.done(nil, err)
	}
}

// found makes the queue exist that a publish came back from, and reports whether
// the call can be parked there now. If it never can the call is given up.
func (p *parking) found() bool {
	a := p.a
	_, err := a.m.dead.Declare(a.delivery().Session())
	switch {
	case err == nil:
		return true
	case broker.IsPermanent(err):
		p.log().Error("a call was given up: it is to be parked, and there is no queue for that",
			"queue", p.publish.Key, "why", p.why, "error", err)
		p.done(p.why, nil)
	default:
		p.again(err)
	}
	return false
}

func (p *parking) log() *slog.Logger {
	return p.a.s.cfg.Logger.With("method", p.a.m.Name, "call_id", clip(p.a.d.CorrelationId), "incident", p.why.Incident)
}

// again publishes it once more, while the request is this server's.
func (p *parking) again(reason error) {
	p.log().Warn("a call cannot be parked now", "queue", p.publish.Key, "error", reason)
	if !p.a.delivery().Live() || p.a.s.isStopping() {
		p.done(nil, reason)
		return
	}
	next := &parking{a: p.a, why: p.why, done: p.done, tries: p.tries + 1, missing: p.missing}
	next.publish = broker.Publishing{Key: p.publish.Key, Mandatory: true, Sink: next, Msg: p.publish.Msg}
	pause := min(replyPause<<min(p.tries, 10), replyPauseMost)
	time.AfterFunc(time.Duration(rand.Int64N(int64(pause))), next.put)
}

// Writing implements broker.Sink.
func (p *parking) Writing(time.Time, *wire.Message) bool { return true }

// Settled implements broker.Sink.
func (p *parking) Settled(result broker.Result, reason error) {
	switch result {
	case broker.Acked:
		p.a.s.counters.parked.Add(1)
		p.log().Error("a call was parked", "queue", p.publish.Key, "why", p.why)
		p.done(p.why, nil)
	case broker.Returned:
		p.missing = true
		p.again(errors.New("warren: there is no such queue"))
	case broker.Refused:
		if broker.IsRefused(reason) {
			p.again(reason) // somebody may permit it
			return
		}
		// With the headers that say why it is parked it may be larger than it was.
		p.log().Error("a call was given up: it is to be parked, and the broker does not take it",
			"queue", p.publish.Key, "why", p.why, "error", reason)
		p.done(p.why, nil)
	case broker.Nacked, broker.Lost, broker.Unsent:
		err := fmt.Errorf("warren: the publish is %v", result)
		if reason != nil {
			err = fmt.Errorf("%w: %w", err, reason)
		}
		p.again(err)
	}
}

// settlePark ends a request without a record.
func (a *answer) settlePark(told *warren.Error, err error) {
	if err != nil {
		a.giveBack()
		return
	}
	a.fail(told)
}

// park parks a claimed call and records that.
func (at *attempt) park(attempts int) (*warren.Reply, error) {
	a := at.a
	type end struct {
		told *warren.Error
		err  error
	}
	incident := newIncident()
	e := end{err: at.vouch(incident)}
	if e.err == nil {
		parked := make(chan end, 1)
		a.park(attempts, incident, func(told *warren.Error, err error) { parked <- end{told, err} })
		e = <-parked
	}
	if e.err != nil {
		// The next delivery tries again.
		at.abandon(store.Undone)
		return nil, a.leave(unsettled)
	}
	// What the attempts did cannot be told, unless it was rolled back.
	e.told.Outcome = at.interrupted()
	return at.record(context.Background(), store.Parked, wire.EncodeStored(nil, e.told), nil, e.told)
}

// newDead returns what declares the method's queue of dead ones, or looks it up if
// the method's own queue is somebody else's too.
func (s *Server) newDead(m *Method) *broker.Declarer {
	// Classic: looking at dead ones puts them back, which a quorum queue counts, and
	// at last drops.
	q := broker.Queue{Name: wire.DeadQueue(m.Name), Type: broker.Classic, Durable: true}
	if m.Queue.Type == Existing {
		q.Type = broker.Existing
	}
	return &broker.Declarer{Logger: s.cfg.Logger, Queue: q}
}

// declare makes a method's queues exist, each time that it is consumed.
func (s *Server) declare(m *method, own *broker.Declarer) func(*broker.Session) (string, error) {
	made := false
	return func(session *broker.Session) (string, error) {
		if m.owner != nil {
			if err := m.owner.hold(session); err != nil {
				return "", err
			}
		}
		if m.Dedupe.Park > 0 && m.Queue.Type != Existing {
			_, err := m.dead.Declare(session)
			switch {
			case err == nil:
				made = true
			case session.Err() != nil || broker.IsPermanent(err) || !made && !broker.IsAway(err):
				return "", err
			default:
				// It lives on one node of the cluster, and the method is served without it.
				s.cfg.Logger.Error("the queue of parked calls is out of reach; a call that is to be parked waits for it",
					"method", m.Name, "queue", m.dead.Queue.Name, "error", err)
			}
		}
		return own.Declare(session)
	}
}
