package policy_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// breakerRun drives a breaker on a time of its own and notes what it tells.
type breakerRun struct {
	*testing.T
	*policy.Breaker
	policy  policy.BreakerPolicy
	now     time.Time
	changes []policy.Change
}

func newBreakerRun(t *testing.T, p policy.BreakerPolicy) *breakerRun {
	r := &breakerRun{T: t, policy: p, now: time.Unix(1000, 0)}
	r.Breaker = policy.NewBreaker("orders.get", p, func(c policy.Change) { r.changes = append(r.changes, c) })
	return r
}

func (r *breakerRun) allow() policy.Ticket {
	r.Helper()
	ticket, refusal := r.Allow(r.now)
	if refusal != nil {
		r.Fatalf("refused: %v", refusal)
	}
	return ticket
}

func (r *breakerRun) call(result policy.Result, times int) {
	r.Helper()
	for range times {
		r.Done(r.allow(), r.now, result)
	}
}

func (r *breakerRun) is(want policy.State) {
	r.Helper()
	if got := r.State(r.now); got != want {
		r.Fatalf("it is %v; want %v", got, want)
	}
}

func (r *breakerRun) refuses(want time.Duration) {
	r.Helper()
	_, refusal := r.Allow(r.now)
	switch {
	case refusal == nil:
		r.Fatal("let through")
	case refusal.Code != warren.CodeUnavailable || refusal.Reason != warren.ReasonBreakerOpen,
		refusal.Outcome != warren.NotExecuted, refusal.Method != "orders.get", refusal.Remote:
		r.Fatalf("refused with %+v", refusal)
	case refusal.RetryAfter != want:
		r.Fatalf("refused for %v; want %v", refusal.RetryAfter, want)
	}
}

// sleep does not sleep.
func (r *breakerRun) sleep(d time.Duration) { r.now = r.now.Add(d) }

func TestBreakerOpensAtVolumeAndRatioAndProbesItsWayBack(t *testing.T) {
	t.Parallel()
	r := newBreakerRun(t, policy.Default().Breaker)
	r.call(policy.Success, 10)
	r.call(policy.Failure, 9)
	r.is(policy.Closed)
	r.call(policy.Failure, 1)
	r.is(policy.Open)
	r.refuses(5 * time.Second)
	r.sleep(4999 * time.Millisecond)
	r.refuses(time.Millisecond)
	r.sleep(time.Millisecond)
	r.is(policy.HalfOpen)
	first, second := r.allow(), r.allow()
	r.allow()
	r.refuses(100 * time.Millisecond)
	r.Done(first, r.now, policy.Success)
	r.refuses(100 * time.Millisecond) // those that have succeeded keep their places
	r.Done(second, r.now, policy.Failure)
	r.is(policy.Open)
	r.sleep(5 * time.Second)
	r.call(policy.Success, 3)
	r.is(policy.Closed)
	if got := r.Counts(r.now); got != (policy.Counts{}) {
		t.Fatalf("the window begins with %+v", got)
	}
	began := time.Unix(1000, 0)
	change := func(from, to policy.State, after time.Duration, c policy.Counts) policy.Change {
		return policy.Change{Method: "orders.get", From: from, To: to, At: began.Add(after), Calls: c.Calls, Failures: c.Failures, Slow: c.Slow}
	}
	want := []policy.Change{
		change(policy.Closed, policy.Open, 0, policy.Counts{Calls: 20, Failures: 10}),
		change(policy.Open, policy.HalfOpen, 5*time.Second, policy.Counts{}),
		change(policy.HalfOpen, policy.Open, 5*time.Second, policy.Counts{Calls: 2, Failures: 1}),
		change(policy.Open, policy.HalfOpen, 10*time.Second, policy.Counts{}),
		change(policy.HalfOpen, policy.Closed, 10*time.Second, policy.Counts{Calls: 3}),
	}
	if !slices.Equal(r.changes, want) {
		t.Fatalf("it told of\n%+v; want\n%+v", r.changes, want)
	}
}

func TestBreakerForgetsWhatHasLeftItsWindow(t *testing.T) {
	t.Parallel()
	r := newBreakerRun(t, policy.Default().Breaker)
	for range 100 { // nine failures in any ten seconds
		r.call(policy.Failure, 9)
		r.sleep(10 * time.Second)
	}
	r.is(policy.Closed)
}

// Of two calls that were under way when it opened, neither the success closes
// it nor the failure opens it again.
func TestBreakerIgnoresResultsFromBeforeItOpened(t *testing.T) {
	t.Parallel()
	p := policy.Default().Breaker
	p.Probes = 1
	r := newBreakerRun(t, p)
	var late []policy.Ticket
	for range 6 {
		late = append(late, r.allow())
	}
	r.call(policy.Failure, 20)
	r.Done(late[0], r.now, policy.Success)
	r.Done(late[1], r.now, policy.Failure)
	r.is(policy.Open)
	r.sleep(5 * time.Second)
	probe := r.allow()
	r.Done(late[2], r.now, policy.Success)
	r.is(policy.HalfOpen)
	r.Done(late[3], r.now, policy.Failure)
	r.is(policy.HalfOpen)
	r.refuses(100 * time.Millisecond) // nor do they make room
	r.Done(probe, r.now, policy.Success)
	r.is(policy.Closed)
	r.Done(late[4], r.now, policy.Failure)
	if got := r.Counts(r.now); got != (policy.Counts{}) {
		t.Fatalf("a failure from before counts: %+v", got)
	}
}

func TestBreakerOpensForSlowCallsThatSucceed(t *testing.T) {
	t.Parallel()
	p := policy.Default().Breaker
	p.SlowAfter, p.Slow, p.Probes = 100*time.Millisecond, 0.5, 4
	r := newBreakerRun(t, p)
	slow := func(d time.Duration, times int) {
		for range times {
			ticket := r.allow()
			r.sleep(d)
			r.Done(ticket, r.now, policy.Success)
		}
	}
	slow(100*time.Millisecond, 10) // as long as allowed
	slow(100*time.Millisecond+1, 9)
	r.is(policy.Closed)
	slow(100*time.Millisecond+1, 1)
	r.is(policy.Open)
	r.sleep(p.Open)
	slow(time.Second, 1)
	r.is(policy.HalfOpen)
	slow(20*time.Second, 1) // half of the probes, the first of them long ago
	r.is(policy.Open)
	r.sleep(p.Open)
	slow(time.Second, 1)
	slow(0, 3)
	r.is(policy.Closed)
}

// A method may answer not_found as a rule.
func TestBreakerClosesWhenItsProbesAreAnsweredByErrors(t *testing.T) {
	t.Parallel()
	r := newBreakerRun(t, policy.Default().Breaker)
	r.call(policy.Answered, 100)
	r.call(policy.Ignored, 100)
	if got := r.Counts(r.now); got != (policy.Counts{}) {
		t.Fatalf("they count: %+v", got)
	}
	r.call(policy.Failure, 20)
	r.sleep(5 * time.Second)
	r.call(policy.Ignored, 100) // each makes room for the next
	r.is(policy.HalfOpen)
	r.call(policy.Answered, 3)
	r.is(policy.Closed)
}

func TestBreakerIsHeldByAnOperator(t *testing.T) {
	t.Parallel()
	r := newBreakerRun(t, policy.Default().Breaker)
	before := r.allow()
	r.Force(r.now, policy.ForcedOpen)
	r.sleep(time.Hour)
	r.is(policy.ForcedOpen)
	r.refuses(5 * time.Second)
	r.Done(before, r.now, policy.Failure)
	r.Release(r.now)
	r.is(policy.HalfOpen)
	r.call(policy.Success, 3)
	r.is(policy.Closed)

	r.Force(r.now, policy.ForcedClosed)
	r.call(policy.Failure, 100)
	if got, want := r.Counts(r.now), (policy.Counts{Calls: 100, Failures: 100}); got != want {
		t.Fatalf("it counts %+v; want %+v", got, want)
	}
	r.is(policy.ForcedClosed)
	r.Release(r.now)
	r.call(policy.Failure, 1)
	r.is(policy.Closed)

	r.call(policy.Failure, 19)
	r.is(policy.Open)
	r.Release(r.now) // not forced
	r.Force(r.now, policy.Closed)
	r.is(policy.Open)
	r.Force(r.now, policy.ForcedClosed)
	r.call(policy.Success, 1)
	r.Force(r.now, policy.ForcedOpen)
	r.refuses(5 * time.Second)
}

func TestBreakerKeepsItsStateWhenItsPolicyChanges(t *testing.T) {
	t.Parallel()
	p := policy.Default().Breaker
	stricter := p
	stricter.Volume, stricter.Open, stricter.Probes = 10, time.Minute, 1
	off := p
	off.Off = true

	t.Run("closed", func(t *testing.T) {
		r := newBreakerRun(t, p)
		inFlight := r.allow()
		r.call(policy.Failure, 9)
		r.Update(r.now, stricter)
		r.Done(inFlight, r.now, policy.Failure)
		r.is(policy.Open) // with what it had counted
		r.refuses(time.Minute)
		r.sleep(time.Minute)
		r.call(policy.Success, 1)
		r.is(policy.Closed)
	})
	t.Run("open", func(t *testing.T) {
		r := newBreakerRun(t, p)
		r.call(policy.Failure, 20)
		r.sleep(time.Second)
		r.Update(r.now, stricter)
		r.refuses(59 * time.Second)
		r.Update(r.now, p)
		r.refuses(4 * time.Second)
		r.sleep(4 * time.Second)
		r.is(policy.HalfOpen)
	})
	t.Run("half open", func(t *testing.T) {
		r := newBreakerRun(t, p)
		r.call(policy.Failure, 20)
		r.sleep(5 * time.Second)
		old := r.allow()
		r.Update(r.now, stricter)
		r.is(policy.HalfOpen)
		r.Done(old, r.now, policy.Failure)
		r.call(policy.Success, 1)
		r.is(policy.Closed)
	})
	t.Run("forced", func(t *testing.T) {
		r := newBreakerRun(t, p)
		r.Force(r.now, policy.ForcedOpen)
		r.Update(r.now, stricter)
		r.refuses(time.Minute)
		r.Update(r.now, off)
		r.refuses(5 * time.Second)
		r.Update(r.now, stricter)
		r.Release(r.now)
		r.call(policy.Success, 1)
		r.is(policy.Closed)
	})
	t.Run("off", func(t *testing.T) {
		r := newBreakerRun(t, p)
		late := r.allow()
		r.call(policy.Failure, 20)
		r.Update(r.now, off)
		r.is(policy.Closed)
		r.call(policy.Failure, 100)
		r.Done(late, r.now, policy.Failure)
		r.is(policy.Closed)
		r.Update(r.now, p)
		r.call(policy.Failure, 19)
		r.is(policy.Closed)
		r.call(policy.Failure, 1)
		r.is(policy.Open)
	})
}

// Its own open period, on a time that runs while the process's clock stands, is
// what counts.
func TestBreakerIsHalfOpenThoughTheClockStandsStill(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newBreakerRun(t, policy.Default().Breaker)
		r.call(policy.Failure, 20)
		r.sleep(5 * time.Second)
		r.call(policy.Success, 3)
		r.is(policy.Closed)
	})
}
