package policy_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/setting"
	"github.com/warren-rpc/warren/reliability"
)

// rules reads "pattern field=value field=value" lines.
func rules(t *testing.T, text string) map[string]reliability.Policy {
	t.Helper()
	methods := map[string]reliability.Policy{}
	for line := range strings.SplitSeq(text, ";") {
		words := strings.Fields(line)
		var p reliability.Policy
		for _, word := range words[1:] {
			field, value, _ := strings.Cut(word, "=")
			say(t, &p, field, value)
		}
		methods[words[0]] = p
	}
	return methods
}

func TestCheckFindsEachMistakeOnce(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ rules, want string }{
		// Bounds.
		{"* timeout=0s", "error methods.*.timeout: is 0s; it must be from 1ms to 24h"},
		{"* timeout=25h", "error methods.*.timeout: is 25h; it must be from 1ms to 24h"},
		{"* attempt_timeout=1us", "error methods.*.attempt_timeout: is 1µs; it must be 0s, or from 1ms to 24h"},
		{"* retry.attempts=0", "error methods.*.retry.attempts: is 0; it must be from 1 to 5"},
		{"orders.* retry.attempts=9", "error methods.orders.*.retry.attempts: is 9; it must be from 1 to 5"},
		{"* retry.first=2m", "error methods.*.retry.first: is 2m; it must be from 1ms to 1m"},
		{"* budget.ratio=0", "error methods.*.budget.ratio: is 0; it must be above 0 to 1"},
		{"* budget.ratio=NaN", "error methods.*.budget.ratio: is NaN; it must be above 0 to 1"},
		{"* budget.tokens=1001", "error methods.*.budget.tokens: is 1001; it must be from 1 to 1000"},
		{"* breaker.window=999ms", "error methods.*.breaker.window: is 999ms; it must be from 1s to 10m"},
		{"* bulkhead.calls=-1", "error methods.*.bulkhead.calls: is -1; it must be from 0 to 1000000"},
		{"* retry.codes=aborted,aborted", "error methods.*.retry.codes: has aborted twice"},
		// Contradictions, told where they come from.
		{"* timeout=2s attempt_timeout=3s", "error methods.*.attempt_timeout: attempt_timeout (3s) is longer than timeout (2s)"},
		{"* attempt_timeout=3s; a* timeout=2s; ab* retry.attempts=2",
			"error methods.a*.timeout: attempt_timeout (3s, from *) is longer than timeout (2s)"},
		{"* retry.first=3s", "error methods.*.retry.first: retry.first (3s) is longer than retry.most (2s, the default)"},
		{"* hedge=on", "error methods.*.hedge: hedging may execute a call twice, and the method is not idempotent"},
		{"* idempotent=true hedge=on; pay idempotent=false",
			"error methods.pay.idempotent: hedging may execute a call twice, and the method is not idempotent"},
		{"* idempotent=true hedge=on retry.attempts=1", "error methods.*.hedge: the second attempt can never start: retry.attempts is 1"},
		{"* idempotent=true hedge.delay=10s",
			"error methods.*.hedge.delay: the second attempt can never start: hedge.delay (10s) is not shorter than timeout (10s, the default)"},
		{"* idempotent=true hedge.delay=1s attempt_timeout=1s",
			"error methods.*.hedge.delay: the second attempt can never start: hedge.delay (1s) is not shorter than attempt_timeout (1s)"},
		{"* budget.tokens=2",
			"error methods.*.budget.tokens: the second attempt can never start: the first failure leaves half of budget.tokens (2) or less"},
		// Danger.
		{"* retry.jitter=false", "warning methods.*.retry.jitter: is false: callers that failed together come again together"},
		{"* budget=off", "warning methods.*.budget: is off: while everything fails, retries multiply the load"},
		{"* retry.codes=", "warning methods.*.retry.codes: is empty: nothing is repeated"},
		{"* retry.codes=invalid_argument", "warning methods.*.retry.codes: has invalid_argument, which a repetition does not mend"},
		{"* attempt_timeout=4s", "warning methods.*.attempt_timeout: 3 attempts of 4s and the waits between them take up to 12.3s, " +
			"longer than timeout (10s, the default): the last get less, or do not start"},
		{"* attempt_timeout=2s; a timeout=5s", "warning methods.a.timeout: 3 attempts of 2s and the waits between them take up to 6.3s, " +
			"longer than timeout (5s): the last get less, or do not start"},
		// No effect.
		{"* breaker.slow_after=10s", "warning methods.*.breaker.slow_after: no call is slow: " +
			"breaker.slow_after (10s) is not shorter than timeout (10s, the default)"},
		{"* breaker.slow=0.5", "warning methods.*.breaker.slow: has no effect: no call is slow while breaker.slow_after is not set"},
		{"* retry.attempts=1 retry.most=1s", "warning methods.*.retry.most: has no effect: there is one attempt, by retry.attempts"},
		{"* retry.attempts=1 budget=off", "warning methods.*.budget: has no effect: there is one attempt, by retry.attempts"},
		// Patterns.
		{"a*b timeout=1s", "error methods.a*b: a star may only stand at the end of a pattern"},
		{"** timeout=1s", "error methods.**: a star may only stand at the end of a pattern"},
		{"a/b timeout=1s", `error methods.a/b: no method can have this name: method name "a/b": byte 1 is not one of [A-Za-z0-9._-]`},
		{"warren.* timeout=1s", `error methods.warren.*: no method's name can begin so: method name "warren.x": the prefix "warren." is reserved`},
		{"a.dead timeout=1s", `error methods.a.dead: no method can have this name: method name "a.dead": the suffix ".dead" is reserved`},
		// All is well.
		{"* timeout=5s", ""},
		{"a.dead* timeout=1s", ""},
		{"warren* timeout=1s", ""},
		{strings.Repeat("m", warren.MaxMethod) + "* timeout=1s", ""},
		{"* idempotent=true; a hedge.delay=100ms; b hedge=on", ""},
		{"* retry.attempts=1 retry.most=1s; a* retry.attempts=2", ""}, // it has an effect for those below
		{"* breaker.slow=0.5; a breaker.slow_after=1s", ""},
		{"* breaker=off", ""}, // does no harm to others
		{"* attempt_timeout=10s retry.attempts=1; a retry.attempts=1", "warning methods.*.attempt_timeout: has no effect: " +
			"there is one attempt, by retry.attempts"},
	} {
		var got []string
		findings := policy.Check(rules(t, c.rules))
		for _, f := range findings {
			got = append(got, string(f.Level)+" "+f.String())
		}
		if strings.Join(got, "\n") != c.want {
			t.Errorf("%s:\n%s\nwant\n%s", c.rules, strings.Join(got, "\n"), c.want)
		}
		_, err := policy.NewTable(rules(t, c.rules))
		var invalid *policy.InvalidError
		if wrong := strings.HasPrefix(c.want, "error "); wrong != errors.As(err, &invalid) {
			t.Errorf("%s: NewTable says %v", c.rules, err)
		}
	}
}

// Without jitter the waits are known, and so is what comes after the deadline.
func TestCheckRefusesAttemptsThatCanNeverStart(t *testing.T) {
	t.Parallel()
	text := "* timeout=2s retry.attempts=4 retry.first=500ms retry.most=1s retry.jitter="
	findings := policy.Check(rules(t, text+"false"))
	const want = "methods.*.retry.attempts: attempt 4 can never start: the waits before it last 2.5s, no less than timeout (2s)"
	if len(findings) != 2 || findings[0].String() != want || findings[0].Level != setting.LevelError {
		t.Errorf("%v", findings)
	}
	if findings := policy.Check(rules(t, text+"true")); len(findings) != 0 {
		t.Errorf("%v", findings)
	}
}

func TestCheckTakesWhatCodeCanHold(t *testing.T) {
	t.Parallel()
	off := map[string]reliability.Policy{
		"*": {
			Budget: reliability.BudgetPolicy{Off: new(true), Tokens: new(5.0)},
			Hedge:  reliability.HedgePolicy{On: new(false), Delay: new(time.Second)},
			Retry:  reliability.RetryPolicy{Codes: []warren.Code{99}},
		},
		"": {},
	}
	var got []string
	for _, f := range policy.Check(off) {
		if f.Level == setting.LevelError {
			got = append(got, f.String())
		}
	}
	want := []string{
		`methods.: the pattern is empty; write "*" for all methods`,
		"methods.*.retry.codes: has code(99), which is not a code",
		"methods.*.budget: is off, and yet more is said of it",
		"methods.*.hedge: is off, and yet more is said of it",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%s", strings.Join(got, "\n"))
	}
}

// Whatever the rules are, a table that is made has policies within bounds, and
// checking does not panic.
func TestTablesHoldPoliciesWithinBounds(t *testing.T) {
	t.Parallel()
	duration := rapid.SampledFrom([]time.Duration{0, 1, time.Millisecond, time.Second, time.Minute, time.Hour, -1, math.MaxInt64, math.MinInt64})
	count := rapid.SampledFrom([]int{0, 1, 2, 5, 6, -1, math.MaxInt, math.MinInt})
	ratio := rapid.SampledFrom([]float64{0, 0.5, 1, 3, -1, math.NaN(), math.Inf(1), math.Inf(-1)})
	maybe := rapid.Bool()
	rapid.Check(t, func(t *rapid.T) {
		spec := func() (s reliability.Policy) {
			for _, d := range []**time.Duration{&s.Timeout, &s.AttemptTimeout, &s.Retry.First, &s.Retry.Most, &s.Breaker.SlowAfter, &s.Hedge.Delay} {
				if maybe.Draw(t, "said") {
					*d = new(duration.Draw(t, "duration"))
				}
			}
			for _, n := range []**int{&s.Retry.Attempts, &s.Breaker.Volume, &s.Bulkhead.Calls} {
				if maybe.Draw(t, "said") {
					*n = new(count.Draw(t, "count"))
				}
			}
			for _, r := range []**float64{&s.Budget.Tokens, &s.Budget.Ratio, &s.Breaker.Slow} {
				if maybe.Draw(t, "said") {
					*r = new(ratio.Draw(t, "ratio"))
				}
			}
			for _, b := range []**bool{&s.Idempotent, &s.Retry.Jitter, &s.Hedge.On} {
				if maybe.Draw(t, "said") {
					*b = new(maybe.Draw(t, "bool"))
				}
			}
			return s
		}
		made, err := policy.NewTable(map[string]reliability.Policy{"*": spec(), "a*": spec(), "ab": spec()})
		if err != nil {
			return
		}
		for _, method := range []string{"x", "ax", "ab"} {
			p := made.Policy(method)
			if p.Timeout < time.Millisecond || p.Timeout > 24*time.Hour || p.AttemptTimeout > p.Timeout || p.Retry.First > p.Retry.Most ||
				p.Retry.Attempts < 1 || p.Retry.Attempts > 5 || !(p.Budget.Ratio > 0) || p.Hedge.On && !p.Idempotent {
				t.Fatalf("%+v", p)
			}
			checkTimeline(t, p)
		}
	})
}

func checkTimeline(t *rapid.T, p *policy.Policy) {
	spans := p.Timeline()
	if len(spans) != p.Retry.Attempts {
		t.Fatalf("%d spans of %+v", len(spans), p)
	}
	for i, s := range spans {
		if s.Attempt != i+1 || s.Earliest > s.Latest || s.Latest > s.End || s.End > p.Timeout && s.When != policy.Never ||
			i > 0 && s.When == policy.InVain && s.Latest < spans[i-1].Latest {
			t.Fatalf("span %+v of %+v", s, p)
		}
	}
}
