package main

import (
	"context"
	"errors"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/wire"
)

// amqpLooker looks at queues by declaring them passively, over a connection that it
// keeps from one look to the next.
type amqpLooker struct {
	settings warren.Broker
	timeout  time.Duration

	link *link // nil before the first look, and after one that failed
}

func (a *amqpLooker) look(ctx context.Context, names []string) (_ *queueList, err error) {
	if a.link == nil {
		if a.link, err = openLink(ctx, a.settings, a.settings.Name, a.timeout); err != nil {
			return nil, err
		}
	}
	defer func() {
		if err != nil {
			a.close()
		}
	}()
	list := &queueList{Source: "amqp", VHost: brokerOf(a.settings).Vhost, Queues: []*queueRow{}}
	for _, name := range names {
		if ctx.Err() != nil {
			return nil, interrupted()
		}
		row := &queueRow{Name: name}
		found, err := a.passive(name, row)
		if err != nil {
			return nil, err
		}
		row.Ready, row.Consumers = found.Messages, found.Consumers
		var dead queueRow
		found, err = a.passive(wire.DeadQueue(name), &dead)
		if err != nil {
			return nil, err
		}
		if dead.Exists {
			row.Dead = &found.Messages
		}
		list.Queues = append(list.Queues, row)
	}
	return list, nil
}

// passive looks one queue up, and sets whether it exists.
func (a *amqpLooker) passive(name string, row *queueRow) (found amqp.Queue, err error) {
	if a.link.ch == nil || a.link.ch.IsClosed() {
		if err := a.link.openChannel(); err != nil {
			return found, queueFailure(name, a.timeout, err)
		}
	}
	err = a.link.do(func() (err error) {
		found, err = a.link.ch.QueueDeclarePassive(name, true, false, false, false, nil)
		return err
	})
	var refusal *amqp.Error
	switch {
	case err == nil:
		row.Exists = true
		return found, nil
	case !errors.As(err, &refusal):
		return found, queueFailure(name, a.timeout, err)
	}
	// The refusal closed the channel, not the connection.
	switch refusal.Code {
	case amqp.NotFound:
		return found, nil
	case amqp.AccessRefused, amqp.ResourceLocked, amqp.PreconditionFailed:
		row.Refused = strings.TrimSpace(refusal.Reason)
		return found, nil
	}
	return found, queueFailure(name, a.timeout, err)
}

func (a *amqpLooker) close() {
	if a.link != nil {
		a.link.drop()
		a.link = nil
	}
}

// brokerOf takes the first URL apart, which was checked.
func brokerOf(settings warren.Broker) amqp.URI {
	u, err := amqp.ParseURI(settings.URLs[0])
	if err != nil {
		return amqp.URI{Vhost: "/"}
	}
	return u
}
