package broker

import (
	"fmt"
	"regexp"
	"strconv"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"
)

// limits are what the broker takes on one session: the frame that was agreed upon,
// and what its refusals have shown since.
type limits struct {
	frame   int // in bytes
	learned atomic.Pointer[learned]
}

// learned is what refusals have shown, with the refusals.
type learned struct {
	body        int // the largest, in bytes; 0 if it is not known
	bodyRefusal *amqp.Error
	user        string // whom the broker knows this connection as; "" if that is not known
	userRefusal *amqp.Error
}

// brokerHeaders is the room that is left in a frame for headers that the broker adds
// when it delivers a message again, or as a dead letter. What grows over the frame
// ends the connection of whoever consumes it.
const brokerHeaders = 1 << 10

// check returns why the broker would not take msg, nil as far as is known.
func (l *limits) check(msg *amqp.Publishing) *RefusalError {
	if n := headerFrame(msg); n > l.frame-brokerHeaders {
		return &RefusalError{Kind: HeadersTooLarge, text: fmt.Sprintf(
			"warren: headers and properties take %d bytes; at most %d are sent to a broker whose frame_max is %d",
			n, l.frame-brokerHeaders, l.frame)}
	}
	known := l.learned.Load()
	switch {
	case known == nil:
		return nil
	case known.body > 0 && len(msg.Body) > known.body:
		text := fmt.Sprintf("warren: the body has %d bytes; the broker has said: %s", len(msg.Body), known.bodyRefusal.Reason)
		return &RefusalError{BodyTooLarge, text, known.bodyRefusal}
	case known.user != "" && msg.UserId != "" && msg.UserId != known.user:
		text := fmt.Sprintf("warren: the user is %.100q; the broker has said: %s", msg.UserId, known.userRefusal.Reason)
		return &RefusalError{NotPermitted, text, known.userRefusal}
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
func (l *limits) learn(e *amqp.Error, open []*Publishing, single bool) int {
	var now learned
	if known := l.learned.Load(); known != nil {
		now = *known
	}
	fits := func(*amqp.Publishing) bool { return true }
	if e.Code == amqp.PreconditionFailed {
		if said := saysTooLarge.FindStringSubmatch(e.Reason); said != nil {
			size, _ := strconv.Atoi(said[1]) // digits: at worst out of range, which fits nothing
			now.body, _ = strconv.Atoi(said[2])
			now.bodyRefusal = e
			fits = func(msg *amqp.Publishing) bool { return len(msg.Body) == size }
		} else if said := saysUser.FindStringSubmatch(e.Reason); said != nil && said[1] != said[2] {
			now.user, now.userRefusal = said[2], e
			fits = func(msg *amqp.Publishing) bool { return msg.UserId == said[1] }
		} else {
			return len(open)
		}
		l.learned.Store(&now)
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
