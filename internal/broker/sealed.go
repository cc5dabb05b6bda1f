package broker

import (
	"errors"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ExclusiveQueue is a queue without messages that one connection can have.
func ExclusiveQueue(name string) *Queue {
	return &Queue{Name: name, Type: Classic, Exclusive: true, Sealed: true}
}

// LabelledQueue is a queue without messages that keeps a label: who declares it with
// another one is refused, see [OtherLabel]. It is a quorum queue, whose declaration
// needs none of its nodes in particular.
func LabelledQueue(name, label string) *Queue {
	return &Queue{Name: name, Type: Quorum, Sealed: true, Label: label}
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
