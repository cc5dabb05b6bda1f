package reliability_test

import (
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
)

// failure returns an error of an attempt.
func failure(code warren.Code, outcome warren.Outcome) *warren.Error {
	return &warren.Error{Code: code, Outcome: outcome}
}

func idempotentPolicy() reliability.Policy { return reliability.Policy{Idempotent: new(true)} }

func drawDuration(t *rapid.T, label string, least, most time.Duration) time.Duration {
	return time.Duration(rapid.Int64Range(int64(least), int64(most)).Draw(t, label))
}

func drawBudgetPolicy(t *rapid.T) reliability.BudgetPolicy {
	return reliability.BudgetPolicy{
		Off:    new(rapid.Bool().Draw(t, "off")),
		Tokens: new(float64(rapid.IntRange(1000, 1_000_000).Draw(t, "tokens")) / 1000),
		Ratio:  new(float64(rapid.IntRange(1, 1000).Draw(t, "ratio")) / 1000),
	}
}

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
