package policy

import (
	"math/rand/v2"
	"slices"
	"time"

	"github.com/warren-rpc/warren"
)

// Attempts is the state of one call's attempts: which number the next one has,
// how long it is waited for, and whether an error is followed by another. It
// reads no clock and starts nothing. Whoever makes the call tells it: Next when
// an attempt starts, then Succeeded, Failed or Nacked when it has ended, and Next
// again only after a Decision to retry. It is made by [Policy.Begin], is not safe for
// concurrent use, and allocates nothing but at a retry.
type Attempts struct {
	policy     *Policy
	budget     *Budget
	deadline   time.Time
	each       time.Duration
	enough     time.Duration // an attempt that was waited for as long had its time
	enoughAt   time.Time     // and so had one that was waited for until then
	number     int
	most       int
	nacked     int            // of number, those that the broker refused and that do not count
	unread     int            // of number, those that no server could read, which do not count either
	waits      int            // that were drawn for retries, but for refusals
	random     func() float64 // spread evenly over [0, 1)
	idempotent bool
}

// Overrides is what a call has of its own. The zero Overrides changes nothing.
type Overrides struct {
	// Attempts is how many attempts the call has in all, instead of the policy's: 1
	// to 5, or the nearest of them. 0 is the policy's.
	Attempts int
	// Idempotent says that the call may be executed more than once without harm, also
	// if the policy does not.
	Idempotent bool
	// Timeout is what the call's program, such as the route that it comes by, gives
	// it, which may be less than the policy does. It changes no deadline: see
	// [Attempts.HadItsTime]. 0 or less is none.
	Timeout time.Duration
}

// mostAttempts bounds attempts whoever asks for more: what a retry does not mend in
// that many, it does not mend.
const mostAttempts = 5

// Begin returns the attempts of a call that begins now and must end by deadline,
// or by now plus p.Timeout if deadline is zero. The budget may be nil, which is
// none. The policy must not change while the call lasts. Begin does not allocate.
func (p *Policy) Begin(now, deadline time.Time, budget *Budget, own Overrides) Attempts {
	if deadline.IsZero() {
		deadline = now.Add(p.Timeout)
	}
	a := Attempts{
		policy: p, budget: budget, deadline: deadline, each: p.AttemptTime(deadline.Sub(now)),
		most: max(p.Retry.Attempts, 1), idempotent: p.Idempotent || own.Idempotent, random: rand.Float64,
	}
	if own.Attempts != 0 {
		a.most = min(max(own.Attempts, 1), mostAttempts)
	}
	gives := p.Timeout
	if own.Timeout > 0 {
		gives = min(own.Timeout, gives)
	}
	a.enough, a.enoughAt = mostOf(p.AttemptTime(gives)), now.Add(mostOf(gives))
	return a
}

// mostOf returns nine tenths: a deadline that travels is a little less at each hop.
func mostOf(d time.Duration) time.Duration { return d - d/10 }

// HadItsTime reports whether an attempt that was begun then and waited for until
// then had, but for a tenth, the time that the policy, or [Overrides], gives one: if
// nothing came in less, because the caller's own deadline was near, that tells of the
// caller and not of the method.
func (a *Attempts) HadItsTime(begun, until time.Time) bool {
	return until.Sub(begun) >= a.enough || !until.Before(a.enoughAt)
}

// Next starts an attempt. It returns its number, from 1, and until when it is
// waited for: see [AttemptDeadline]. If the call is not idempotent that is the
// call's deadline: an attempt that is given up on may yet be executed.
func (a *Attempts) Next(now time.Time) (number int, deadline time.Time) {
	a.number++
	return a.number, AttemptDeadline(now, a.deadline, a.each, a.Left() == 0 || !a.idempotent)
}

// Succeeded ends the call with a success, which the budget gets its part of.
func (a *Attempts) Succeeded() {
	if a.budget != nil {
		a.budget.Success()
	}
}

// Failed ends an attempt with that error, whose code, reason, outcome and
// retry-after it reads, and says whether the next is made, and after which wait.
// An error that could be repeated, by its kind, takes a token from the budget
// whether it is repeated or not.
func (a *Attempts) Failed(now time.Time, err *warren.Error) Decision {
	if why := a.forbidden(err); why != WhyBackoff {
		return Decision{Why: why}
	}
	allowed := a.budget == nil || a.budget.Failure()
	left := a.deadline.Sub(now)
	switch {
	case err.RetryAfter < 0:
		return Decision{Why: WhyPushback}
	case a.Left() == 0:
		return Decision{Why: WhyAttempts}
	case left <= MinAttempt:
		return Decision{Why: WhyDeadline}
	case !allowed:
		return Decision{Why: WhyBudget}
	}
	d := Decision{Retry: true, Wait: a.wait(), Why: WhyBackoff}
	if err.RetryAfter > d.Wait {
		d.Wait, d.Why = err.RetryAfter, WhyPushback
	}
	if d.Wait >= left-MinAttempt {
		return Decision{Why: WhyDeadline}
	}
	return d
}

// Nacked is [Attempts.Failed] for an attempt that the broker refused, with the
// error that says so. If it may be repeated it is, as reliability.RetryPolicy says, without
// a token and without being counted; else it is an attempt that failed.
func (a *Attempts) Nacked(now time.Time, err *warren.Error) Decision {
	if a.most > 1 && a.nacked < mostRefusals && a.forbidden(err) == WhyBackoff {
		if wait := a.nackedWait(); wait < a.deadline.Sub(now)-MinAttempt {
			a.nacked++
			return Decision{Retry: true, Wait: wait, Why: WhyRefused, Ignored: a.nacked < longRefused}
		}
	}
	return a.Failed(now, err)
}

// Unread is [Attempts.Failed] for an attempt that a server refused since it does not
// read its version, with the error that says so. It reports whether the next is made,
// in another version, at once: unless the call may have been executed and may not be
// repeated. No token is taken, and the attempt is not counted.
func (a *Attempts) Unread(err *warren.Error) bool {
	a.unread++
	return err.Outcome == warren.NotExecuted || a.idempotent
}

// Number returns how many attempts have been started.
func (a *Attempts) Number() int { return a.number }

// Left returns how many attempts may still be started, but for those that follow
// one that the broker will have refused, or no server read.
func (a *Attempts) Left() int { return max(a.most-(a.number-a.nacked-a.unread), 0) }

// Deadline returns when the call must have ended.
func (a *Attempts) Deadline() time.Time { return a.deadline }

// Idempotent reports whether the call may be executed more than once.
func (a *Attempts) Idempotent() bool { return a.idempotent }

// Hedge takes a token from the budget for an attempt beside another one, and reports
// whether there was one to take.
func (a *Attempts) Hedge() bool { return a.budget == nil || a.budget.Allow() && a.budget.Failure() }

// FailsNacked is the policy's FailNacked.
func (a *Attempts) FailsNacked() bool { return a.policy.Retry.FailNacked }

// Repeatable reports whether an error of this kind, but for how often it came and for
// the time that is left, may be followed by another attempt of the call.
func (a *Attempts) Repeatable(err *warren.Error) bool {
	return err.RetryAfter >= 0 && a.forbidden(err) == WhyBackoff
}

// forbidden returns why an error of this kind is not repeated in this call,
// however much time, attempts and budget there are, or WhyBackoff if it may be.
// The reason comes first because it tells most.
func (a *Attempts) forbidden(err *warren.Error) Why {
	switch {
	case err == nil:
		return WhyCode
	case err.Reason != "" && slices.Contains(neverRepeated[:], err.Reason):
		return WhyReason
	case !slices.Contains(a.policy.Retry.Codes, err.Code):
		return WhyCode
	case err.Outcome != warren.NotExecuted && !a.idempotent:
		return WhyNotIdempotent
	default:
		return WhyBackoff
	}
}
