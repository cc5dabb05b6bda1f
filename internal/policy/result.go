package policy

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren"
)

// Result is what a call's end says of the way to its method.
type Result string

const (
	Success  Result = "success"  // it works
	Failure  Result = "failure"  // it does not
	Ignored  Result = "ignored"  // nothing
	Answered Result = "answered" // somebody answers, though by an error: counted only as a probe, which it then passes
)

// Settling is how long after a connection was there again that servers may still be
// on their way back, as they pause for 2 s at most between attempts to connect:
// that nothing was answered in time says nothing of a method until it is over.
const Settling = 3 * time.Second

// Classify says how an attempt that ended with that error counts for a
// [Breaker]. The first row that fits holds:
//
//	nil                                                       Success
//	canceled: the caller gave up, the client was closed       Ignored
//	not a [warren.Error]: nobody classified it                Failure
//
//	of an error from the server (Remote, whatever its reason):
//	  deadline_exceeded: too late for the handler, or in it   Failure
//	  unavailable, resource_exhausted: it says to come later  Ignored
//	  any other code: the application's                       Answered
//
//	of an error from this side:
//	  connection_lost, not_connected, connection_blocked,
//	  reply_queue_lost, whatever the code: the connection's,
//	  whose supervisor knows                                  Ignored
//	  unavailable/no_route, unavailable/no_server: routing    Failure
//	  unavailable/nacked: the confirm                         Failure
//	  deadline_exceeded, any other reason: the timeout        Failure
//	  any other that is Executed: a reply that is of no use   Answered
//	  any other, such as a bad request, a full buffer,
//	  a missing permission, breaker_open, budget_exhausted    Ignored
//
// Of a deadline_exceeded this holds if the attempt had the time that its policy gives:
// see [Attempts.HadItsTime]. Package client ignores all others, since they tell of an
// impatient caller.
//
// Answered keeps a method whose usual answer is an error, such as not_found,
// from staying half open for ever.
func Classify(err error) Result {
	if err == nil {
		return Success
	}
	e, ok := warren.AsError(err)
	switch {
	case !ok && errors.Is(err, context.Canceled):
		return Ignored
	case !ok:
		return Failure
	case e.Code == warren.CodeCanceled:
		return Ignored
	case e.Remote:
		return classifyRemote(e)
	default:
		return classifyLocal(e)
	}
}

func classifyRemote(e *warren.Error) Result {
	switch e.Code {
	case warren.CodeDeadlineExceeded:
		return Failure
	case warren.CodeUnavailable, warren.CodeResourceExhausted:
		return Ignored
	default:
		return Answered
	}
}

func classifyLocal(e *warren.Error) Result {
	switch e.Reason {
	case warren.ReasonConnectionLost, warren.ReasonNotConnected, warren.ReasonBlocked, warren.ReasonReplyQueueLost:
		return Ignored
	case warren.ReasonNoRoute, warren.ReasonNoServer, warren.ReasonNacked:
		if e.Code == warren.CodeUnavailable {
			return Failure
		}
	}
	switch {
	case e.Code == warren.CodeDeadlineExceeded:
		return Failure
	case e.Outcome == warren.Executed:
		return Answered
	default:
		return Ignored
	}
}
