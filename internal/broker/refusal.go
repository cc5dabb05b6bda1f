package broker

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

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

// RefusalError is why the broker does not take a message. Its text has the broker's
// words, if the broker has been asked.
type RefusalError struct {
	Kind RefusalKind
	text string
	err  error
}

// Error implements error.
func (r *RefusalError) Error() string { return r.text }

// Unwrap returns what the broker said, nil if it was not asked.
func (r *RefusalError) Unwrap() error { return r.err }

// bounds are what the broker takes on one session: the frame that was agreed upon,
// and what its refusals have taught since.
type bounds struct {
	frame   int // in bytes
	lessons atomic.Pointer[lessons]
}

type lessons struct {
	body  int // the largest, in bytes; 0 if it is not known
	large *amqp.Error
	user  string // whom the broker knows this connection as; "" if that is not known
	other *amqp.Error
}

// brokerHeaders is the room that is left in a frame for headers that the broker adds
// when it delivers a message again, or as a dead letter. What grows over the frame
// ends the connection of whoever consumes it.
const brokerHeaders = 1 << 10

// check returns why the broker would not take msg, nil as far as is known.
func (b *bounds) check(msg *amqp.Publishing) *RefusalError {
	if n := headerFrame(msg); n > b.frame-brokerHeaders {
		return &RefusalError{Kind: HeadersTooLarge, text: fmt.Sprintf(
			"warren: headers and properties take %d bytes; at most %d are sent to a broker whose frame_max is %d",
			n, b.frame-brokerHeaders, b.frame)}
	}
	l := b.lessons.Load()
	switch {
	case l == nil:
		return nil
	case l.body > 0 && len(msg.Body) > l.body:
		return &RefusalError{BodyTooLarge, fmt.Sprintf("warren: the body has %d bytes; the broker has said: %s", len(msg.Body), l.large.Reason), l.large}
	case l.user != "" && msg.UserId != "" && msg.UserId != l.user:
		return &RefusalError{NotPermitted, fmt.Sprintf("warren: the user is %.100q; the broker has said: %s", msg.UserId, l.other.Reason), l.other}
	default:
		return nil
	}
}

var (
	saysTooLarge = regexp.MustCompile(`message size (\d+) is larger than (?:configured )?max size (\d+)`)
	saysUser     = regexp.MustCompile(`(?s)user_id property set to '(.*)' but authenticated user was '(.*)'`)
)

// learn looks in what the broker has closed a channel with for the message that it
// did not take. That is the first of the open ones that fits, since the broker reads
// them in their order; learn returns its place, or len(open) if that cannot be told.
// single says that nothing else was under way on the connection.
func (b *bounds) learn(e *amqp.Error, open []*Publishing, single bool) int {
	l := lessons{}
	if known := b.lessons.Load(); known != nil {
		l = *known
	}
	fits := func(*amqp.Publishing) bool { return true }
	if e.Code == amqp.PreconditionFailed {
		if said := saysTooLarge.FindStringSubmatch(e.Reason); said != nil {
			size, _ := strconv.Atoi(said[1]) // digits: at worst out of range, which fits nothing
			l.body, _ = strconv.Atoi(said[2])
			l.large = e
			fits = func(msg *amqp.Publishing) bool { return len(msg.Body) == size }
		} else if said := saysUser.FindStringSubmatch(e.Reason); said != nil && said[1] != said[2] {
			l.user, l.other = said[2], e
			fits = func(msg *amqp.Publishing) bool { return msg.UserId == said[1] }
		} else {
			return len(open)
		}
		b.lessons.Store(&l)
	} else if e.Code != amqp.AccessRefused && (e.Code != amqp.InternalError || !single) || len(open) != 1 {
		return len(open) // all of them lack the permission, and which was the first is not told
	}
	for i, item := range open {
		if fits(&item.Msg) {
			return i
		}
	}
	return len(open)
}

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
