package policy

import "time"

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

// DrawFrom has the call's waits drawn from random, which returns numbers spread
// evenly over [0, 1), instead of the process's source, which cannot be seeded:
// so a simulation can be repeated. It is called before the first attempt fails.
func (a *Attempts) DrawFrom(random func() float64) { a.random = random }

// wait draws the wait before the next attempt.
func (a *Attempts) wait() time.Duration {
	r := &a.policy.Retry
	longest := r.longestWait(a.waits)
	a.waits++
	if !r.Jitter {
		return longest
	}
	return time.Duration(a.random() * float64(longest))
}

// nackedWait draws the wait after a refusal.
func (a *Attempts) nackedWait() time.Duration {
	r := &a.policy.Retry
	paced := RetryPolicy{First: max(r.First, refusalFirst), Most: max(r.Most, refusalMost)}
	wait := paced.longestWait(a.nacked)
	if !r.Jitter {
		return wait
	}
	return wait/2 + time.Duration(a.random()*float64(wait))
}

// longestWait is the longest that the n-th wait may be, counted from 0.
func (r *RetryPolicy) longestWait(n int) time.Duration {
	waits := exponential(r.First, r.Most, 0)
	for range n {
		waits.NextBackOff()
	}
	return waits.NextBackOff()
}
