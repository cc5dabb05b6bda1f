package broker

import (
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Publishing is one message on its way through the default exchange.
type Publishing struct {
	// Key is the queue.
	Key string
	// Mandatory asks the broker to return it if there is no such queue.
	Mandatory bool
	// Bundle lets it go out with others for the same queue in one message, if the
	// publisher has PublisherConfig.Bundle. Its body is 4 KiB or less.
	Bundle bool
	Msg    amqp.Publishing
	Sink   Sink

	bundle  *bundle // the one that it is the publish of; nil if it is a message of its own
	state   atomic.Uint32
	written time.Time // guarded by the channel's mu: when it last went out
}

// The states of a Publishing.
const (
	queued uint32 = iota
	writing
	settled
)

// Withdraw takes the publishing back. It reports whether that was in time:
// then nothing of it was or will be written, and Settled is not called.
func (p *Publishing) Withdraw() bool { return p.state.CompareAndSwap(queued, settled) }

// rewind makes a publishing that was written one that is queued again, unless it
// has ended. Whoever calls it must know that the broker never looked at it.
func (p *Publishing) rewind() bool { return p.state.CompareAndSwap(writing, queued) }

// settle ends a publishing that was queued or being written.
func (p *Publishing) settle(result Result, reason error) {
	if p.state.Swap(settled) != settled {
		p.Sink.Settled(result, reason)
	}
}

// Sink is told of one publish. Its methods are called on goroutines that others
// depend on, the one that reads from the broker among them, and must not block.
type Sink interface {
	// Writing is called right before the message is written; it may change the
	// message, and it reports whether to write it at all. If not, the publish
	// ends as Unsent. It is called again if the message is to be written again,
	// because the broker closed the channel over another one and never looked at
	// this.
	Writing(now time.Time, msg *amqp.Publishing) bool
	// Settled is called once, with the end of the publish. reason is set for
	// Unsent and Refused, and for Lost if the broker told why it closed the
	// channel or connection.
	Settled(result Result, reason error)
}

// Result is what became of one publish. Each publish gets exactly one.
type Result uint8

const (
	// Unsent: the broker has not looked at it, and will not: it was never written, or
	// rewound and not written again.
	Unsent Result = iota + 1
	// Acked: the broker has taken responsibility for it.
	Acked
	// Nacked: the broker said no. It may have enqueued it all the same.
	Nacked
	// Returned: no queue was bound for it, so nobody gets it.
	Returned
	// Lost: the connection or channel ended before the broker said anything;
	// it may have been enqueued.
	Lost
	// Refused: the broker does not take such a message, so nobody gets it. The
	// reason is a [*RefusalError].
	Refused
)

var resultNames = [...]string{
	Unsent: "unsent", Acked: "acked", Nacked: "nacked", Returned: "returned", Lost: "lost", Refused: "refused",
}

// String returns the result's name.
func (r Result) String() string { return resultNames[r] }
