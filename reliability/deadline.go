package reliability

import "time"

// The arithmetic of deadlines. Its functions are pure: they read no clock.

// MinAttempt is the least time that an attempt must have to be started: less
// does not suffice for a request to reach a server and its reply to come back.
const MinAttempt = time.Millisecond

const (
	attemptPart  = 3           // of a call's time is an attempt's, if the policy names none
	attemptLeast = time.Second // and at least that
	replyPart    = 50          // of what a handler has left is kept for its reply
	replyLeast   = time.Millisecond
	replyMost    = 100 * time.Millisecond
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

// OnwardDeadline returns the deadline of calls that a handler makes on behalf of
// a call that ends at deadline. It is earlier, so that the handler can still
// answer when they fail: by a fiftieth of the time left, 1 ms to 100 ms. So
// deadlines shrink from hop to hop. It is never past the deadline, and before
// now only if the deadline is.
func OnwardDeadline(now, deadline time.Time) time.Time {
	left := deadline.Sub(now)
	if left <= 0 {
		return deadline
	}
	keep := min(max(left/replyPart, replyLeast), replyMost)
	return now.Add(max(left-keep, 0))
}

// LocalDeadline returns by this host's clock a deadline that another's set, as
// far as can be told: the two may differ by as much as skew, of which the
// deadline is allowed all, so that no request is refused whose caller still
// waits. But a call lasts no longer here than it does there: now plus what its
// caller gave it, deadline−issued, bounds the result, which limits what a clock
// that is behind adds. A zero issued is not known, and a zero deadline stays
// none.
func LocalDeadline(now, issued, deadline time.Time, skew time.Duration) time.Time {
	if deadline.IsZero() {
		return deadline
	}
	local := deadline.Add(max(skew, 0))
	if issued.IsZero() {
		return local
	}
	if bound := now.Add(max(deadline.Sub(issued), 0)); bound.Before(local) {
		return bound
	}
	return local
}
