package callstate

import (
	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// succeed ends the call with the reply to an attempt, which is nil if the call was
// answered before anything was written.
func (s *step) succeed(a *attempt, reply *warren.Reply) {
	s.tries.Succeeded()
	if a != nil {
		s.judge(a, policy.Success)
		if !s.cfg.OneWay {
			s.do(Effect{Do: Observe, Latency: s.Now.Sub(s.attempts[0].writtenAt)})
		}
	}
	s.finishBy(a, reply, nil)
}

// failed takes the error that a server has answered to an attempt.
func (s *step) failed(a *attempt, err *warren.Error) {
	// The broker, or a server that was not sure, may deliver an answer twice.
	if a.proven && err.Outcome == warren.NotExecuted {
		return
	}
	switch err.Outcome {
	case warren.NotExecuted:
		s.prove(a)
	case warren.Executed:
		executed := *err // err itself may be changed below
		s.executed = &executed
	case warren.Unknown:
	}
	a.answered = true
	s.giveUp(a)
	s.judge(a, s.classify(a, err))
	if (s.next || s.open()) && s.tries.Repeatable(err) {
		return // the other attempt decides
	}
	switch d := s.tries.Failed(s.Now, err); {
	case d.Retry:
		s.lastReason = err.Reason
		s.repeat(d)
	case d.Why == policy.WhyBudget:
		s.finishBy(a, nil, policy.BudgetExhausted(err))
	default:
		s.finishBy(a, nil, err)
	}
}

// left gives up waiting: for the whole call if nobody else waits for it, and otherwise
// for one caller alone, who learns nothing of how it will end.
func (s *step) left(err *warren.Error) {
	if s.waiters--; s.waiters > 0 {
		err.Outcome, err.Attempts = warren.Unknown, s.written
		return
	}
	if s.written > 0 {
		err.Reason = s.lastReason
	}
	s.finish(nil, err)
}

// finishBy ends the call with what was answered to one attempt, which says nothing of
// the others.
func (s *step) finishBy(a *attempt, reply *warren.Reply, err *warren.Error) {
	for i := range s.attempts {
		if b := &s.attempts[i]; b != a {
			s.judge(b, policy.Ignored)
		}
	}
	s.finish(reply, err)
}

// finish ends the call. What it is told of the outcome holds for the last attempt;
// others of unknown fate make it Unknown. The attempts that are not judged yet are
// judged by err as it came, and one that was never written says nothing of the method.
func (s *step) finish(reply *warren.Reply, err *warren.Error) {
	s.ended = true
	s.do(Effect{Do: Finish})
	for i := range s.attempts {
		result := policy.Ignored
		if a := &s.attempts[i]; err != nil && a.isWritten() && !a.judged {
			result = s.classify(a, err)
		}
		s.judge(&s.attempts[i], result)
	}
	if reply != nil {
		s.reply = reply
		reply.Attempts = max(s.written, 1)
	}
	if err != nil {
		s.err = s.joined(err)
	}
}

// joined returns what the call ends with: err, with what is known of the other
// attempts. That one of them could not be made says nothing where another one was
// executed: what came of that is told.
func (s *step) joined(err *warren.Error) *warren.Error {
	switch {
	case s.executed != nil && err.Outcome == warren.NotExecuted:
		err = s.executed
	case s.executed != nil && err.Outcome == warren.Unknown:
		err.Outcome = warren.Executed
		err.Message += "; an attempt before was executed, and ended as " + s.executed.Code.String()
	case err.Outcome == warren.NotExecuted && s.unproven > 0:
		err.Outcome = warren.Unknown
		err.Message += "; an attempt before may have been executed"
	}
	err.Attempts = s.written
	return err
}
