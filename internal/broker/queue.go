package broker

import (
	"errors"
	"fmt"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
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
	// Marker queues take no messages: what counts is that they are there. A quorum
	// queue may take the first.
	Marker bool
	// Label is kept with a marker, and whoever declares it with another one is
	// refused.
	Label string
}

// QueueType is how a queue is kept by the broker.
type QueueType string

// The queue types.
const (
	Quorum  QueueType = "quorum"
	Classic QueueType = "classic"
	// Existing queues are consumed as somebody else declared them.
	Existing QueueType = "existing"
)

// ExclusiveMarker is a queue without messages that one connection can have.
func ExclusiveMarker(name string) *Queue {
	return &Queue{Name: name, Type: Classic, Exclusive: true, Marker: true}
}

// LabelledMarker is a queue without messages that keeps a label: who declares it with
// another one is refused, see [OtherLabel]. It is a quorum queue, whose declaration
// needs none of its nodes in particular.
func LabelledMarker(name, label string) *Queue {
	return &Queue{Name: name, Type: Quorum, Marker: true, Label: label}
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
	if q.Marker {
		args["x-max-length"] = int64(0)
		args["x-overflow"] = "reject-publish"
	}
	if q.Label != "" {
		// The one argument with a text of one's own that RabbitMQ compares. It is where
		// dead messages would go, and a marker has none.
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
		err = fmt.Errorf("declare queue %s: %w", q.Name, withAdvice(s, q.Name, err))
	}
	return err
}

const labelArgument = "x-dead-letter-routing-key"

// OtherLabel reports whether a queue was not declared because it has another label,
// and returns that: as much of it as the broker tells, which is less of queues with
// long names.
func OtherLabel(err error) (label string, other bool) {
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || !strings.Contains(refusal.Reason, "inequivalent arg '"+labelArgument+"'") {
		return "", false
	}
	_, label, _ = strings.Cut(refusal.Reason, " but current is '")
	label, _, _ = strings.Cut(label, "'")
	return label, true
}

// inspect is a passive declare on a channel of its own: it changes nothing, and
// a queue that is not there closes only that channel.
func inspect(s *Session, name string) (amqp.Queue, error) {
	var q amqp.Queue // not read after an error, when the look may still be under way
	err := onChannel(s, func(ch *amqp.Channel) (err error) {
		q, err = ch.QueueDeclarePassive(name, false, false, false, false, nil)
		return err
	})
	if err != nil {
		return amqp.Queue{}, fmt.Errorf("look up queue %s: %w", name, withAdvice(s, name, err))
	}
	return q, nil
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
	_, err := inspect(s, name)
	if IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Consumers returns how many consumers the queue has; none if it is not there.
func Consumers(s *Session, name string) (int, error) {
	q, err := inspect(s, name)
	if IsNotFound(err) {
		return 0, nil
	}
	return q.Consumers, err
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

// withAdvice adds to an error what an operator can do about a queue that is unusable.
func withAdvice(s *Session, queue string, err error) error {
	if err == nil || !isUnusable(err) {
		return err
	}
	quoted := func(name string) string { return "'" + strings.ReplaceAll(name, "'", `'\''`) + "'" }
	return fmt.Errorf("%w; if queue %s stays so while all nodes are up, it is damaged: delete it, with what it holds, and servers make it again: "+
		"rabbitmqctl -p %s delete_queue %s", err, queue, quoted(s.conn.Config.Vhost), quoted(queue))
}
