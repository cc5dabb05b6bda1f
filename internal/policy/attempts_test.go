package policy_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// failure returns an error of an attempt.
func failure(code warren.Code, outcome warren.Outcome) *warren.Error {
	return &warren.Error{Code: code, Outcome: outcome}
}

func TestWhatFollowsAFailedAttempt(t *testing.T) {
	t.Parallel()
	const unavailable = warren.CodeUnavailable
	unsafe, safe := failure(unavailable, warren.Unknown), failure(unavailable, warren.NotExecuted)
	for _, c := range []struct {
		name       string
		idempotent bool
		err        *warren.Error
		want       policy.Why
		retry      bool
	}{
		{"not executed", false, safe, policy.WhyBackoff, true},
		{"not executed, idempotent", true, safe, policy.WhyBackoff, true},
		{"unknown", false, unsafe, policy.WhyNotIdempotent, false},
		{"unknown, idempotent", true, unsafe, policy.WhyBackoff, true},
		{"executed", false, failure(warren.CodeAborted, warren.Executed), policy.WhyNotIdempotent, false},
		{"executed, idempotent", true, failure(warren.CodeAborted, warren.Executed), policy.WhyBackoff, true},
		{"an attempt's deadline", true, failure(warren.CodeDeadlineExceeded, warren.Unknown), policy.WhyBackoff, true},
		{"a code that is final", true, failure(warren.CodeInvalidArgument, warren.NotExecuted), policy.WhyCode, false},
		{"the caller's cancel", true, failure(warren.CodeCanceled, warren.NotExecuted), policy.WhyCode, false},
		{"no code", true, &warren.Error{}, policy.WhyCode, false},
		{"no error", true, nil, policy.WhyCode, false},
		{"a final reason", true, safe.WithReason(warren.ReasonNoRoute), policy.WhyReason, false},
		{"a final reason and code", true, failure(warren.CodeInternal, warren.Executed).WithReason(warren.ReasonPoisoned),
			policy.WhyReason, false},
		{"another reason", true, unsafe.WithReason(warren.ReasonConnectionLost), policy.WhyBackoff, true},
		{"a reason of the handler's", true, unsafe.WithReason("busy"), policy.WhyBackoff, true},
		{"refused, by its reason alone", true, unsafe.WithReason(warren.ReasonNacked), policy.WhyBackoff, true},
		{"told when", false, safe.WithRetryAfter(5 * time.Second), policy.WhyPushback, true},
		{"told never", true, safe.WithRetryAfter(-1), policy.WhyPushback, false},
		{"told when it is too late", true, safe.WithRetryAfter(10 * time.Second), policy.WhyDeadline, false},
		{"told the end of time", true, safe.WithRetryAfter(math.MaxInt64), policy.WhyDeadline, false},
	} {
		p := policy.Default()
		p.Idempotent = c.idempotent
		a := p.Begin(epoch, epoch.Add(10*time.Second), nil, policy.Overrides{})
		a.Next(epoch)
		d := a.Failed(epoch, c.err)
		if d.Why != c.want || d.Retry != c.retry {
			t.Errorf("%s: retry %v, why %v; want %v, %v", c.name, d.Retry, d.Why, c.retry, c.want)
		}
		if d.Why == policy.WhyPushback && d.Retry && d.Wait != c.err.RetryAfter {
			t.Errorf("%s: after %v; want %v", c.name, d.Wait, c.err.RetryAfter)
		}
	}
}

// The longer of the two waits counts.
func TestPushbackReplacesAShorterBackoffOnly(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Retry.Jitter = false
	for _, c := range []struct {
		told time.Duration
		want policy.Decision
	}{
		{50 * time.Millisecond, policy.Decision{Retry: true, Wait: p.Retry.First, Why: policy.WhyBackoff}},
		{p.Retry.First, policy.Decision{Retry: true, Wait: p.Retry.First, Why: policy.WhyBackoff}},
		{101 * time.Millisecond, policy.Decision{Retry: true, Wait: 101 * time.Millisecond, Why: policy.WhyPushback}},
	} {
		a := p.Begin(epoch, time.Time{}, nil, policy.Overrides{})
		a.Next(epoch)
		if d := a.Failed(epoch, failure(warren.CodeUnavailable, warren.NotExecuted).WithRetryAfter(c.told)); d != c.want {
			t.Errorf("told %v: %+v; want %+v", c.told, d, c.want)
		}
	}
}

// Time comes before the budget: it is not the budget's doing.
func TestARetryThatCannotFinishIsNotStarted(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Retry.Jitter = false
	full, spent := policy.NewBudget(p.Budget), policy.NewBudget(p.Budget)
	for range 100 {
		spent.Failure()
	}
	err := failure(warren.CodeUnavailable, warren.NotExecuted)
	for _, c := range []struct {
		left   time.Duration
		budget *policy.Budget
		why    policy.Why
	}{
		{102 * time.Millisecond, full, policy.WhyBackoff},
		{101 * time.Millisecond, full, policy.WhyDeadline}, // 100 ms of backoff and 1 ms to run
		{policy.MinAttempt, spent, policy.WhyDeadline},
		{policy.MinAttempt + 1, spent, policy.WhyBudget},
		{-math.MaxInt64, spent, policy.WhyDeadline},
	} {
		a := p.Begin(epoch, time.Time{}, c.budget, policy.Overrides{})
		a.Next(epoch)
		if d := a.Failed(a.Deadline().Add(-c.left), err); d.Why != c.why || d.Retry != (c.why == policy.WhyBackoff) {
			t.Errorf("with %v left: %+v; want %v", c.left, d, c.why)
		}
	}
}

func TestReasonsThatARepetitionCannotMend(t *testing.T) {
	t.Parallel()
	want := []string{
		"no_route", "no_server", "breaker_open", "budget_exhausted", "interrupted", "too_old", "poisoned", "key_reused",
		"queue_full", "client_closed", "request_too_large", "reply_too_large", "reply_not_retained",
	}
	got := policy.NeverRepeated()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("never repeated: %v; want %v", got, want)
	}
	got[0] = "" // the caller's
	p := policy.Default()
	p.Idempotent = true
	for code := warren.CodeCanceled; code.Valid(); code++ {
		p.Retry.Codes = append(p.Retry.Codes, code)
	}
	for _, reason := range want {
		for code := warren.CodeCanceled; code.Valid(); code++ {
			budget := policy.NewBudget(p.Budget)
			a := p.Begin(epoch, time.Time{}, budget, policy.Overrides{})
			a.Next(epoch)
			d := a.Failed(epoch, failure(code, warren.NotExecuted).WithReason(reason))
			if d.Retry || d.Why != policy.WhyReason || budget.Tokens() != p.Budget.Tokens {
				t.Errorf("%v/%s: %+v, %v tokens", code, reason, d, budget.Tokens())
			}
		}
	}
}

func TestAFailureThatCouldBeRepeatedTakesAToken(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	for _, c := range []struct {
		name  string
		opt   policy.Overrides
		now   time.Time
		err   *warren.Error
		taken float64
		why   policy.Why
	}{
		{"repeated", policy.Overrides{}, epoch, failure(warren.CodeUnavailable, warren.NotExecuted), 1, policy.WhyBackoff},
		{"the last", policy.Overrides{Attempts: 1}, epoch, failure(warren.CodeUnavailable, warren.NotExecuted), 1, policy.WhyAttempts},
		{"too late", policy.Overrides{}, epoch.Add(p.Timeout - policy.MinAttempt),
			failure(warren.CodeUnavailable, warren.NotExecuted), 1, policy.WhyDeadline},
		{"told never", policy.Overrides{}, epoch,
			failure(warren.CodeUnavailable, warren.NotExecuted).WithRetryAfter(-1), 1, policy.WhyPushback},
		{"final", policy.Overrides{}, epoch, failure(warren.CodeNotFound, warren.Executed), 0, policy.WhyCode},
		{"not idempotent", policy.Overrides{}, epoch, failure(warren.CodeUnavailable, warren.Unknown), 0, policy.WhyNotIdempotent},
		{"idempotent by option", policy.Overrides{Idempotent: true}, epoch, failure(warren.CodeUnavailable, warren.Unknown), 1, policy.WhyBackoff},
	} {
		budget := policy.NewBudget(p.Budget)
		a := p.Begin(epoch, time.Time{}, budget, c.opt)
		a.Next(epoch)
		if d := a.Failed(c.now, c.err); d.Why != c.why || p.Budget.Tokens-budget.Tokens() != c.taken {
			t.Errorf("%s: %v, %v tokens taken; want %v, %v", c.name, d.Why, p.Budget.Tokens-budget.Tokens(), c.why, c.taken)
		}
		budget.Failure()
		before := budget.Tokens()
		if a.Succeeded(); budget.Tokens() <= before {
			t.Errorf("%s: a success gives nothing back", c.name)
		}
	}
}

func TestASpentBudgetEndsTheCall(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	budget := policy.NewBudget(p.Budget)
	for budget.Allow() {
		budget.Failure()
	}
	a := p.Begin(epoch, time.Time{}, budget, policy.Overrides{})
	a.Next(epoch)
	if d := a.Failed(epoch, failure(warren.CodeUnavailable, warren.NotExecuted)); d != (policy.Decision{Why: policy.WhyBudget}) {
		t.Fatalf("%+v; want no retry because of the budget", d)
	}
	last := &warren.Error{
		Code: warren.CodeAborted, Reason: "conflict", Outcome: warren.Executed, Message: "try later", Method: "orders.put",
		CallID: "7", Attempts: 2, RetryAfter: time.Second, Remote: true, Incident: "i-1",
	}
	got := policy.BudgetExhausted(last)
	if got.Code != warren.CodeUnavailable || got.Reason != warren.ReasonBudgetExhausted || got.Remote ||
		got.Outcome != last.Outcome || got.Method != last.Method || got.CallID != last.CallID ||
		got.Attempts != last.Attempts || got.RetryAfter != last.RetryAfter || got.Incident != last.Incident {
		t.Errorf("%+v", got)
	}
	if !errors.Is(got, error(last)) {
		t.Error("the last error is not its cause")
	}
}

func TestACallMayDifferFromItsPolicy(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	for _, c := range []struct {
		own        policy.Overrides
		left       int
		idempotent bool
	}{
		{policy.Overrides{}, 3, false},
		{policy.Overrides{Attempts: 5}, 5, false},
		{policy.Overrides{Attempts: 99}, 5, false},
		{policy.Overrides{Attempts: -1}, 1, false},
		{policy.Overrides{Idempotent: true}, 3, true},
		{policy.Overrides{Attempts: 2, Idempotent: true}, 2, true},
	} {
		a := p.Begin(epoch, time.Time{}, nil, c.own)
		if a.Left() != c.left || a.Idempotent() != c.idempotent || a.Number() != 0 {
			t.Errorf("%v: %d left, idempotent %v", c.own, a.Left(), a.Idempotent())
		}
		if !a.Deadline().Equal(epoch.Add(p.Timeout)) {
			t.Errorf("a call without a deadline has %v", a.Deadline())
		}
	}
	zero := policy.Policy{}
	if a := zero.Begin(epoch, time.Time{}, nil, policy.Overrides{}); a.Left() != 1 {
		t.Errorf("the zero policy allows %d attempts", a.Left())
	}
}

func TestACallWithoutRetryAllocatesNothing(t *testing.T) {
	p := policy.Default()
	budget := policy.NewBudget(p.Budget)
	final := failure(warren.CodeNotFound, warren.Executed)
	if n := testing.AllocsPerRun(100, func() {
		a := p.Begin(epoch, time.Time{}, budget, policy.Overrides{Attempts: 2, Idempotent: true})
		a.Next(epoch)
		a.Succeeded()
		b := p.Begin(epoch, time.Time{}, budget, policy.Overrides{})
		b.Next(epoch)
		b.Failed(epoch, final)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSuccessfulCall(b *testing.B) {
	p := policy.Default()
	budget := policy.NewBudget(p.Budget)
	now := time.Now()
	deadline := now.Add(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		a := p.Begin(now, deadline, budget, policy.Overrides{Idempotent: true})
		a.Next(now)
		a.Succeeded()
	}
}

func BenchmarkCallWithARetry(b *testing.B) {
	p := policy.Default()
	now := time.Now()
	err := failure(warren.CodeUnavailable, warren.NotExecuted)
	b.ReportAllocs()
	for b.Loop() {
		a := p.Begin(now, time.Time{}, nil, policy.Overrides{})
		a.Next(now)
		a.Failed(now, err)
		a.Next(now)
		a.Succeeded()
	}
}
