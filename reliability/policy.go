package reliability

import (
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/setting"
)

// Rules are the policies of methods, by pattern. A pattern is the exact name of
// a method, or the beginning of names and a final `*`: "orders.*", "*". For each
// value the longest pattern that matches the method and says something of it
// decides; an exact name goes before all others, and the defaults come last.
type Rules struct {
	Methods map[string]Policy
}

// Policy is what is done about calls of a method. What is nil is not said: a
// shorter pattern decides, or the default. The zero Policy is all defaults.
//
//	reliability.Policy{
//		Timeout: new(2 * time.Second),
//		Retry:   reliability.RetryPolicy{Attempts: new(5)},
//	}
//
// Budget, breaker and hedging are parts that can be on or off. Saying anything
// else of such a part says also that it is on, in code as in a file. Files name the
// fields in snake_case.
type Policy struct {
	// Timeout is the deadline of calls whose context has none. Default: 10 s; 1 ms
	// to 24 h.
	Timeout *time.Duration
	// AttemptTimeout is how long an attempt is waited for before the next is made.
	// The last attempt, and that of a call that may not be repeated, gets all the
	// time that remains. Default: 0, which stands for a third of the time that the
	// call has, at least 1 s. At most Timeout.
	AttemptTimeout *time.Duration
	// Idempotent says that the handler may run more than once for one call without
	// harm. Only then is a call repeated whose first attempt may have been executed.
	// Default: false.
	Idempotent *bool

	Retry    RetryPolicy
	Budget   BudgetPolicy
	Breaker  BreakerPolicy
	Hedge    HedgePolicy
	Bulkhead BulkheadPolicy
}

// RetryPolicy says when an attempt is followed by another. Attempts that are
// proven not to have been executed may be repeated whatever the method; others
// only if it is idempotent.
//
// An attempt that the broker refuses (unavailable/nacked), as all are while a
// queue of a cluster elects its leader, reaches no server, though that is not
// proven. If it may be repeated it is, beside Attempts and without a token of the
// budget, as long as the deadline has room for the wait: 10 times at most, and
// after 250 ms that double up to 2 s, or First and Most if they are longer. Each of
// these waits is drawn from half to one and a half of that.
type RetryPolicy struct {
	// Attempts is how many there are in all, the first included, but for those that
	// the broker refuses. Default: 3; 1, for no retry whatever happens, to 5.
	Attempts *int
	// First and Most bound the wait before the first retry and before any: the n-th
	// wait, from 0, is at most min(Most, First·2ⁿ). Default: 100 ms and 2 s; 1 ms to
	// 1 min, First at most Most.
	First, Most *time.Duration
	// Jitter draws each wait evenly from zero to its bound. Without it all who
	// failed together come again together. Default: true.
	Jitter *bool
	// Codes are the codes of errors after which a call is repeated; there are none if
	// it is empty and not nil. Default: unavailable, resource_exhausted, aborted and
	// deadline_exceeded (of an attempt). Reasons that a repetition cannot mend are
	// never repeated: no_route and no_server under fail-fast, breaker_open,
	// budget_exhausted, interrupted, poisoned and key_reused.
	Codes []warren.Code
	// FailNacked ends a call at once whose last attempt the broker has refused, if it
	// is not repeated: as unavailable/nacked, whose outcome is Unknown. Otherwise it
	// waits for its deadline, since the request may have been enqueued all the same
	// and be answered. Default: false.
	FailNacked *bool
}

// BudgetPolicy bounds how much retries and hedges add to the load on a method:
// a failure that could be repeated takes a token, a success gives back Ratio of
// one, and nothing is repeated while half of the tokens or fewer are left.
type BudgetPolicy struct {
	// Off lets retries add what they will. Default: false.
	Off *bool
	// Tokens is how many there are at most, and at first. Default: 100; 1 to 1000.
	Tokens *float64
	// Ratio is what a success gives back. Default: 0.1; above 0 to 1.
	Ratio *float64
}

// BreakerPolicy says when calls of a method are refused without trying.
type BreakerPolicy struct {
	// Off never refuses. Default: false.
	Off *bool
	// Window is how far back calls count, in buckets of a tenth. Default: 10 s; 1 s
	// to 10 min.
	Window *time.Duration
	// Volume is how many calls the window must hold before they are judged.
	// Default: 20; 1 to 1,000,000.
	Volume *int
	// Failures is the part of them that must fail. Default: 0.5; above 0 to 1.
	Failures *float64
	// SlowAfter makes a call count as slow that takes longer; 0 is never. Default:
	// 0; up to 24 h.
	SlowAfter *time.Duration
	// Slow is the part of them that must be slow. Default: 1; above 0 to 1.
	Slow *float64
	// Open is how long calls are refused before probes are let through. Default:
	// 5 s; 1 ms to 10 min.
	Open *time.Duration
	// Probes is how many are let through at a time, and must succeed. Default: 3; 1
	// to 1000.
	Probes *int
}

// HedgePolicy says when a second attempt is made while the first is still
// waited for. It takes an idempotent method, an attempt of those that Retry
// allows, and a token's worth of budget.
type HedgePolicy struct {
	// On turns hedging on. Default: false.
	On *bool
	// Delay is how long the first attempt is waited for. Default: 0, which stands
	// for the 95th percentile of the method's latency, once 20 calls have been
	// answered. At most Timeout.
	Delay *time.Duration
}

// BulkheadPolicy bounds the calls of a method that are in flight in one client,
// so that a slow method does not take the room of others.
type BulkheadPolicy struct {
	// Calls is how many. Default: 0, which is no bound but the client's; up to
	// 1,000,000.
	Calls *int
}

// Finding is what is wrong with a value of a pattern.
type Finding struct {
	Level   Level  `json:"level"`
	Pattern string `json:"pattern"`
	// Field is the value's path in a file, such as "retry.attempts", or empty if the
	// pattern is what is wrong.
	Field   string `json:"field"`
	Message string `json:"message"`
}

// String returns the path of the field and the message, as
// "methods.orders.*.retry.attempts: is 9; it must be from 1 to 5".
func (f Finding) String() string { return policy.Finding(f).String() }

// Level is how grave a finding is: "warning" or "error".
type Level = setting.Level

const (
	LevelWarning = setting.LevelWarning // works, and someone should look at it
	LevelError   = setting.LevelError   // refused by the client
)

// Check returns what is wrong with the rules, ordered by pattern and field.
//
// Errors are values out of bounds, patterns that no method's name can match, and
// contradictions: settings of which one keeps another from ever taking effect as
// it says (an attempt timeout longer than the timeout, hedging on a method not
// idempotent, an attempt that can never start). Warnings are what endangers
// others (no jitter, no budget), attempts that together do not fit into the
// timeout, and settings without effect.
//
// A contradiction is judged by what a pattern amounts to, and told of the
// pattern that brings it about: of one that merely inherits both sides nothing
// is told. Values out of bounds are left out of the judgement.
func Check(rules Rules) []Finding {
	var findings []Finding
	for _, f := range policy.Check(rules.Methods) {
		findings = append(findings, Finding(f))
	}
	return findings
}

// Policy returns what the rules amount to for a method, every value set, such as
// for [Retry]. The error is that of the client for rules that it refuses.
func (r Rules) Policy(method string) (Policy, error) {
	table, err := policy.NewTable(r.Methods)
	if err != nil {
		return Policy{}, err
	}
	var p Policy
	policy.Copy(&p, table.Policy(method))
	return p, nil
}
