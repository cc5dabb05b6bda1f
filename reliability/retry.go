package reliability

import (
	"context"
	"fmt"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// Retry calls fn, at most as often as the policy allows, until it succeeds. The
// context that fn gets ends with its attempt, or with ctx; the whole ends by
// ctx's deadline, or after p.Timeout if it has none, provided that fn returns
// when its context ends. The budget is shared by calls of one target and may be
// nil, which is none. Of the policy, Timeout, AttemptTimeout, Idempotent and
// Retry count; what they do not say is the default.
//
// Errors of fn are judged as those of calls are if a *warren.Error is in their
// chain: its code and outcome must hold for all that fn did. All others are
// repeated at most if the policy is idempotent, for their outcome is Unknown,
// and if it names their code: deadline_exceeded or canceled for context errors,
// and else unknown.
//
// A failure is returned as a *warren.Error: the last attempt's, with Attempts
// and Outcome those of the whole call, and with fn's error in its chain. If the
// budget kept it from being repeated it is unavailable/budget_exhausted. If ctx ends before
// an attempt it is canceled or deadline_exceeded, with the last attempt's error,
// if there is one, in its chain.
//
// Retry is safe for concurrent use, as far as fn is. It starts no goroutine.
func Retry(ctx context.Context, p Policy, budget *Budget, fn func(ctx context.Context) error) error {
	deadline, _ := ctx.Deadline()
	resolved := policy.Of(p)
	attempts := resolved.Begin(time.Now(), deadline, (*policy.Budget)(budget), policy.Overrides{})
	var last *warren.Error
	for {
		if ctx.Err() != nil {
			return gaveUp(ctx, last)
		}
		number, until := attempts.Next(time.Now())
		err := attemptOnce(ctx, until, fn)
		if err == nil {
			attempts.Succeeded()
			return nil
		}
		failed := asAttemptError(err)
		decision := attempts.Failed(time.Now(), failed)
		failed.Attempts = number
		if last != nil {
			failed.Outcome = failed.Outcome.Join(last.Outcome)
		}
		last = failed
		switch {
		case decision.Retry:
			sleep(ctx, decision.Wait)
		case decision.Why == policy.WhyBudget:
			return policy.BudgetExhausted(last)
		default:
			return last
		}
	}
}

func attemptOnce(ctx context.Context, until time.Time, fn func(context.Context) error) error {
	ctx, cancel := context.WithDeadline(ctx, until)
	defer cancel()
	return fn(ctx)
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

// asAttemptError returns what a function returned as an error of an attempt, of
// which the caller may set the fields.
func asAttemptError(err error) *warren.Error {
	inner, ok := warren.AsError(err)
	if !ok {
		return &warren.Error{Code: warren.CodeOf(err), Message: err.Error(), Cause: err}
	}
	e := *inner
	if err != error(inner) { //nolint:errorlint // whether it is wrapped, is the question
		e.Message, e.Cause = err.Error(), err
	}
	return &e
}

// gaveUp returns the error of a call whose context has ended between attempts.
func gaveUp(ctx context.Context, last *warren.Error) *warren.Error {
	e := &warren.Error{
		Code: warren.CodeOf(ctx.Err()), Outcome: warren.NotExecuted, Message: "the caller no longer waits",
		Cause: context.Cause(ctx),
	}
	if last != nil {
		e.Method, e.CallID, e.Attempts, e.Outcome = last.Method, last.CallID, last.Attempts, last.Outcome
		e.Cause = fmt.Errorf("%w; the last attempt: %w", e.Cause, last)
	}
	return e
}
