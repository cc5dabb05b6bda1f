package callstate

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// attempt is one publish of a call.
type attempt struct {
	number     int // from 1
	ticket     policy.Ticket
	writtenAt  time.Time // zero until it is handed to a connection
	until      time.Time // when it is given up alone; zero if it is not
	replyQueue string
	version    int8 // in which it was written
	answered   bool // by an error
	beside     bool // another one was waited for when it was made
	givenUp    bool // it is waited for no longer, or has been answered by an error
	proven     bool // it is known not to have been executed
	judged     bool // the breaker has been told of its end
}

func (a *attempt) isWritten() bool { return !a.writtenAt.IsZero() }

// open reports whether an attempt that was made is still waited for.
func (c *Call) open() bool {
	for i := range c.attempts {
		if !c.attempts[i].givenUp {
			return true
		}
	}
	return false
}

// attempt returns the attempt that the event is about, nil if it is about none. A
// server that does not know it has answered the last one that was written.
func (c *Call) attempt(e *Event) *attempt {
	number := e.Attempt
	if e.Kind == Answered && (number < 1 || number > c.written) {
		number = c.written
	}
	if number == 0 {
		return nil
	}
	return &c.attempts[number-1]
}

// giveUp notes that an attempt is waited for no longer.
func (c *Call) giveUp(a *attempt) {
	a.givenUp, a.until = true, time.Time{}
	if !c.next {
		c.nextAt = time.Time{} // no hedge of what is not waited for
	}
}

// prove notes that an attempt is known not to have been executed.
func (c *Call) prove(a *attempt) {
	if a.isWritten() && !a.proven {
		a.proven = true
		c.unproven--
	}
}

// drop takes an attempt that does not go out for one that was never made. One that was
// written before keeps its number.
func (c *Call) drop(a *attempt) {
	c.giveUp(a)
	if !a.isWritten() { // it is the last one, and the one that was on its way
		c.attempts = c.attempts[:len(c.attempts)-1]
		c.next = false
	}
}

// judge tells the breaker how an attempt ended, once. Slowness counts as little as
// silence while servers may be on their way back.
func (s *step) judge(a *attempt, r policy.Result) {
	if a.judged {
		return
	}
	a.judged = true
	if s.unsettled(a) {
		a.ticket.Begin(s.Now)
	}
	s.do(Effect{Do: Judge, Attempt: a.number, Ticket: a.ticket, Result: r})
}

// classify says what an error tells of the method. That nothing came in time tells
// nothing while replies cannot come in, nor soon after they could not: the servers
// may still be on their way back. Nor does it, here or on the server, if the caller
// gave the attempt less time than the method's policy does.
func (s *step) classify(a *attempt, err *warren.Error) policy.Result {
	if err.Code == warren.CodeDeadlineExceeded {
		until := s.Now
		if err.Remote {
			until = s.tries.Deadline()
		}
		if !s.tries.HadItsTime(a.writtenAt, until) || !err.Remote && s.unsettled(a) {
			return policy.Ignored
		}
	}
	return policy.Classify(err)
}

// unsettled reports whether replies cannot come in, or could not shortly before the
// attempt was written.
func (s *step) unsettled(a *attempt) bool {
	return s.Replies.Cut || !s.Replies.Back.IsZero() && a.writtenAt.Before(s.Replies.Back.Add(policy.Settling))
}
