package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/store"
)

// control answers clients that ask, at the method's control queue, what became of their
// calls.
type control struct {
	*gate

	consumer *broker.Consumer
}

// controlWorkers is how many questions about a method's calls are answered at a
// time.
const controlWorkers = 8

func newControl(g *gate) *control {
	c, m := &control{gate: g}, g.m
	declarer := &broker.Declarer{Logger: m.s.cfg.Logger, Queue: broker.Queue{
		Name: wire.ControlQueue(m.Name), Type: broker.Classic, Durable: true,
	}}
	hold := func(session *broker.Session) error {
		// What another server's store knows is not told by this one's.
		if err := m.owner.hold(session); err != nil {
			return fmt.Errorf("%w: %w", errNotHeld, err)
		}
		return nil
	}
	c.consumer = broker.NewConsumer(broker.ConsumerConfig{
		Name: m.Name + ", control", Prefetch: 2 * controlWorkers, Workers: controlWorkers, Hold: hold,
		Declare: declarer.Declare, Handle: c.answer, Logger: m.s.cfg.Logger,
	})
	return c
}

// errNotHeld is why the control queue was not asked for.
var errNotHeld = errors.New("warren: the method is not this server's yet")

// pending returns nil if questions are answered, or the control queue cannot be had now,
// and else a channel that is closed when that may have changed. It may be called on nil.
func (c *control) pending() <-chan struct{} {
	if c == nil {
		return nil
	}
	up, changed, err := c.consumer.Up().Get()
	denied := broker.IsOfQueue(err) && !errors.Is(err, errNotHeld) || broker.IsPermanent(err)
	if up || denied {
		return nil
	}
	return changed
}

// answer answers one question.
func (c *control) answer(d broker.Delivery) {
	c.m.s.open.Add(1)
	req, asked, err := wire.DecodeResolve(d.Message(), c.m.Name, c.m.limits)
	ex := c.m.receive(d, req, "a question about a call")
	if ex == nil {
		return
	}
	ex.response.limit = wire.ResolutionBytes(ex.response.limit)
	ex.conclude(c.decide(ex, &asked, err))
}

// decide answers, or says why not. unfit says what is wrong with the question, if that is
// known already.
func (c *control) decide(ex *exchange, asked *wire.Resolve, unfit error) decision {
	if unfit = cmp.Or(unfit, unreadable(&ex.d)); unfit != nil {
		return ex.refuse(unfit)
	}
	if ex.late() {
		return ex.expired()
	}
	scope, refusal := c.keys.scope(&ex.req.Request, asked.CallID)
	if refusal == nil && asked.Proof == (warren.Proof{}) {
		refusal = notProven("the question does not prove that its sender knows the call")
	}
	if refusal != nil {
		return ex.refuse(refusal)
	}
	ctx := newRequestContext(ex.s.handlers, &ex.req.Request)
	defer ctx.release()
	resolution, err := c.resolve(ctx, scope, asked)
	switch {
	case err == nil:
		ex.s.counters.resolved.Add(1)
		return replied(&warren.Reply{ContentType: "application/json", Body: wire.EncodeResolution(resolution)})
	case isStopping(ctx):
		return left(leave)
	case ctx.Err() != nil:
		ex.begun = true // what it asked for may be done
		err = warren.Errorf(warren.CodeDeadlineExceeded, "the question's deadline passed before the store had answered")
	case errors.Is(err, store.ErrKeyReused):
		err = notProven("the call ID was used for a call that the question does not prove to know")
	default:
		err = c.unanswered(asked.CallID, err)
	}
	return ex.refuse(err)
}

// notProven refuses who asks about a call. It is told without a look at the record, or
// of one that is another request's, of which it says no more.
func notProven(message string) *warren.Error {
	return warren.Errorf(warren.CodePermissionDenied, "%s", message).WithReason(warren.ReasonNotProven)
}

// resolve tells what became of the call, and keeps it from running if it has not.
func (c *control) resolve(ctx context.Context, scope store.Scope, asked *wire.Resolve) (wire.Resolution, error) {
	before, err := c.store.Bury(ctx, store.Claim{
		Key: scope.Key(), Fingerprint: store.ByProof(asked.Proof), Method: scope.Method, CallID: scope.CallID,
		Retention: c.retention.ofTombstone(asked.Issued),
	})
	switch {
	case err != nil:
		return wire.Resolution{}, err
	case before.State == store.InProgress:
		return wire.Resolution{State: wire.StateInProgress}, nil
	case before.State.Ended():
		return c.resolution(&before), nil
	}
	return wire.Resolution{State: wire.StateCanceled, Outcome: c.proven(&before, asked.Issued)}, nil
}
