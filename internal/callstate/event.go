package callstate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// Moment is when an event happens.
type Moment struct {
	Now     time.Time
	Replies Replies
}

// Replies says whether replies can come in. Silence tells nothing of a method while
// they cannot, nor soon after they could not.
type Replies struct {
	Cut  bool      // they cannot now
	Back time.Time // since when they can again; zero if they always could
}

// Event is what has happened. Which fields count, its kind says.
type Event struct {
	Kind    Kind
	Attempt int // its number, from 1; of Answered it may be 0, or any other, if the server does not know it
	Ticket  policy.Ticket
	Reply   *warren.Reply
	Err     *warren.Error // may be changed from then on
	Queue   string
	Version int
}

// Kind is what kind of event has happened.
type Kind uint8

const (
	// Admitted: the breaker lets the next attempt out, with Ticket.
	Admitted Kind = iota + 1
	// Denied: the breaker does not, with Err.
	Denied
	// Confirmed: the broker has taken Attempt on. It ends a call that is OneWay, with
	// Reply, and changes nothing of any other.
	Confirmed
	// Returned: nobody gets Attempt, and nobody would get another one: no queue has
	// its name, or the broker takes no such message. Err says so.
	Returned
	// Nacked: the broker said no to Attempt, and may have enqueued it all the same.
	Nacked
	// Lost: the connection ended before the broker said anything about Attempt.
	Lost
	// Unsent: Attempt was taken out of the send queue, and the broker has not looked at it.
	// Err is why; nil if [Call.Write] did not let it out.
	Unsent
	// Blocked: as Unsent, with Err, since the broker blocks publishers.
	Blocked
	// Answered: a server has answered Attempt, by Reply or Err.
	Answered
	// Unread: a server does not read Version, in which one attempt was written, nobody
	// says which. Err is what the server told. Attempts are written in another version
	// from then on.
	Unread
	// Timer: the time that [Call.Wake] told has come. It may be told too often.
	Timer
	// ReplyQueueLost: what was to come to Queue does not.
	ReplyQueueLost
	// Left: one of the callers waits no longer. Err is what it is told.
	Left
	// Unreachable: the brokers refuse this client, with Err.
	Unreachable
	// Stopped: all is over, with Err, as when the client is closed.
	Stopped
)

// Effect is what the driver has to do.
type Effect struct {
	Do      Action
	Attempt int           // of Publish and Judge; 0 if it was not made
	Ticket  policy.Ticket // of Judge
	Result  policy.Result // of Judge
	Latency time.Duration // of Observe
}

// Action is what kind of thing the driver has to do.
type Action uint8

const (
	// Ask the method's breaker for another attempt. Admitted or Denied follows.
	Ask Action = iota + 1
	// Publish Attempt: put it into the send queue. Right before it is written, [Call.Write] is
	// asked; what became of it follows as an event.
	Publish
	// Judge tells the breaker the Result of the attempt with Ticket.
	Judge
	// Observe counts Latency among those of the method's calls.
	Observe
	// Finish: the call has ended, as [Call.Result] says. Only Judges follow: the program
	// may hear of them, and nobody should have to wait for that.
	Finish
)
