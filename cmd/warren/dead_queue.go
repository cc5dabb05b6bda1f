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
		q.returns = q.ch.NotifyReturn(make(chan amqp.Return, 1))
		if err := q.ch.Confirm(false); err != nil {
			return err
		}
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

// publish sends msg to the method's queue, and returns when the broker has taken it
// on.
func (q *deadQueue) publish(ctx context.Context, msg *amqp.Publishing) error {
	const what = "send the call to its method"
	acked := false
	err := q.do(what, func() error {
		confirm, err := q.ch.PublishWithDeferredConfirmWithContext(ctx, "", q.method, true, false, *msg)
		if err != nil {
			return err
		}
		<-confirm.Done() // the end of the channel confirms it too, as not acked
		if acked = confirm.Acked(); !acked && q.ch.IsClosed() {
			return amqp.ErrClosed
		}
		return nil
	})
	if err != nil {
		return err
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

// close gives back what was not removed, and makes sure that what was removed is.
func (q *deadQueue) close() error {
	err := q.do("close the channel", q.ch.Close)
	q.drop()
	return err
}
