package broker

import (
	"errors"
	"fmt"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// ErrSessionEnded is the cause of everything that failed because the connection
// did.
var ErrSessionEnded = errors.New("warren: the connection has ended")

// errNoAnswer says that the broker did not answer a method in time. The channel
// must not be used any more, not even to close it.
var errNoAnswer = errors.New("warren: the broker does not answer")

// errChannelEnded says that a queue that was consumed is not any more. Whatever the
// broker says with it, the next attempt may succeed.
var errChannelEnded = errors.New("warren: the channel has ended")

func channelEnded(e *amqp.Error) error {
	if e == nil {
		return errChannelEnded
	}
	return fmt.Errorf("%w: %w", errChannelEnded, e)
}

// deniedError says that a consumer cannot have what it needs, though nothing else is wrong.
type deniedError struct {
	why string
	err error
}

func (d *deniedError) Error() string { return "warren: " + d.why + ": " + d.err.Error() }

func (d *deniedError) Unwrap() error { return d.err }

// IsPermanent reports whether trying again cannot help until somebody changes
// the broker's configuration: wrong credentials, a virtual host or an existing
// queue that is not there, a permission that is missing, as many queues as there
// may be. Some replies share a code with what passes by itself, and only the text
// tells them apart: a queue or a virtual host whose node is down, an exclusive
// consumer, a limit of connections that is reached.
func IsPermanent(err error) bool {
	if _, is := errors.AsType[*deniedError](err); is {
		return true
	}
	var e *amqp.Error
	if !errors.As(err, &e) || errors.Is(err, errChannelEnded) {
		return false
	}
	says := func(words string) bool { return strings.Contains(e.Reason, words) }
	switch e.Code {
	case amqp.AccessRefused:
		return !says("exclusive use")
	case amqp.NotAllowed:
		return !says("limit") && !says("is down")
	case amqp.NotFound:
		return says("no queue")
	case amqp.PreconditionFailed, amqp.InvalidPath:
		return true
	default:
		return false
	}
}

// IsOfQueue reports whether err, of a queue that was declared or consumed, is due to the
// queue: the broker refuses it, or does not answer. The end of the connection is not.
func IsOfQueue(err error) bool {
	var e *amqp.Error
	refused := errors.As(err, &e) && e.Server && e.Recover
	return refused || IsPermanent(err) || errors.Is(err, errNoAnswer) && !errors.Is(err, ErrSessionEnded)
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

// isBrokers reports whether err is what the broker has said.
func isBrokers(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server
}

// isBrokersEnd reports whether a session has ended because the broker minded something
// that was done on it.
func isBrokersEnd(err error) bool {
	var e *amqp.Error
	return errors.As(err, &e) && e.Server && e.Code != amqp.ConnectionForced && errors.Is(err, ErrSessionEnded)
}

// isUnusable reports whether err is what a queue is like whose log RabbitMQ has lost.
// One whose node is down, or that has no majority, can be like that too.
func isUnusable(err error) bool {
	return errors.Is(err, errNoAnswer) && !errors.Is(err, ErrSessionEnded) || hasCode(err, amqp.InternalError)
}
