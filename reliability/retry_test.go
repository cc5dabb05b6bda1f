package reliability_test

import (
	"errors"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
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
		want       reliability.Why
		retry      bool
	}{
		{"not executed", false, safe, reliability.WhyBackoff, true},
		{"not executed, idempotent", true, safe, reliability.WhyBackoff, true},
		{"unknown", false, unsafe, reliability.WhyNotIdempotent, false},
		{"unknown, idempotent", true, unsafe, reliability.WhyBackoff, true},
		{"executed", false, failure(warren.CodeAborted, warren.Executed), reliability.WhyNotIdempotent, false},
		{"executed, idempotent", true, failure(warren.CodeAborted, warren.Executed), reliability.WhyBackoff, true},
		{"an attempt's deadline", true, failure(warren.CodeDeadlineExceeded, warren.Unknown), reliability.WhyBackoff, true},
		{"a code that is final", true, failure(warren.CodeInvalidArgument, warren.NotExecuted), reliability.WhyCode, false},
		{"the caller's cancel", true, failure(warren.CodeCanceled, warren.NotExecuted), reliability.WhyCode, false},
		{"no code", true, &warren.Error{}, reliability.WhyCode, false},
		{"no error", true, nil, reliability.WhyCode, false},
		{"a final reason", true, safe.WithReason(warren.ReasonNoRoute), reliability.WhyReason, false},
		{"a final reason and code", true, failure(warren.CodeInternal, warren.Executed).WithReason(warren.ReasonPoisoned),
			reliability.WhyReason, false},
		{"another reason", true, unsafe.WithReason(warren.ReasonConnectionLost), reliability.WhyBackoff, true},
		{"a reason of the handler's", true, unsafe.WithReason("busy"), reliability.WhyBackoff, true},
		{"refused, by its reason alone", true, unsafe.WithReason(warren.ReasonNacked), reliability.WhyBackoff, true},
		{"told when", false, safe.WithRetryAfter(5 * time.Second), reliability.WhyPushback, true},
		{"told never", true, safe.WithRetryAfter(-1), reliability.WhyPushback, false},
		{"told when it is too late", true, safe.WithRetryAfter(10 * time.Second), reliability.WhyDeadline, false},
		{"told the end of time", true, safe.WithRetryAfter(math.MaxInt64), reliability.WhyDeadline, false},
	} {
		p := reliability.DefaultPolicy()
		p.Idempotent = c.idempotent
		a := p.Begin(epoch, epoch.Add(10*time.Second), nil)
		a.Next(epoch)
		d := a.Failed(epoch, c.err)
		if d.Why != c.want || d.Retry != c.retry {
			t.Errorf("%s: retry %v, why %v; want %v, %v", c.name, d.Retry, d.Why, c.retry, c.want)
		}
		if d.Why == reliability.WhyPushback && d.Retry && d.Wait != c.err.RetryAfter {
			t.Errorf("%s: after %v; want %v", c.name, d.Wait, c.err.RetryAfter)
		}
	}
}

// The longer of the two waits counts.
func TestPushbackReplacesAShorterBackoffOnly(t *testing.T) {
	t.Parallel()
	p := reliability.DefaultPolicy()
	p.Retry.Jitter = false
	for _, c := range []struct {
		told time.Duration
		want reliability.Decision
	}{
		{50 * time.Millisecond, reliability.Decision{Retry: true, Wait: p.Retry.First, Why: reliability.WhyBackoff}},
		{p.Retry.First, reliability.Decision{Retry: true, Wait: p.Retry.First, Why: reliability.WhyBackoff}},
		{101 * time.Millisecond, reliability.Decision{Retry: true, Wait: 101 * time.Millisecond, Why: reliability.WhyPushback}},
	} {
		a := p.Begin(epoch, time.Time{}, nil)
		a.Next(epoch)
		if d := a.Failed(epoch, failure(warren.CodeUnavailable, warren.NotExecuted).WithRetryAfter(c.told)); d != c.want {
			t.Errorf("told %v: %+v; want %+v", c.told, d, c.want)
		}
	}
}

// Time comes before the budget: it is not the budget's doing.
func TestARetryThatCannotFinishIsNotStarted(t *testing.T) {
	t.Parallel()
	p := reliability.DefaultPolicy()
	p.Retry.Jitter = false
	full, spent := reliability.NewBudget(p.Budget), reliability.NewBudget(p.Budget)
	for range 100 {
		spent.Failure()
	}
	err := failure(warren.CodeUnavailable, warren.NotExecuted)
	for _, c := range []struct {
		left   time.Duration
		budget *reliability.Budget
		why    reliability.Why
	}{
		{102 * time.Millisecond, full, reliability.WhyBackoff},
		{101 * time.Millisecond, full, reliability.WhyDeadline}, // 100 ms of backoff and 1 ms to run
		{reliability.MinAttempt, spent, reliability.WhyDeadline},
		{reliability.MinAttempt + 1, spent, reliability.WhyBudget},
		{-math.MaxInt64, spent, reliability.WhyDeadline},
	} {
		a := p.Begin(epoch, time.Time{}, c.budget)
		a.Next(epoch)
		if d := a.Failed(a.Deadline().Add(-c.left), err); d.Why != c.why || d.Retry != (c.why == reliability.WhyBackoff) {
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
	got := reliability.NeverRepeated()
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Fatalf("never repeated: %v; want %v", got, want)
	}
	got[0] = "" // the caller's
	p := reliability.DefaultPolicy()
	p.Idempotent = true
	for code := warren.CodeCanceled; code.Valid(); code++ {
		p.Retry.Codes = append(p.Retry.Codes, code)
	}
	for _, reason := range want {
		for code := warren.CodeCanceled; code.Valid(); code++ {
			budget := reliability.NewBudget(p.Budget)
			a := p.Begin(epoch, time.Time{}, budget)
			a.Next(epoch)
			d := a.Failed(epoch, failure(code, warren.NotExecuted).WithReason(reason))
			if d.Retry || d.Why != reliability.WhyReason || budget.Tokens() != p.Budget.Tokens {
				t.Errorf("%v/%s: %+v, %v tokens", code, reason, d, budget.Tokens())
			}
		}
	}
}

func TestAFailureThatCouldBeRepeatedTakesAToken(t *testing.T) {
	t.Parallel()
	p := reliability.DefaultPolicy()
	for _, c := range []struct {
		name  string
		opt   reliability.BeginOption
		now   time.Time
		err   *warren.Error
		taken float64
		why   reliability.Why
	}{
		{"repeated", reliability.BeginOption{}, epoch, failure(warren.CodeUnavailable, warren.NotExecuted), 1, reliability.WhyBackoff},
		{"the last", reliability.OfAttempts(1), epoch, failure(warren.CodeUnavailable, warren.NotExecuted), 1, reliability.WhyAttempts},
		{"too late", reliability.BeginOption{}, epoch.Add(p.Timeout - reliability.MinAttempt),
			failure(warren.CodeUnavailable, warren.NotExecuted), 1, reliability.WhyDeadline},
		{"told never", reliability.BeginOption{}, epoch,
			failure(warren.CodeUnavailable, warren.NotExecuted).WithRetryAfter(-1), 1, reliability.WhyPushback},
		{"final", reliability.BeginOption{}, epoch, failure(warren.CodeNotFound, warren.Executed), 0, reliability.WhyCode},
		{"not idempotent", reliability.BeginOption{}, epoch, failure(warren.CodeUnavailable, warren.Unknown), 0, reliability.WhyNotIdempotent},
		{"idempotent by option", reliability.AsIdempotent(true), epoch, failure(warren.CodeUnavailable, warren.Unknown), 1, reliability.WhyBackoff},
	} {
		budget := reliability.NewBudget(p.Budget)
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
	p := reliability.DefaultPolicy()
	budget := reliability.NewBudget(p.Budget)
	for budget.Allow() {
		budget.Failure()
	}
	a := p.Begin(epoch, time.Time{}, budget)
	a.Next(epoch)
	if d := a.Failed(epoch, failure(warren.CodeUnavailable, warren.NotExecuted)); d != (reliability.Decision{Why: reliability.WhyBudget}) {
		t.Fatalf("%+v; want no retry because of the budget", d)
	}
	last := &warren.Error{
		Code: warren.CodeAborted, Reason: "conflict", Outcome: warren.Executed, Message: "try later", Method: "orders.put",
		CallID: "7", Attempts: 2, RetryAfter: time.Second, Remote: true, Incident: "i-1",
	}
	got := reliability.BudgetExhausted(last)
	if got.Code != warren.CodeUnavailable || got.Reason != warren.ReasonBudgetExhausted || got.Remote ||
		got.Outcome != last.Outcome || got.Method != last.Method || got.CallID != last.CallID ||
		got.Attempts != last.Attempts || got.RetryAfter != last.RetryAfter || got.Incident != last.Incident {
		t.Errorf("%+v", got)
	}
	if !errors.Is(got, error(last)) {
		t.Error("the last error is not its cause")
	}
}

func TestOptionsOfACall(t *testing.T) {
	t.Parallel()
	p := reliability.DefaultPolicy()
	for _, c := range []struct {
		opts       []reliability.BeginOption
		left       int
		idempotent bool
	}{
		{nil, 3, false},
		{[]reliability.BeginOption{reliability.OfAttempts(5)}, 5, false},
		{[]reliability.BeginOption{reliability.OfAttempts(99)}, 5, false},
		{[]reliability.BeginOption{reliability.OfAttempts(-1)}, 1, false},
		{[]reliability.BeginOption{reliability.AsIdempotent(true), {}}, 3, true},
		{[]reliability.BeginOption{reliability.AsIdempotent(true), reliability.OfAttempts(2), reliability.AsIdempotent(false)}, 2, false},
	} {
		a := p.Begin(epoch, time.Time{}, nil, c.opts...)
		if a.Left() != c.left || a.Idempotent() != c.idempotent || a.Number() != 0 {
			t.Errorf("%v: %d left, idempotent %v", c.opts, a.Left(), a.Idempotent())
		}
		if !a.Deadline().Equal(epoch.Add(p.Timeout)) {
			t.Errorf("a call without a deadline has %v", a.Deadline())
		}
	}
	zero := reliability.Policy{}
	if a := zero.Begin(epoch, time.Time{}, nil); a.Left() != 1 {
		t.Errorf("the zero policy allows %d attempts", a.Left())
	}
}

func TestWhyHasAName(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for why := reliability.WhyBackoff; why <= reliability.WhyRefused; why++ {
		if name := why.String(); name == "" || seen[name] {
			t.Errorf("%d is called %q", why, name)
		}
		seen[why.String()] = true
	}
	if got := reliability.Why(99).String(); got != "why(99)" {
		t.Error(got)
	}
}

func TestACallWithoutRetryAllocatesNothing(t *testing.T) {
	p := reliability.DefaultPolicy()
	budget := reliability.NewBudget(p.Budget)
	final := failure(warren.CodeNotFound, warren.Executed)
	if n := testing.AllocsPerRun(100, func() {
		a := p.Begin(epoch, time.Time{}, budget, reliability.OfAttempts(2), reliability.AsIdempotent(true))
		a.Next(epoch)
		a.Succeeded()
		b := p.Begin(epoch, time.Time{}, budget)
		b.Next(epoch)
		b.Failed(epoch, final)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSuccessfulCall(b *testing.B) {
	p := reliability.DefaultPolicy()
	budget := reliability.NewBudget(p.Budget)
	now := time.Now()
	deadline := now.Add(time.Second)
	b.ReportAllocs()
	for b.Loop() {
		a := p.Begin(now, deadline, budget, reliability.AsIdempotent(true))
		a.Next(now)
		a.Succeeded()
	}
}

func BenchmarkCallWithARetry(b *testing.B) {
	p := reliability.DefaultPolicy()
	now := time.Now()
	err := failure(warren.CodeUnavailable, warren.NotExecuted)
	b.ReportAllocs()
	for b.Loop() {
		a := p.Begin(now, time.Time{}, nil)
		a.Next(now)
		a.Failed(now, err)
		a.Next(now)
		a.Succeeded()
	}
}
