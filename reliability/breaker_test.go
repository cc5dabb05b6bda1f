package reliability_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
)

func TestBreakerStandsAloneAroundAnyFunction(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var changes []reliability.Change
		p := reliability.BreakerPolicy{Volume: new(2), Probes: new(1)}
		b := reliability.NewBreaker("m", p, func(c reliability.Change) { changes = append(changes, c) })
		const open = 5 * time.Second
		ctx, cancel := context.WithCancel(t.Context())
		down := errors.New("down")
		calls := 0
		do := func(ctx context.Context, err error) error {
			return b.Do(ctx, func(context.Context) error { calls++; return err })
		}
		cancel()
		for range 10 {
			if err := do(ctx, down); !errors.Is(err, down) {
				t.Fatalf("it returned %v", err)
			}
		}
		if b.State() != reliability.Closed {
			t.Fatal("what the caller cancelled opened it")
		}
		if err := do(t.Context(), down); !errors.Is(err, down) {
			t.Fatalf("it returned %v", err)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic is gone")
				}
			}()
			_ = b.Do(t.Context(), func(context.Context) error { panic("broken") })
		}()
		calls = 0
		err := do(t.Context(), nil)
		if e, ok := warren.AsError(err); !ok || e.Reason != warren.ReasonBreakerOpen || e.RetryAfter != open || calls > 0 {
			t.Fatalf("it returned %v after %d calls", err, calls)
		}
		time.Sleep(open)
		if err := do(t.Context(), nil); err != nil || b.State() != reliability.Closed {
			t.Fatalf("the probe: %v, then %v", err, b.State())
		}
		if len(changes) != 3 || changes[0].To != reliability.Open || changes[0].Calls != 2 || changes[0].Failures != 2 {
			t.Errorf("its changes are %+v", changes)
		}
		b.Force(reliability.ForcedOpen)
		if err := do(t.Context(), nil); err == nil || b.State() != reliability.ForcedOpen {
			t.Errorf("forced open it is %v and lets calls through", b.State())
		}
		b.Release()
		if b.State() != reliability.HalfOpen {
			t.Errorf("released it is %v", b.State())
		}
	})
}
