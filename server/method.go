package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/wire"
)

// method is one served method, and what serves it.
type method struct {
	Method

	s         *Server
	log       *slog.Logger // with the method's name
	limits    wire.Limits
	prepare   prepare
	chain     *chain
	requests  *requests
	consumer  *broker.Consumer
	deadQueue *broker.Declarer
	shedder   *policy.Shedder // nil without admission
	kill      *killSwitch     // nil without

	// Of methods with records:
	gate    *gate
	control *control
	owner   *owner
}

// newMethod puts a method together. t is there of transactional handlers.
func newMethod(s *Server, cfg Method, t transactor, p prepare) *method {
	m := &method{
		Method: cfg, s: s, log: s.cfg.Logger.With("method", cfg.Name), limits: wire.DefaultLimits(), prepare: p,
		chain: newChain(slices.Concat(s.cfg.Interceptors, cfg.Interceptors)), requests: newRequests(cfg.Prefetch),
	}
	m.limits.Body = s.cfg.MaxRequest
	m.deadQueue = newDeadQueue(m)
	workers := m.Concurrency
	if m.stored(s.cfg.Store) {
		// Each request that the broker may hand out can have a worker, as it may wait for a
		// record to be written, or for another server; handlers have places of their own.
		workers = m.Prefetch
		m.gate, m.owner = newGate(m, t), newOwner(m)
		m.control = newControl(m.gate)
	}
	own := &broker.Declarer{Queue: m.queue(), Logger: s.cfg.Logger}
	m.consumer = broker.NewConsumer(broker.ConsumerConfig{
		Name: m.Name, Hold: m.hold, Declare: m.declare(own), Consumed: own.Consumed, Ended: own.Ended, Prefetch: m.Prefetch, Workers: workers,
		Handle: m.serve, Logger: s.cfg.Logger,
	})
	if m.Admission.Target > 0 {
		m.shedder = policy.NewShedder(m.Admission.Target, m.Admission.Interval, m.Concurrency)
	}
	if m.KillSwitch.Failures > 0 {
		m.kill = newKillSwitch(m)
	}
	return m
}

// components are what the link that consumes has to serve.
func (m *method) components() []broker.Component {
	all := []broker.Component{m.consumer}
	if m.gate != nil {
		all = append(all, m.control.consumer)
	}
	if m.shedder != nil {
		all = append(all, backlogGauge(m))
	}
	return all
}

// hold makes the method this server's, if that is to be one server's.
func (m *method) hold(session *broker.Session) error {
	if m.owner == nil {
		return nil
	}
	return m.owner.hold(session)
}

// declare makes a method's queues exist, each time that it is consumed.
func (m *method) declare(own *broker.Declarer) func(*broker.Session) (string, error) {
	made := false
	return func(session *broker.Session) (string, error) {
		if m.Dedupe.Park > 0 && m.Queue.Type != Existing {
			_, err := m.deadQueue.Declare(session)
			switch {
			case err == nil:
				made = true
			case session.Err() != nil || broker.IsPermanent(err) || !made && !broker.IsAway(err):
				return "", err
			default:
				// It lives on one node of the cluster, and the method is served without it.
				m.log.Error("the dead queue is out of reach; a call that is to be parked waits for it",
					"queue", m.deadQueue.Queue.Name, "error", err)
			}
		}
		return own.Declare(session)
	}
}

// ready waits until the method is consumed, or never will be, and for its control queue,
// unless that cannot be had now.
func (m *method) ready(ctx context.Context) error {
	link := m.s.consuming
	for {
		up, changed, err := m.consumer.Up().Get()
		consumed := up || m.consumer.Paused()
		switch {
		case consumed:
			if changed = m.control.pending(); changed == nil {
				return nil
			}
		case err != nil && broker.IsPermanent(err):
			return fmt.Errorf("warren: method %s cannot be served: %w", m.Name, err)
		}
		refused, refusal := link.Refused()
		if refusal != nil {
			return refusal
		}
		select {
		case <-changed:
		case <-refused:
		case <-m.s.stopped:
			return lifecycle.ErrStopped
		case <-ctx.Done():
			if consumed {
				return nil // only questions about its calls have to wait
			}
			if unconnected := link.LastErr(); unconnected != nil {
				err = unconnected
			}
			if err == nil {
				return fmt.Errorf("warren: method %s is not served yet: %w", m.Name, ctx.Err())
			}
			return fmt.Errorf("warren: method %s is not served yet: %w: %w", m.Name, ctx.Err(), err)
		}
	}
}

// unserved returns why the method's queue is not consumed now; nil if it is, or a
// KillSwitch holds it.
func (m *method) unserved() error {
	up, _, err := m.consumer.Up().Get()
	switch {
	case up || m.consumer.Paused():
		return nil
	case m.s.consuming.LastErr() != nil:
		return m.s.consuming.NotConnected()
	case err == nil:
		return errors.New("warren: the queue is not consumed yet")
	default:
		return err
	}
}

// serve takes one message through the server's order: bounds, deadline, admission,
// kill switch, interceptors, decoding of the body, gate, handler, reply; the
// acknowledgement follows the reply's confirm.
func (m *method) serve(d broker.Delivery) {
	m.s.open.Add(1)
	m.s.counters.requests.Add(1)
	crashpoint.Reached(crashpoint.Delivered, m.Name, d.CorrelationId)
	req, err := wire.DecodeRequest(d.Message(), m.Name, m.limits)
	ex := m.receive(d, req, "a call")
	if ex == nil {
		return
	}
	ex.replay = wire.ReplayOf(d.Message())
	if err == nil && ex.replay == nil && !m.requests.begin(ex) {
		return
	}
	dec := ex.check(err)
	if dec.kind == undecided {
		dec = ex.admit()
	}
	if dec.kind != undecided {
		ex.conclude(dec)
		return
	}
	if ex.id == nil {
		m.working(1)
		defer m.working(-1)
	}
	ctx := newRequestContext(m.s.handlers, &req.Request)
	defer ctx.release()
	ex.handle(ctx)
}

// receive makes an exchange of a delivery that was read as req, nil if it is not what
// it should be. It returns nil if the message must not be answered, and is gone.
func (m *method) receive(d broker.Delivery, req *wire.Request, what string) *exchange {
	ex := &exchange{s: m.s, m: m, d: d, req: req}
	ex.response.ex, ex.response.limit = ex, m.s.cfg.MaxReply
	ex.ack.ex, ex.ack.held = ex, &ex.d
	why := m.s.badReplyTo(d.ReplyTo)
	if req == nil {
		why = "the message is not " + what
	}
	if why != "" {
		ex.drop(why)
		return nil
	}
	return ex
}

// drain stops the intake. It does not wait.
func (m *method) drain() {
	m.consumer.Drain()
	m.kill.stop()
	if m.control != nil {
		m.control.consumer.Drain()
	}
}

// wait returns when nothing is being handled any more, or with ctx's error.
func (m *method) wait(ctx context.Context) error {
	if err := m.consumer.Wait(ctx); err != nil || m.control == nil {
		return err
	}
	return m.control.consumer.Wait(ctx)
}

// working says that so many more goroutines are at requests.
func (m *method) working(n int) {
	if m.shedder != nil {
		m.shedder.Working(n)
	}
}
