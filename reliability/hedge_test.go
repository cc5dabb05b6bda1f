package reliability_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
)

const hedgeDelay = 100 * time.Millisecond

// hedgeAttempt is what an attempt of a test does: it ends after that time, or
// earlier with its context's error.
type hedgeAttempt struct {
	takes time.Duration
	err   error
}

// hedgeResult is what a hedged call returned, how long it took and how many
// attempts it made.
type hedgeResult struct {
	value int // the number of the attempt
	err   error
	took  time.Duration
	made  int
}

func hedgeRun(t *testing.T, h *reliability.Hedge[int], attempts ...hedgeAttempt) hedgeResult {
	t.Helper()
	var made, running atomic.Int64
	begun := time.Now()
	value, err := h.Do(t.Context(), func(ctx context.Context) (int, error) {
		n := int(made.Add(1))
		running.Add(1)
		defer running.Add(-1)
		select {
		case <-time.After(attempts[n-1].takes):
			return n, attempts[n-1].err
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	})
	if running.Load() != 0 {
		t.Error("an attempt was left running")
	}
	return hedgeResult{value, err, time.Since(begun), int(made.Load())}
}

func TestHedgeTakesTheFirstSuccess(t *testing.T) {
	t.Parallel()
	down, later := errors.New("down"), errors.New("down still")
	for name, c := range map[string]struct {
		first, second hedgeAttempt
		value, made   int
		err           error
		took          time.Duration
	}{
		"fast enough":      {hedgeAttempt{99 * time.Millisecond, nil}, hedgeAttempt{}, 1, 1, nil, 99 * time.Millisecond},
		"second overtakes": {hedgeAttempt{time.Second, nil}, hedgeAttempt{50 * time.Millisecond, nil}, 2, 2, nil, 150 * time.Millisecond},
		"first all the same": {
			hedgeAttempt{150 * time.Millisecond, nil}, hedgeAttempt{time.Second, nil}, 1, 2, nil, 150 * time.Millisecond,
		},
		"fails at once": {hedgeAttempt{time.Millisecond, down}, hedgeAttempt{}, 1, 1, down, time.Millisecond},
		"first fails late": {
			hedgeAttempt{150 * time.Millisecond, down}, hedgeAttempt{time.Second, nil}, 2, 2, nil, 1100 * time.Millisecond,
		},
		"second fails": {
			hedgeAttempt{time.Second, nil}, hedgeAttempt{time.Millisecond, down}, 1, 2, nil, time.Second,
		},
		"both fail": {
			hedgeAttempt{time.Second, down}, hedgeAttempt{time.Millisecond, later}, 1, 2, down, time.Second,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := &reliability.Hedge[int]{Policy: reliability.HedgePolicy{Delay: new(hedgeDelay)}}
				got := hedgeRun(t, h, c.first, c.second)
				if !errors.Is(got.err, c.err) {
					t.Fatalf("its error is %v; want %v", got.err, c.err)
				}
				if got.err = c.err; got != (hedgeResult{c.value, c.err, c.took, c.made}) {
					t.Fatalf("it returned %+v; want %+v", got, c)
				}
			})
		})
	}
}

func TestHedgeJoinsWhatBothErrorsSay(t *testing.T) {
	t.Parallel()
	full := &warren.Error{
		Code: warren.CodeResourceExhausted, Outcome: warren.NotExecuted, Attempts: 1, RetryAfter: time.Second,
	}
	lost := &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.Unknown, Attempts: 1}
	stop := &warren.Error{Code: warren.CodeAborted, Outcome: warren.Executed, Attempts: 2, RetryAfter: -1}
	other := errors.New("other")
	for _, c := range []struct {
		earlier, later error
		code           warren.Code
		outcome        warren.Outcome
		attempts       int
		retryAfter     time.Duration
	}{
		{full, full, warren.CodeResourceExhausted, warren.NotExecuted, 2, time.Second},
		{full, lost, warren.CodeUnavailable, warren.Unknown, 2, time.Second},
		{stop, full, warren.CodeResourceExhausted, warren.Executed, 3, -1},
		{full, other, warren.CodeResourceExhausted, warren.Unknown, 1, time.Second},
		{other, full, warren.CodeResourceExhausted, warren.Unknown, 1, time.Second},
	} {
		synctest.Test(t, func(t *testing.T) {
			h := &reliability.Hedge[int]{Policy: reliability.HedgePolicy{Delay: new(hedgeDelay)}}
			err := hedgeRun(t, h, hedgeAttempt{time.Second, c.earlier}, hedgeAttempt{2 * time.Second, c.later}).err
			e, ok := warren.AsError(err)
			if !ok || e.Code != c.code || e.Outcome != c.outcome || e.Attempts != c.attempts || e.RetryAfter != c.retryAfter {
				t.Errorf("of %v and %v: %+v", c.earlier, c.later, e)
			}
			if !errors.Is(err, c.earlier) || !errors.Is(err, c.later) {
				t.Errorf("%v hides one of %v and %v", err, c.earlier, c.later)
			}
		})
	}
}

func TestHedgeIsMadeOnlyIfAllowed(t *testing.T) {
	t.Parallel()
	slow := hedgeAttempt{takes: time.Second}
	spent := reliability.NewBudget(reliability.BudgetPolicy{Tokens: new(1.0)}) // half of it is left by the first
	for name, h := range map[string]*reliability.Hedge[int]{
		"off":       {Policy: reliability.HedgePolicy{On: new(false), Delay: new(hedgeDelay)}},
		"budget":    {Policy: reliability.HedgePolicy{Delay: new(hedgeDelay)}, Budget: spent},
		"few calls": {Policy: reliability.HedgePolicy{On: new(true)}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				if got := hedgeRun(t, h, slow); got != (hedgeResult{1, nil, time.Second, 1}) {
					t.Fatalf("it returned %+v", got)
				}
			})
		})
	}
}

func TestHedgeLearnsItsDelay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := &reliability.Hedge[int]{Policy: reliability.HedgePolicy{On: new(true)}}
		for i := range 20 {
			if _, on := h.Delay(); on {
				t.Fatalf("it hedges after %d calls", i)
			}
			if got := hedgeRun(t, h, hedgeAttempt{takes: 50 * time.Millisecond}); got.err != nil {
				t.Fatal(got.err)
			}
		}
		delay, on := h.Delay()
		if !on || delay < 50*time.Millisecond || delay > 54*time.Millisecond {
			t.Fatalf("the delay is %v, %t", delay, on)
		}
		// One attempt in ten hangs. Were those that are overtaken forgotten, the
		// percentile would never hear of them.
		for i := range 200 {
			first := hedgeAttempt{takes: 50 * time.Millisecond}
			if i%10 == 0 {
				first.takes = time.Hour
			}
			if got := hedgeRun(t, h, first, hedgeAttempt{takes: 50 * time.Millisecond}); got.took > time.Second {
				t.Fatalf("call %d took %v", i, got.took)
			}
		}
		if delay, _ = h.Delay(); delay < 100*time.Millisecond {
			t.Fatalf("with a tenth of the calls hanging, the 95th percentile sank to %v", delay)
		}
	})
}

func TestHedgeEndsWithItsCaller(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h := &reliability.Hedge[int]{Policy: reliability.HedgePolicy{Delay: new(hedgeDelay)}}
		begun := time.Now()
		_, err := h.Do(ctx, func(ctx context.Context) (int, error) {
			<-ctx.Done()
			return 0, ctx.Err()
		})
		if !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Fatalf("%v after %v", err, time.Since(begun))
		}
	})
}

func TestHedgePanicsInItsCallersGoroutine(t *testing.T) {
	t.Parallel()
	for n := range 2 {
		synctest.Test(t, func(t *testing.T) {
			h := &reliability.Hedge[int]{Policy: reliability.HedgePolicy{Delay: new(hedgeDelay)}}
			var made atomic.Int64
			defer func() {
				if got := recover(); got != "broken" {
					t.Errorf("attempt %d: recovered %v", n+1, got)
				}
			}()
			_, _ = h.Do(t.Context(), func(ctx context.Context) (int, error) {
				if made.Add(1) == int64(n+1) {
					time.Sleep(time.Second)
					panic("broken")
				}
				<-time.After(time.Minute)
				return 0, ctx.Err()
			})
		})
	}
}

func BenchmarkHedgeNotNeeded(b *testing.B) {
	h := &reliability.Hedge[int]{Policy: reliability.HedgePolicy{Delay: new(time.Minute)}}
	b.ReportAllocs()
	for b.Loop() {
		_, _ = h.Do(context.Background(), func(context.Context) (int, error) { return 1, nil })
	}
}
