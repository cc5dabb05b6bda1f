package policy

import "time"

// The arithmetic of deadlines. Its functions are pure: they read no clock.

// MinAttempt is the least time that an attempt must have to be started: less
// does not suffice for a request to reach a server and its reply to come back.
const MinAttempt = time.Millisecond

const (
	attemptPart  = 3           // of a call's time is an attempt's, if the policy names none
	attemptLeast = time.Second // and at least that
)

// AttemptTime returns how long an attempt is waited for in a call that has that
// much time in all, if another may follow it: p.AttemptTimeout or, if that is 0,
// a third of the call's time, at least 1 s. It is never more than the call has,
// nor negative, and grows with it.
func (p *Policy) AttemptTime(call time.Duration) time.Duration {
	each := p.AttemptTimeout
	if each <= 0 {
		each = max(call/attemptPart, attemptLeast)
	}
	return max(min(each, call), 0)
}

// AttemptDeadline returns until when an attempt is waited for that starts now,
// in a call that must end by deadline and whose attempts have each their time:
// now+each, but never past the deadline. The deadline itself is returned for the
// last attempt, for that of a call that may not be repeated (pass last), and if
// no other could start in what would be left; see [MinAttempt].
func AttemptDeadline(now, deadline time.Time, each time.Duration, last bool) time.Time {
	left := deadline.Sub(now)
	if last || left <= MinAttempt || each >= left-MinAttempt {
		return deadline
	}
	return now.Add(each)
}
