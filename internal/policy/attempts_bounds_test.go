package policy_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// drawError returns an error as a server, a broker or a client may make it.
func drawError(t *rapid.T) *warren.Error {
	e := &warren.Error{
		Code:    warren.Code(rapid.SampledFrom([]int{14, 14, 14, 8, 10, 4, 2, 3, 13}).Draw(t, "code")),
		Outcome: warren.Outcome(rapid.IntRange(0, 2).Draw(t, "outcome")),
		Reason:  rapid.SampledFrom([]string{"", "", "", "nacked", "busy", "no_route", "poisoned"}).Draw(t, "reason"),
	}
	switch rapid.IntRange(0, 4).Draw(t, "pushback") {
	case 0:
		e.RetryAfter = drawDuration(t, "retry after", 1, 3*time.Second)
	case 1:
		e.RetryAfter = -1
	}
	return e
}

// A call on virtual time, with any policy and any errors, keeps all promises.
func TestACallKeepsItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default()
		p.Idempotent = rapid.Bool().Draw(t, "idempotent")
		p.Timeout = drawDuration(t, "timeout", time.Millisecond, 20*time.Second)
		if rapid.Bool().Draw(t, "own attempt timeout") {
			p.AttemptTimeout = drawDuration(t, "attempt timeout", 1, p.Timeout)
		}
		p.Retry.Attempts = rapid.IntRange(1, 5).Draw(t, "attempts")
		p.Retry.First = drawDuration(t, "first", time.Millisecond, time.Second)
		p.Retry.Most = drawDuration(t, "most", p.Retry.First, time.Minute)
		p.Retry.Jitter = rapid.Bool().Draw(t, "jitter")
		p.Budget = drawBudgetPolicy(t)
		budget := policy.NewBudget(p.Budget)
		if rapid.Bool().Draw(t, "little budget") {
			for range int(p.Budget.Tokens / 2) {
				budget.Failure()
			}
		}
		now, deadline := epoch, epoch.Add(p.Timeout)
		a := p.Begin(now, time.Time{}, budget, policy.Overrides{})
		refused := 0 // attempts that do not count
		for n := 1; ; n++ {
			number, until := a.Next(now)
			if number != n+refused || n > p.Retry.Attempts || a.Left() != p.Retry.Attempts-n {
				t.Fatalf("attempt %d is called %d, of %d", n, number, p.Retry.Attempts)
			}
			if until.After(deadline) || until.Sub(now) <= 0 {
				t.Fatalf("waited for from %v until %v", now, until)
			}
			if (!p.Idempotent || n == p.Retry.Attempts) && !until.Equal(deadline) {
				t.Fatalf("attempt %d of %d does not get all that remains", n, p.Retry.Attempts)
			}
			now = now.Add(drawDuration(t, "took", 0, until.Sub(now)))
			err := drawError(t)
			ended := a.Failed
			if err.Reason == warren.ReasonNacked && rapid.Bool().Draw(t, "refused") {
				ended, err.RetryAfter = a.Nacked, 0 // a broker gives no advice
			}
			d := ended(now, err)
			if !d.Retry {
				if d.Wait != 0 || d.Why == policy.WhyBackoff {
					t.Fatalf("%+v", d)
				}
				return
			}
			most := max(bound(p.Retry.First, p.Retry.Most, n-1), err.RetryAfter)
			least := most
			if p.Retry.Jitter {
				least = 0
			}
			if d.Why == policy.WhyRefused {
				most = bound(max(p.Retry.First, 250*time.Millisecond), max(p.Retry.Most, 2*time.Second), refused)
				least = most
				if p.Retry.Jitter {
					least, most = most/2, most+most/2
				}
				if refused++; refused > 10 || p.Retry.Attempts == 1 || err.Reason != warren.ReasonNacked {
					t.Fatalf("refusal %d of a call of %d attempts does not count: %v", refused, p.Retry.Attempts, err)
				}
				n--
			}
			switch {
			case !p.Idempotent && err.Outcome != warren.NotExecuted:
				t.Fatalf("repeated though it may have been executed: %v", err)
			case !slices.Contains(p.Retry.Codes, err.Code) || slices.Contains(policy.NeverRepeated(), err.Reason):
				t.Fatalf("repeated: %v", err)
			case err.RetryAfter < 0 || d.Wait < err.RetryAfter:
				t.Fatalf("told %v, and repeated after %v", err.RetryAfter, d.Wait)
			case d.Wait < least-time.Microsecond || d.Wait > most:
				t.Fatalf("wait %d is %v; want %v to %v", number, d.Wait, least, most)
			case d.Why != policy.WhyRefused && !budget.Allow():
				t.Fatal("repeated without a budget")
			}
			now = now.Add(d.Wait)
			if left := deadline.Sub(now); left <= policy.MinAttempt {
				t.Fatalf("the next starts with %v left", left)
			}
		}
	})
}

// What a call's attempts wait is full jitter.
func TestWaitsBetweenAttemptsAreSpreadEvenly(t *testing.T) {
	t.Parallel()
	const draws = 4000
	p := policy.Default()
	p.Timeout, p.Idempotent = time.Hour, true
	p.Retry.Most = 300 * time.Millisecond // reached by the third wait
	var tenths [4][10]int
	for range draws {
		a := p.Begin(epoch, time.Time{}, nil, policy.Overrides{Attempts: 5})
		for n := range tenths {
			a.Next(epoch)
			d := a.Failed(epoch, failure(warren.CodeUnavailable, warren.Unknown))
			tenths[n][min(int(10*d.Wait/bound(p.Retry.First, p.Retry.Most, n)), 9)]++
		}
	}
	for n := range tenths {
		squares := 0.0
		for _, got := range tenths[n] {
			squares += math.Pow(float64(got)-draws/10, 2) / (draws / 10)
		}
		// Chi-squared with 9 degrees of freedom: above 45 once in a million times.
		if squares > 45 {
			t.Errorf("wait %d: %v, chi-squared %.0f", n, tenths[n], squares)
		}
	}
}
