package server

import (
	"context"
	"fmt"
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
	a        *answer
	publish  broker.Publishing
	poisoned *warren.Error
	done     func(told *warren.Error, err error)
	tries    int
}

// park moves the request to the dead ones after that many attempts that did not
// end; done is told, once, what its caller is to be told, or that it cannot be
// parked here, as the request is another server's or this one stops. A publish that
// the broker does not confirm is repeated. Dying in between parks it twice.
func (a *answer) park(attempts int, done func(told *warren.Error, err error)) {
	p := &parking{a: a, done: done, poisoned: &warren.Error{
		Code: warren.CodeInternal, Reason: warren.ReasonPoisoned, Outcome: warren.Unknown, Incident: uuid.NewString(),
		Message: fmt.Sprintf("%d attempts were begun and did not end; the call is parked", attempts),
	}}
	p.publish.Key, p.publish.Mandatory, p.publish.Sink = wire.DeadQueue(a.m.Name), true, p
	p.publish.Msg = wire.EncodeDead(&a.d.Delivery, wire.Dead{
		Reason: warren.ReasonPoisoned, Error: p.poisoned.Message, Incident: p.poisoned.Incident, Method: a.m.Name,
		Attempts: attempts, At: time.Now(),
	})
	p.put()
}

func (p *parking) put() {
	if err := p.a.s.publisher.Publish(&p.publish); err != nil {
		p.done(nil, err)
	}
}

// again publishes it once more, while the request is this server's.
func (p *parking) again(reason error) {
	if !p.a.d.Live() || p.a.s.handlers.Err() != nil {
		p.done(nil, reason)
		return
	}
	next := &parking{a: p.a, poisoned: p.poisoned, done: p.done, tries: p.tries + 1}
	next.publish = broker.Publishing{Key: p.publish.Key, Mandatory: true, Sink: next, Msg: p.publish.Msg}
	pause := min(replyPause<<min(p.tries, 10), replyPauseMost)
	time.AfterFunc(time.Duration(rand.Int64N(int64(pause))), next.put)
}

// Writing implements broker.Sink.
func (p *parking) Writing(time.Time, *wire.Message) bool { return true }

// Settled implements broker.Sink.
func (p *parking) Settled(result broker.Result, reason error) {
	a := p.a
	log := a.s.cfg.Logger.With("method", a.m.Name, "call_id", clip(a.req.CallID), "incident", p.poisoned.Incident)
	switch result {
	case broker.Acked:
		a.s.counters.parked.Add(1)
		log.Error("a call was parked: its attempts begin and do not end", "queue", p.publish.Key)
		p.done(p.poisoned, nil)
	case broker.Returned:
		log.Error("a call was given up: its attempts begin and do not end, and there is no queue to park it in",
			"queue", p.publish.Key)
		p.done(p.poisoned, nil)
	case broker.Nacked, broker.Lost, broker.Unsent:
		log.Warn("a call cannot be parked now", "queue", p.publish.Key, "result", result.String(), "error", reason)
		p.again(fmt.Errorf("warren: the publish is %v", result))
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
	parked := make(chan end, 1)
	a.park(attempts, func(told *warren.Error, err error) { parked <- end{told, err} })
	e := <-parked
	if e.err != nil {
		// The next delivery tries again; the attempt that was claimed here has run
		// nothing.
		at.abandon()
		a.keep()
		return nil, errHandled
	}
	// What the attempts did cannot be told, unless it was rolled back.
	e.told.Outcome = at.interrupted()
	return at.record(context.Background(), store.Parked, wire.EncodeStored(nil, e.told), nil, e.told)
}

// declare makes a method's queues exist, each time that it is consumed.
func (s *Server) declare(m *method, own *broker.Declarer) func(*broker.Session) (string, error) {
	if m.Dedupe.Park <= 0 && m.gate == nil {
		return own.Declare
	}
	// Classic: looking at dead ones puts them back, which a quorum queue counts, and
	// at last drops.
	dead := &broker.Declarer{Logger: s.cfg.Logger, Queue: broker.Queue{
		Name: wire.DeadQueue(m.Name), Type: broker.Classic, Durable: true,
	}}
	made := false
	return func(session *broker.Session) (string, error) {
		if m.gate != nil && !s.cfg.Store.Traits().Shared {
			if err := holdOwner(session, m.Name); err != nil {
				return "", err
			}
		}
		if m.Dedupe.Park > 0 && m.Queue.Type != Existing {
			_, err := dead.Declare(session)
			switch {
			case err == nil:
				made = true
			case session.Err() != nil || broker.IsPermanent(err) || !made && !broker.IsAway(err):
				return "", err
			default:
				// It lives on one node of the cluster, and the method is served without it.
				s.cfg.Logger.Error("the queue of parked calls is out of reach; a call that is to be parked meanwhile is given up",
					"method", m.Name, "queue", dead.Queue.Name, "error", err)
			}
		}
		return own.Declare(session)
	}
}

// holdOwner makes this server the one that serves the method, by a queue that one
// connection can have: its store would not know of calls that another has handled.
func holdOwner(session *broker.Session, method string) error {
	owner := broker.Queue{Name: "warren.owner." + method, Type: broker.Classic, Exclusive: true}
	if _, err := (&broker.Declarer{Queue: owner}).Declare(session); err != nil {
		if broker.IsLocked(err) {
			return fmt.Errorf("warren: another server of %s has a store of its own, and this one cannot know what that remembers: "+
				"share a store, or stop the other: %w", method, err)
		}
		return err
	}
	return nil
}
