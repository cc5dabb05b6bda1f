package policy

import (
	"math"
	"sync"
	"time"
)

// AdmissionPolicy says when a server refuses requests because too many wait.
// The zero AdmissionPolicy refuses none.
type AdmissionPolicy struct {
	// Target is how long a request may wait for a handler before the line counts
	// as too long. It should be well above what handlers take, and well below the
	// callers' deadlines. Default: 0, which admits all; 1 ms to 1 min.
	Target time.Duration
	// Interval is for how long the wait must stay above Target before requests are
	// refused, so that a burst is served and not refused, and how often the line is
	// measured. Default: 100 ms; 10 ms to 10 s.
	Interval time.Duration
}

// DefaultAdmission is a policy for methods whose callers wait for seconds:
// Target and Interval are 100 ms.
func DefaultAdmission() AdmissionPolicy {
	return AdmissionPolicy{Target: 100 * time.Millisecond, Interval: 100 * time.Millisecond}
}

// Line is what waits for handlers of one method.
type Line struct {
	Queued  int // in the queue, handed to nobody
	Servers int // that take from the queue, this one included; less than 1 counts as 1
	Held    int // handed to this server, and not begun
}

// Admission keeps the wait of one method's requests on one server near its
// target while more come than can be served. It is CoDel's rule on a measured
// line: once the wait has been above Target at every measurement for an
// Interval, each further one that finds it above has the excess refused: as many
// requests as would have to go for the rest to wait for Target. The oldest go, as
// they have the least time left. The first measurement at or below Target ends
// it.
//
// The wait is this server's share of the line, divided by what its handlers do
// when all are at work: their number by the mean of what they took. It is made
// from this server's own counts and durations; no request's timestamp and no
// other clock enters it. Its assumption is that the servers of a queue are alike:
// one that is slower than the others finds the wait longer, and refuses sooner.
//
// It reads no clock. All methods are safe for concurrent use; none allocates.
type Admission struct {
	policy   AdmissionPolicy
	handlers int

	mu     sync.Mutex
	took   time.Duration // mean of what handlers take; 0: none has ended
	wait   time.Duration // as of the last measurement
	seen   time.Time     // when that was
	since  time.Time     // when the wait was first above Target; zero if it is not
	excess int           // how many are still to be refused
}

// tookWeight is what one handler's duration weighs in the mean.
const tookWeight = 32

// staleAfter is how many intervals a measurement is acted on.
const staleAfter = 3

// NewAdmission returns an admission for so many handlers at a time. A zero
// Interval stands for its default.
func NewAdmission(p AdmissionPolicy, handlers int) *Admission {
	if p.Interval == 0 {
		p.Interval = DefaultAdmission().Interval
	}
	return &Admission{policy: p, handlers: max(handlers, 1)}
}

// Interval is how often Observe should be called while all handlers are at work.
func (a *Admission) Interval() time.Duration { return a.policy.Interval }

// Observe enters a measurement. The zero Line is one that need not be measured:
// a handler was idle, hence nothing waits.
func (a *Admission) Observe(now time.Time, l Line) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if now.Sub(a.seen) > staleAfter*a.policy.Interval {
		a.since = time.Time{}
	}
	a.seen, a.excess, a.wait = now, 0, 0
	if a.policy.Target == 0 || a.took == 0 {
		return
	}
	line := float64(l.Queued)/float64(max(l.Servers, 1)) + float64(l.Held)
	each := float64(a.took) / float64(a.handlers)
	a.wait = time.Duration(min(line*each, math.MaxInt64/2))
	switch {
	case a.wait <= a.policy.Target:
		a.since = time.Time{}
	case a.since.IsZero():
		a.since = now
	case now.Sub(a.since) >= a.policy.Interval:
		a.excess = int(math.Ceil(line - float64(a.policy.Target)/each))
	}
}

// Admit admits the request whose turn it is, or refuses it. retryAfter, of a
// refusal, is how long the line was, from Interval to 10 s.
//
// What was measured three intervals ago and more refuses nobody.
func (a *Admission) Admit(now time.Time) (retryAfter time.Duration, admitted bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.excess <= 0 || now.Sub(a.seen) > staleAfter*a.policy.Interval {
		return 0, true
	}
	a.excess--
	return max(a.policy.Interval, min(a.wait, mostRetryAfter)), false
}

const mostRetryAfter = 10 * time.Second

// Done tells that a handler has ended, and how long it took.
func (a *Admission) Done(took time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	took = max(took, 1)
	if a.took == 0 {
		a.took = took
		return
	}
	a.took = max(a.took+(took-a.took)/tookWeight, 1)
}

// Wait is how long a request that came with the last measurement has to wait.
func (a *Admission) Wait() time.Duration {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.wait
}
