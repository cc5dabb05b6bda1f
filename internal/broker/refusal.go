package broker

import (
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// RefusalError is why the broker does not take a message. Its text has the broker's
// words, if the broker has been asked.
type RefusalError struct {
	Kind RefusalKind
	text string
	err  error
}

// RefusalKind is what is wrong with a message that the broker does not take.
type RefusalKind uint8

const (
	// NotPermitted: this user may not publish, or not as the message's user.
	NotPermitted RefusalKind = iota
	// BodyTooLarge: the body is over the broker's max_message_size.
	BodyTooLarge
	// HeadersTooLarge: the properties do not fit into one frame.
	HeadersTooLarge
	// EndsConnection: the broker has ended the connection over it, where nothing else
	// was under way. Only a publisher with PublisherConfig.Single finds that out.
	EndsConnection
)

// Error implements error.
func (r *RefusalError) Error() string { return r.text }

// Unwrap returns what the broker said, nil if it was not asked.
func (r *RefusalError) Unwrap() error { return r.err }

// refused returns the refusal of a message that the broker has closed a channel for.
func refused(e *amqp.Error) *RefusalError {
	r := &RefusalError{Kind: NotPermitted, text: "warren: " + e.Reason, err: e}
	switch {
	case e.Code == amqp.InternalError:
		r.Kind = EndsConnection
	case strings.Contains(e.Reason, "message size"):
		r.Kind = BodyTooLarge
	}
	return r
}
