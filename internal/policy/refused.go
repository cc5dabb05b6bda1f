package policy

import (
	"math/rand/v2"
	"time"

	"github.com/warren-rpc/warren"
)

// What the broker refuses reaches no server. It refuses all there is for a queue
// that has no leader, while one is elected: for a second or so, as calls see it.
// So refusals are waited out, at a pace that they cannot make a storm at, and
// bounded by their own number.
const (
	mostRefusals = 10
	refusalFirst = 250 * time.Millisecond
	refusalMost  = 2 * time.Second
	// longRefused is how many refusals of a call are more than an election, for a
	// breaker to judge: it has met them for almost a second at least, and for 1.75 s
	// in the mean. A queue that is full refuses too, and does not stop.
	longRefused = 4
)

// Refused is [Attempts.Failed] for an attempt that the broker refused, with the
// error that says so. If it may be repeated it is, as [RetryPolicy] has it, without
// a token and without being counted; else it is an attempt that failed.
func (a *Attempts) Refused(now time.Time, err *warren.Error) Decision {
	if a.most > 1 && a.refused < mostRefusals && a.forbidden(err) == WhyBackoff {
		if wait := a.refusedWait(); wait < a.deadline.Sub(now)-MinAttempt {
			a.refused++
			return Decision{Retry: true, Wait: wait, Why: WhyRefused, Ignored: a.refused < longRefused}
		}
	}
	return a.Failed(now, err)
}

// refusedWait draws the wait after a refusal.
func (a *Attempts) refusedWait() time.Duration {
	r := &a.policy.Retry
	paced := RetryPolicy{First: max(r.First, refusalFirst), Most: max(r.Most, refusalMost)}
	wait := paced.longestWait(a.refused)
	switch {
	case !r.Jitter:
		return wait
	case a.random != nil:
		return wait/2 + time.Duration(a.random()*float64(wait))
	default:
		return wait/2 + rand.N(wait)
	}
}
