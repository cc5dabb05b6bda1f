package main

import (
	"context"
	"errors"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/internal/wire"
)

// deadQueue is a connection to the queue of a method's parked calls. What was taken
// out and not acknowledged returns to its place when it ends, however that happens.
// It is for one goroutine.
type deadQueue struct {
	*link

	method, name string
	ready        int // how many calls were parked when it was opened

	// The broker closes the channel of a publish that it refuses, which must not be
	// the one that holds the parked calls.
	sending *link
	returns chan amqp.Return
}

// openDeadQueue connects to the first broker that can be, and finds the queue.
func openDeadQueue(ctx context.Context, cmd *cli.Command, method string) (*deadQueue, error) {
	settings, err := brokerSettings(cmd)
	if err != nil {
		return nil, err
	}
	timeout := cmd.Duration("timeout")
	if err := within(cmd, "timeout", timeout, time.Millisecond, longestTimeout); err != nil {
		return nil, err
	}
	l, err := openLink(ctx, settings, "warren dead "+cmd.Name, timeout)
	if err != nil {
		return nil, err
	}
	q := &deadQueue{link: l, method: method, name: wire.DeadQueue(method)}
	if err := q.find(); err != nil {
		q.drop()
		return nil, err
	}
	return q, nil
}

// find opens the channel and looks the queue up.
func (q *deadQueue) find() error {
	what := "look up the queue " + q.name
	if err := q.openChannel(); err != nil {
		return q.failure(what, err)
	}
	return q.do(what, func() error {
		queue, err := q.ch.QueueDeclarePassive(q.name, true, false, false, false, nil)
		q.ready = queue.Messages
		return err
	})
}

// do runs methods of the library, and says what failed.
func (q *deadQueue) do(what string, f func() error) error { return q.failure(what, q.link.do(f)) }

// failure makes an exitError of an error of the link.
func (q *deadQueue) failure(what string, err error) error {
	var refusal *amqp.Error
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errLate):
		return exit(exitDeadline, "%s: the broker has not answered within %v", what, q.timeout)
	case errors.As(err, &refusal) && refusal.Code == amqp.NotFound:
		return exit(exitNoServer, "%s has no dead queue: no server parks its calls", q.method)
	case errors.As(err, &refusal):
		return exit(exitBroker, "%s: %s", what, strings.TrimSpace(refusal.Reason))
	}
	return exit(exitBroker, "%s: %w", what, err)
}

// each hands the calls that are parked at this time to fn, oldest first, no more
// than limit. Those that fn does not acknowledge stay out of the queue until the
// end.
func (q *deadQueue) each(ctx context.Context, limit int, fn func(*parked) error) error {
	for range min(limit, q.ready) {
		if ctx.Err() != nil {
			return interrupted()
		}
		var p parked
		var ok bool
		err := q.do("take a call out of "+q.name, func() (err error) {
			p.Delivery, ok, err = q.ch.Get(q.name, false)
			return err
		})
		if err != nil || !ok {
			return err
		}
		if err := fn(&p); err != nil {
			return err
		}
	}
	return nil
}

// remove takes the call out for good, once the broker reads this: close makes sure
// of it.
func (q *deadQueue) remove(p *parked) error {
	return q.do("remove a call from "+q.name, func() error { return p.Ack(false) })
}

// refusedError is why the broker does not take one message, whatever it does with
// others.
type refusedError struct{ reason string }

func (e *refusedError) Error() string { return "the broker refuses it: " + e.reason }

// publish sends msg to the method's queue, and returns when the broker has taken it
// on. The error is an *refusedError if others may be taken.
func (q *deadQueue) publish(ctx context.Context, msg *amqp.Publishing) error {
	const what = "send the call to its method"
	if q.sending == nil {
		if err := q.openSending(); err != nil {
			return q.failure(what, err)
		}
	}
	acked, ch := false, q.sending.ch
	err := q.sending.do(func() error {
		confirm, err := ch.PublishWithDeferredConfirmWithContext(ctx, "", q.method, true, false, *msg)
		if err != nil {
			return err
		}
		<-confirm.Done() // the end of the channel confirms it too, as not acked
		if acked = confirm.Acked(); !acked && ch.IsClosed() {
			return amqp.ErrClosed
		}
		return nil
	})
	if refusal, ok := errors.AsType[*amqp.Error](err); ok && refusal.Code == amqp.PreconditionFailed && !q.conn.IsClosed() {
		q.sending = nil
		return &refusedError{strings.TrimSpace(refusal.Reason)}
	}
	if err != nil {
		return q.failure(what, err)
	}
	select {
	case <-q.returns: // it comes before the confirm
		return exit(exitNoServer, "%s: there is no queue of that name, so no server has served it; the call stays parked", q.method)
	default:
	}
	if !acked {
		return exit(exitBroker, "%s: the broker refuses it; the call stays parked", what)
	}
	return nil
}

// openSending opens a channel for publishes.
func (q *deadQueue) openSending() error {
	sending := &link{timeout: q.timeout, socket: q.socket, conn: q.conn}
	if err := sending.openChannel(); err != nil {
		return err
	}
	q.returns = sending.ch.NotifyReturn(make(chan amqp.Return, 1))
	q.sending = sending
	return sending.do(func() error { return sending.ch.Confirm(false) })
}

// close gives back what was not removed, and makes sure that what was removed is.
func (q *deadQueue) close() error {
	err := q.do("close the channel", q.ch.Close)
	q.drop()
	return err
}
