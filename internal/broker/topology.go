package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// QueueType is how a queue is kept by the broker.
type QueueType string

// The queue types.
const (
	Quorum  QueueType = "quorum"
	Classic QueueType = "classic"
	// Existing queues are consumed as somebody else declared them.
	Existing QueueType = "existing"
)

// Queue describes a queue to be declared.
type Queue struct {
	Name string
	Type QueueType
	// Durable keeps a classic queue through a restart of the broker; quorum
	// queues always are.
	Durable bool
	// Exclusive queues serve one connection and die with it.
	Exclusive bool
	// Expires deletes the queue after it had no consumer for so long; 0 never.
	Expires time.Duration
	// Sealed queues take no messages: what counts is that they are there. A quorum
	// queue may take the first.
	Sealed bool
	// Label is kept with a sealed queue, and whoever declares it with another one is
	// refused.
	Label string
}

// Args are the arguments of the queue's declaration.
func (q *Queue) Args() amqp.Table {
	args := amqp.Table{}
	// Said for classic queues too: a virtual host may have another default, and
	// RabbitMQ takes a queue that was declared without for the same.
	args["x-queue-type"] = string(q.Type)
	if q.Expires > 0 {
		args["x-expires"] = q.Expires.Milliseconds()
	}
	if q.Sealed {
		args["x-max-length"] = int64(0)
		args["x-overflow"] = "reject-publish"
	}
	if q.Label != "" {
		// The one argument with a text of one's own that RabbitMQ compares. It is where
		// dead messages would go, and a sealed queue has none.
		args["x-dead-letter-exchange"] = ""
		args[labelArgument] = q.Label
	}
	return args
}

// Declare makes the queue exist exactly so: one that is there and is not the same is
// an error.
func (q *Queue) Declare(s *Session) error {
	err := onChannel(s, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclare(q.Name, q.Durable || q.Type == Quorum, false, q.Exclusive, false, q.Args())
		return err
	})
	if err != nil {
		err = fmt.Errorf("declare queue %s: %w", q.Name, cure(s, q.Name, err))
	}
	return err
}

// Declarer declares one queue, as often as sessions ask for it.
type Declarer struct {
	Queue  Queue
	Logger *slog.Logger

	warned sync.Once
	fresh  freshQueue
}

// Declare makes the queue exist. One that exists with other arguments is used
// as it is; the first time that is found, one warning names the difference.
func (d *Declarer) Declare(s *Session) (string, error) {
	q := &d.Queue
	switch q.Type {
	case Existing:
		return q.Name, inspect(s, q.Name)
	case Quorum:
		return q.Name, d.declareQuorum(s)
	case Classic:
	}
	return q.Name, d.declare(s)
}

func (d *Declarer) declare(s *Session) error {
	q := &d.Queue
	err := q.Declare(s)
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed {
		return err
	}
	if err := inspect(s, q.Name); IsNotFound(err) {
		// It does not differ, it may not be made: there are too many.
		return fmt.Errorf("declare queue %s: %w", q.Name, refusal)
	} else if err != nil {
		return err
	}
	d.warned.Do(func() {
		d.Logger.Warn("the queue exists with other arguments; using it as it is",
			"queue", q.Name, "difference", refusal.Reason)
	})
	return nil
}

// inspect is a passive declare on a channel of its own: it changes nothing, and
// a queue that is not there closes only that channel.
func inspect(s *Session, name string) error {
	err := onChannel(s, func(ch *amqp.Channel) error {
		_, err := ch.QueueDeclarePassive(name, false, false, false, false, nil)
		return err
	})
	if err != nil {
		return fmt.Errorf("look up queue %s: %w", name, cure(s, name, err))
	}
	return nil
}

// Delete deletes a queue with what it holds. One that is not there is fine.
func Delete(s *Session, name string) error {
	return onChannel(s, func(ch *amqp.Channel) error {
		_, err := ch.QueueDelete(name, false, false, false)
		return err
	})
}

// Exists reports whether there is such a queue.
func Exists(s *Session, name string) (bool, error) {
	err := inspect(s, name)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// onChannel runs f on a channel that is closed afterwards.
func onChannel(s *Session, f func(ch *amqp.Channel) error) error {
	ch, err := s.channel()
	if err != nil {
		return err
	}
	err = s.do("declare", func() error { return f(ch) })
	s.abandon(ch, err)
	return err
}

// IsNotFound reports whether err is the broker's 404.
func IsNotFound(err error) bool { return hasCode(err, amqp.NotFound) }

// IsAway reports whether err is the broker's 404 for a queue that it has, on a node
// that is down.
func IsAway(err error) bool { return IsNotFound(err) && !IsPermanent(err) }

// IsRefused reports whether err is the broker's 403.
func IsRefused(err error) bool { return hasCode(err, amqp.AccessRefused) }

// IsLocked reports whether err is the broker's 405: another connection has the
// exclusive queue.
func IsLocked(err error) bool { return hasCode(err, amqp.ResourceLocked) }

func hasCode(err error, code int) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Code == code
}
