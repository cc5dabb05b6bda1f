package callstate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// step is a call while it takes one event.
type step struct {
	*Call
	Moment
	effects []Effect
}

func (s *step) do(e Effect) { s.effects = append(s.effects, e) }

func (s *step) handle(e *Event) {
	a := s.attempt(e)
	switch e.Kind {
	case Admitted:
		s.admitted(e.Ticket)
	case Denied:
		s.denied(e.Err)
	case Confirmed:
		if s.cfg.OneWay {
			s.succeed(a, e.Reply)
		}
	case Returned:
		s.prove(a)
		s.finish(nil, e.Err)
	case Nacked:
		s.unconfirmed(a, warren.ReasonNacked)
	case Lost:
		s.unconfirmed(a, warren.ReasonConnectionLost)
	case Unsent:
		s.unsent(a, e.Err)
	case Blocked:
		s.blocked(a, e.Err)
	case Answered:
		switch {
		case e.Err == nil:
			s.succeed(a, e.Reply)
		case a != nil:
			s.failed(a, e.Err)
		}
	case Unread:
		s.unread(e.Version, e.Err)
	case Timer:
		s.timer()
	case ReplyQueueLost:
		s.replyQueueLost(e.Queue)
	case Left:
		s.left(e.Err)
	case Unreachable:
		if s.written == 0 {
			s.finish(nil, e.Err)
		}
	case Stopped:
		s.finish(nil, e.Err)
	}
}

// admitted makes the next attempt.
func (s *step) admitted(ticket policy.Ticket) {
	number := len(s.attempts) + 1
	s.attempts = append(s.attempts, attempt{number: number, ticket: ticket, beside: s.open()})
	s.do(Effect{Do: Publish, Attempt: number})
}

// denied ends a call whose next attempt the breaker does not let out; not one that
// an earlier attempt is still waited for, beside which it was to go.
func (s *step) denied(err *warren.Error) {
	if s.open() {
		s.next = false
		return
	}
	s.finish(nil, err)
}

// unconfirmed follows a publish that may or may not have arrived. The breaker is told
// of refusals only, and not of those that are no more than an election. A notification
// has nothing to wait for, and a call that was nacked need not, by its policy.
func (s *step) unconfirmed(a *attempt, reason string) {
	nacked, result := reason == warren.ReasonNacked, policy.Ignored
	err := &warren.Error{
		Code: warren.CodeUnavailable, Reason: reason, Outcome: warren.Unknown,
		Message: "the broker did not confirm the request",
	}
	d := s.again(a, err)
	if nacked && !d.Ignored {
		result = policy.Failure
	}
	s.judge(a, result)
	if !d.Retry && (s.cfg.OneWay || nacked && s.tries.FailsNacked()) {
		s.finish(nil, err)
	}
}

// unsent follows a publish that the broker has not looked at. One that Write did not let
// out needs nothing: the call has ended, or does by its deadline.
func (s *step) unsent(a *attempt, err *warren.Error) {
	s.prove(a)
	if err != nil {
		s.finish(nil, err)
	}
}

// blocked ends a call that the broker's block kept from going out. One of which another
// attempt has gone out waits on, as if this one had never been: the other may be
// answered.
func (s *step) blocked(a *attempt, err *warren.Error) {
	s.prove(a)
	if s.unproven == 0 {
		s.finish(nil, err)
		return
	}
	s.judge(a, policy.Ignored)
	s.drop(a)
	s.lastReason = err.Reason
}

// unread follows an attempt that a server did not read, which tells nothing of the
// method. It is taken for the first one of that version that is not answered: queues
// keep the order. It proves nothing if there were several: it may be a second copy of
// what one of them was told.
func (s *step) unread(version int, err *warren.Error) {
	of, first := 0, -1
	for i := range s.attempts {
		a := &s.attempts[i]
		if !a.isWritten() || int(a.version) != version {
			continue
		}
		of++
		if first < 0 && !a.answered && !a.proven {
			first = i
		}
	}
	if first < 0 {
		return
	}
	a := &s.attempts[first]
	a.answered = true
	if err.Outcome == warren.NotExecuted && of == 1 {
		s.prove(a)
	}
	s.giveUp(a)
	s.judge(a, policy.Ignored)
	switch again := s.tries.Unread(err); {
	case s.next || s.open(): // another attempt decides
	case again:
		s.next = true
		s.do(Effect{Do: Ask})
	default:
		s.finishBy(a, nil, err)
	}
}

// timer does what is due.
func (s *step) timer() {
	for i := range s.attempts {
		if a := &s.attempts[i]; s.due(a.until) {
			s.timedOut(a)
		}
	}
	if s.due(s.nextAt) {
		s.nextAt = time.Time{}
		s.makeNext()
	}
}

func (s *step) due(at time.Time) bool { return !at.IsZero() && !s.Now.Before(at) }

// timedOut gives up waiting for an attempt alone. A reply that comes for it is taken
// all the same.
func (s *step) timedOut(a *attempt) {
	err := &warren.Error{
		Code: warren.CodeDeadlineExceeded, Outcome: warren.Unknown, Message: "the attempt was not answered in time",
	}
	s.judge(a, s.classify(a, err))
	s.again(a, err)
}

// makeNext makes the attempt that is due. A hedge is made if the budget has room for
// it.
func (s *step) makeNext() {
	if s.next || s.tries.Hedge() {
		s.next = true
		s.do(Effect{Do: Ask})
	}
}

// replyQueueLost makes another attempt, or ends the call, if the reply to one of those
// that were written was to come to that queue. One that is still in the send queue gets
// the new name when it is written.
func (s *step) replyQueueLost(queue string) {
	lost := false
	for i := range s.attempts {
		if a := &s.attempts[i]; a.isWritten() && a.replyQueue == queue {
			s.giveUp(a)
			lost = true
		}
	}
	if !lost {
		return
	}
	err := &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonReplyQueueLost, Outcome: warren.Unknown,
		Message: "the queue that the reply was to come to is gone",
	}
	s.lastReason = err.Reason
	if !s.follow(err).Retry {
		s.finish(nil, err)
	}
}

// again makes another attempt after one that ended in err, if the policy has it, and
// returns what was decided: to retry if there is another attempt already. If not, a
// call waits on: the request may have arrived, and then a reply comes.
func (s *step) again(a *attempt, err *warren.Error) policy.Decision {
	if err.Reason != "" {
		s.lastReason = err.Reason
	}
	if a.givenUp {
		return policy.Decision{Retry: true} // what follows from it has been decided
	}
	s.giveUp(a)
	return s.follow(err)
}

// follow decides what follows an attempt that ended in err.
func (s *step) follow(err *warren.Error) policy.Decision {
	if s.next || s.open() {
		return policy.Decision{Retry: true}
	}
	ended := s.tries.Failed
	if err.Reason == warren.ReasonNacked {
		ended = s.tries.Nacked
	}
	d := ended(s.Now, err)
	if d.Retry {
		s.repeat(d)
	} else if d.Why == policy.WhyBudget && s.lastReason == "" {
		s.lastReason = warren.ReasonBudgetExhausted
	}
	return d
}

// repeat has another attempt made after a pause.
func (s *step) repeat(d policy.Decision) {
	s.next, s.nextAt = true, s.Now.Add(d.Wait)
}
