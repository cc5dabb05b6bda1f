package reliability_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
)

var errPlain = errors.New("plain")

func asError(t *testing.T, err error) *warren.Error {
	t.Helper()
	e, ok := err.(*warren.Error) //nolint:errorlint // that it is one itself is promised
	if !ok {
		t.Fatalf("%T %v; want a *warren.Error", err, err)
	}
	return e
}

func TestRetryRepeatsUntilSuccess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := reliability.Policy{}
		p.Retry.Jitter = new(false)
		start, runs := time.Now(), 0
		err := reliability.Retry(t.Context(), p, nil, func(ctx context.Context) error {
			runs++
			if deadline, ok := ctx.Deadline(); !ok || !deadline.Equal(start.Add(10*time.Second)) {
				t.Errorf("the attempt has until %v", deadline.Sub(start))
			}
			if runs < 3 {
				return failure(warren.CodeUnavailable, warren.NotExecuted)
			}
			return nil
		})
		if err != nil || runs != 3 || time.Since(start) != 300*time.Millisecond {
			t.Errorf("%v after %d runs and %v; want success after 3 and 100 ms + 200 ms", err, runs, time.Since(start))
		}
	})
}

func TestRetryGivesEachAttemptItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := idempotentPolicy()
		p.Retry.First, p.Retry.Most, p.Retry.Jitter = new(time.Millisecond), new(time.Millisecond), new(false)
		p.AttemptTimeout = new(2 * time.Second)
		var took []time.Duration
		start := time.Now()
		err := reliability.Retry(t.Context(), p, nil, func(ctx context.Context) error {
			began := time.Now()
			<-ctx.Done()
			took = append(took, time.Since(began))
			return fmt.Errorf("reading: %w", ctx.Err())
		})
		e := asError(t, err)
		if e.Code != warren.CodeDeadlineExceeded || e.Outcome != warren.Unknown || e.Attempts != 3 {
			t.Errorf("%v with %d attempts", e, e.Attempts)
		}
		if len(took) != 3 || took[0] != 2*time.Second || took[1] != 2*time.Second || took[2] != 5998*time.Millisecond {
			t.Errorf("attempts took %v; want 2 s twice and all that remained", took)
		}
		if time.Since(start) != 10*time.Second {
			t.Errorf("it took %v; want 10s", time.Since(start))
		}
	})
}

func TestRetryJudgesErrorsConservatively(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		wrapped := failure(warren.CodeUnavailable, warren.NotExecuted).WithReason(warren.ReasonNacked)
		for _, c := range []struct {
			name       string
			err        error
			idempotent bool
			runs       int
			code       warren.Code
			outcome    warren.Outcome
		}{
			{"an error of no kind", errPlain, true, 1, warren.CodeUnknown, warren.Unknown},
			{"a deadline of fn's own", context.DeadlineExceeded, false, 1, warren.CodeDeadlineExceeded, warren.Unknown},
			{"the same, idempotent", context.DeadlineExceeded, true, 3, warren.CodeDeadlineExceeded, warren.Unknown},
			{"a cancel of fn's own", context.Canceled, true, 1, warren.CodeCanceled, warren.Unknown},
			{"one in the chain", fmt.Errorf("storing: %w", wrapped), false, 3, warren.CodeUnavailable, warren.NotExecuted},
			{"a nil one", (*warren.Error)(nil), true, 1, warren.CodeUnknown, warren.Unknown},
		} {
			p := reliability.Policy{}
			p.Idempotent = &c.idempotent
			runs := 0
			e := asError(t, reliability.Retry(t.Context(), p, nil, func(context.Context) error {
				runs++
				return c.err
			}))
			if runs != c.runs || e.Attempts != runs || e.Code != c.code || e.Outcome != c.outcome {
				t.Errorf("%s: %d runs, %d attempts, %v", c.name, runs, e.Attempts, e)
			}
			if !errors.Is(e, c.err) {
				t.Errorf("%s: it is not in the chain of %v", c.name, e)
			}
		}
		if wrapped.Attempts != 0 {
			t.Error("it changed fn's error")
		}
	})
}

func TestRetryJoinsTheOutcomesOfItsAttempts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := idempotentPolicy()
		runs := 0
		e := asError(t, reliability.Retry(t.Context(), p, nil, func(context.Context) error {
			runs++
			if runs == 1 {
				return failure(warren.CodeUnavailable, warren.Executed)
			}
			return failure(warren.CodeUnavailable, warren.NotExecuted)
		}))
		if runs != 3 || e.Outcome != warren.Executed {
			t.Errorf("%v after %d runs", e, runs)
		}
	})
}

func TestRetryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := idempotentPolicy()
		ctx, cancel := context.WithCancelCause(t.Context())
		start := time.Now()
		time.AfterFunc(700*time.Millisecond, func() { cancel(errPlain) })
		last := failure(warren.CodeUnavailable, warren.Unknown).WithRetryAfter(time.Second)
		e := asError(t, reliability.Retry(ctx, p, nil, func(context.Context) error { return last }))
		if time.Since(start) != 700*time.Millisecond {
			t.Errorf("it slept for %v", time.Since(start))
		}
		if e.Code != warren.CodeCanceled || e.Outcome != warren.Unknown || e.Attempts != 1 {
			t.Errorf("%v with %d attempts", e, e.Attempts)
		}
		var inner *warren.Error
		if !errors.Is(e, context.Canceled) || !errors.Is(e, errPlain) || !errors.As(e.Cause, &inner) || inner.Code != last.Code {
			t.Errorf("its cause is %v", e.Cause)
		}

		e = asError(t, reliability.Retry(ctx, p, nil, func(context.Context) error {
			t.Error("called with a context that has ended")
			return nil
		}))
		if e.Code != warren.CodeCanceled || e.Outcome != warren.NotExecuted || e.Attempts != 0 {
			t.Errorf("%v with %d attempts", e, e.Attempts)
		}

		ctx, stop := context.WithTimeout(t.Context(), 0)
		defer stop()
		if err := reliability.Retry(ctx, p, nil, func(context.Context) error { return nil }); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v; want a deadline that was exceeded", err)
		}
	})
}

func TestRetrySharesABudget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := idempotentPolicy()
		budget := reliability.NewBudget(p.Budget)
		const calls = 200
		runs, refused := 0, 0
		for range calls {
			e := asError(t, reliability.Retry(t.Context(), p, budget, func(context.Context) error {
				runs++
				return failure(warren.CodeUnavailable, warren.Unknown)
			}))
			if e.Reason == warren.ReasonBudgetExhausted {
				refused++
				if inner, ok := warren.AsError(e.Cause); !ok || inner.Attempts != e.Attempts || e.Attempts == 0 {
					t.Fatalf("%v, because of %v", e, e.Cause)
				}
			}
		}
		if runs >= calls+50 || refused < calls-50 {
			t.Errorf("%d runs for %d calls, %d refused by the budget", runs, calls, refused)
		}
		spent := budget.Tokens()
		if err := reliability.Retry(t.Context(), p, budget, func(context.Context) error { return nil }); err != nil {
			t.Error(err)
		}
		if budget.Tokens() <= spent {
			t.Error("a success gave nothing back")
		}
	})
}

func TestRetryLetsAPanicThrough(t *testing.T) {
	t.Parallel()
	p := reliability.Policy{}
	var attempt context.Context
	defer func() {
		if recover() != "oops" || attempt.Err() == nil {
			t.Errorf("the attempt's context says %v", attempt.Err())
		}
	}()
	_ = reliability.Retry(t.Context(), p, nil, func(ctx context.Context) error {
		attempt = ctx //nolint:fatcontext // to see that it is canceled
		panic("oops")
	})
}

// Any policy, any errors and any latencies, in real code on a bubble's time.
func TestRetryKeepsItsBounds(t *testing.T) {
	t.Parallel()
	type step struct {
		takes time.Duration
		err   *warren.Error
	}
	rapid.Check(t, func(rt *rapid.T) {
		idempotent := rapid.Bool().Draw(rt, "idempotent")
		timeout := drawDuration(rt, "timeout", time.Millisecond, 20*time.Second)
		attempts := rapid.IntRange(1, 5).Draw(rt, "attempts")
		p := reliability.Policy{
			Idempotent: &idempotent, Timeout: &timeout, Retry: reliability.RetryPolicy{Attempts: &attempts},
		}
		budget := reliability.NewBudget(drawBudgetPolicy(rt))
		limit := time.Duration(0)
		if rapid.Bool().Draw(rt, "context has a deadline") {
			limit = drawDuration(rt, "limit", 1, 20*time.Second)
		}
		script := make([]step, attempts)
		for i := range script {
			script[i].takes = drawDuration(rt, "takes", 0, 5*time.Second)
			if rapid.IntRange(0, 3).Draw(rt, "success") != 0 {
				script[i].err = drawError(rt)
			}
		}
		var broken []string
		synctest.Test(t, func(t *testing.T) {
			complain := func(format string, args ...any) { broken = append(broken, fmt.Sprintf(format, args...)) }
			ctx := t.Context()
			if limit > 0 {
				timed, cancel := context.WithTimeout(ctx, limit)
				defer cancel()
				ctx = timed
			}
			start, runs := time.Now(), 0
			earliest := start
			err := reliability.Retry(ctx, p, budget, func(ctx context.Context) error {
				if runs++; runs > len(script) {
					return nil
				}
				if time.Now().Before(earliest) {
					complain("run %d comes %v too early", runs, time.Until(earliest))
				}
				timer := time.NewTimer(script[runs-1].takes)
				defer timer.Stop()
				earliest = start.Add(time.Hour) // never
				select {
				case <-timer.C:
				case <-ctx.Done():
					if idempotent {
						earliest = start
					}
					return ctx.Err()
				}
				e := script[runs-1].err
				if e == nil {
					return nil
				}
				if e.RetryAfter >= 0 && (idempotent || e.Outcome == warren.NotExecuted) {
					earliest = time.Now().Add(e.RetryAfter)
				}
				return e
			})
			if took := time.Since(start); runs > attempts || took > cmp.Or(limit, timeout) {
				complain("%d runs of %d, %v of %v", runs, attempts, took, cmp.Or(limit, timeout))
			}
			if e, ok := warren.AsError(err); err != nil && (!ok || e.Attempts != runs) {
				complain("%v after %d runs", err, runs)
			}
		})
		if len(broken) > 0 {
			rt.Fatal(broken)
		}
	})
}
