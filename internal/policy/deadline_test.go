package policy_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

var epoch = time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC)

func drawDuration(t *rapid.T, label string, least, most time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(t, label))
}

func TestAttemptTime(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ policy, call, want time.Duration }{
		{0, 10 * time.Second, 10 * time.Second / 3},
		{0, 3 * time.Second, time.Second},
		{0, 2 * time.Second, time.Second},
		{0, 500 * time.Millisecond, 500 * time.Millisecond},
		{250 * time.Millisecond, 10 * time.Second, 250 * time.Millisecond},
		{2 * time.Second, time.Second, time.Second},
		{0, 0, 0},
		{time.Second, -time.Second, 0},
		{0, math.MaxInt64, math.MaxInt64 / 3},
	} {
		p := policy.Policy{AttemptTimeout: c.policy}
		if got := p.AttemptTime(c.call); got != c.want {
			t.Errorf("attempt timeout %v, call of %v: %v; want %v", c.policy, c.call, got, c.want)
		}
	}
}

func TestAttemptDeadline(t *testing.T) {
	t.Parallel()
	const call, each = time.Second, 300 * time.Millisecond
	deadline := epoch.Add(call)
	for _, c := range []struct {
		name string
		now  time.Duration
		last bool
		want time.Duration
	}{
		{"the first", 0, false, each},
		{"a later one", 500 * time.Millisecond, false, 800 * time.Millisecond},
		{"the last gets what remains", 0, true, call},
		{"one that leaves just enough for another", 698 * time.Millisecond, false, 998 * time.Millisecond},
		{"one that leaves too little for another", 699 * time.Millisecond, false, call},
		{"one too long for what remains", 900 * time.Millisecond, false, call},
		{"one that comes too late", 2 * call, false, call},
	} {
		if got := policy.AttemptDeadline(epoch.Add(c.now), deadline, each, c.last).Sub(epoch); got != c.want {
			t.Errorf("%s: until %v; want %v", c.name, got, c.want)
		}
	}
}

// More time for the call, or for its attempts, never means less for an attempt,
// and none is waited for past the deadline.
func TestAttemptArithmeticIsMonotone(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Policy{AttemptTimeout: drawDuration(t, "attempt timeout", 0, time.Minute)}
		short := drawDuration(t, "call", 0, time.Minute)
		long := short + drawDuration(t, "more", 0, time.Minute)
		if a, b := p.AttemptTime(short), p.AttemptTime(long); a > b || a < 0 || a > short || b > long {
			t.Fatalf("%v of %v, %v of %v", a, short, b, long)
		}
		each := drawDuration(t, "each", 0, time.Minute)
		more := each + drawDuration(t, "more each", 0, time.Minute)
		last := rapid.Bool().Draw(t, "last")
		early, late := epoch.Add(short), epoch.Add(long)
		at := func(deadline time.Time, each time.Duration) time.Time {
			until := policy.AttemptDeadline(epoch, deadline, each, last)
			if until.After(deadline) || until.Before(epoch) {
				t.Fatalf("until %v in a call until %v", until, deadline)
			}
			if gap := deadline.Sub(until); gap > 0 && gap <= policy.MinAttempt-1 {
				t.Fatalf("%v are left, in which no attempt fits", gap)
			}
			return until
		}
		if at(early, each).After(at(early, more)) || (last && at(early, each) != early) {
			t.Fatal("more time for each is less")
		}
		// What is rounded up to the deadline is less than an attempt needs.
		if a, b := at(early, each), at(late, each); a.After(b.Add(policy.MinAttempt)) {
			t.Fatalf("until %v, and with a later deadline until %v", a, b)
		}
	})
}
