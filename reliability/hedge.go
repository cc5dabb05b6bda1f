package reliability

import (
	"context"
	"errors"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// Hedge makes a second attempt while the first is slow. The fields must not
// change while calls are made; then Do is safe for concurrent use. A Hedge must not
// be copied after first use.
type Hedge[T any] struct {
	// Policy says whether and when. The zero policy never does. Without a delay it is
	// the 95th percentile of what calls of this Hedge have taken, from 20 of them on.
	Policy HedgePolicy
	// Budget, if not nil, gives a token for each second attempt, or refuses it.
	Budget *Budget

	latency policy.Latency
}

// Do calls fn and, if that takes longer than the policy's delay, once more at the
// same time. The first to succeed is the result, and the other's context is
// cancelled. An attempt that fails leaves the other to decide; if it fails before
// there is another, none is made.
//
// fn must be safe to execute twice, and must return soon once its context ends:
// Do returns after all that it has called. If both fail, the error is a
// copy of the later [warren.Error] with the outcomes joined (an error of another
// type is Unknown), the attempts added, the longer RetryAfter (or the one that
// says stop), and both errors in its chain. If neither is a [warren.Error] they
// are joined by [errors.Join]. If the second attempt panics, Do does.
//
// What attempts took that succeed is learned, and of a first attempt that was
// overtaken how long it had been waited for by then: it may have taken longer,
// but if it did not count, the percentile would sink with each hedge.
func (h *Hedge[T]) Do(ctx context.Context, fn func(context.Context) (T, error)) (T, error) {
	delay, on := h.delay()
	if !on {
		begun := time.Now()
		value, err := fn(ctx)
		if err == nil {
			h.latency.Observe(time.Since(begun))
		}
		return value, err
	}
	return h.race(ctx, delay, fn)
}

// delay is how long the first attempt is waited for, and whether there is a second.
func (h *Hedge[T]) delay() (time.Duration, bool) {
	var p policy.HedgePolicy
	if h.Policy.Delay != nil { // which says that it is on
		p.On, p.Delay = true, *h.Policy.Delay
	}
	if h.Policy.On != nil {
		p.On = *h.Policy.On
	}
	return policy.HedgeDelay(p, &h.latency)
}

type hedged[T any] struct {
	value    T
	err      error
	begun    time.Time
	ended    time.Time
	made     bool // fn was called and returned
	panicked any
}

func (a *hedged[T]) won() bool { return a.made && a.err == nil }

// race makes the first attempt in the caller's goroutine, so that a call that
// is fast enough costs a timer and no more.
func (h *Hedge[T]) race(ctx context.Context, delay time.Duration, fn func(context.Context) (T, error)) (T, error) {
	firstCtx, cancelFirst := context.WithCancel(ctx)
	defer cancelFirst()
	secondCtx, cancelSecond := context.WithCancel(ctx)
	defer cancelSecond()

	first := hedged[T]{begun: time.Now()}
	var second hedged[T]
	done := make(chan struct{})
	timer := time.AfterFunc(delay, func() {
		defer close(done)
		if secondCtx.Err() != nil || !h.Budget.spend() {
			return
		}
		second.begun = time.Now()
		defer func() {
			second.panicked, second.ended = recover(), time.Now()
			if second.won() {
				cancelFirst()
			}
		}()
		second.value, second.err = fn(secondCtx)
		second.made = true
	})
	join := func() {
		if !timer.Stop() {
			<-done
		}
	}
	func() {
		defer func() { // also if fn panics
			first.ended = time.Now()
			if first.won() || !first.made {
				cancelSecond()
			}
			join()
		}()
		first.value, first.err = fn(firstCtx)
		first.made = true
	}()
	if second.panicked != nil {
		panic(second.panicked)
	}
	return h.settle(&first, &second)
}

// settle picks the result of two attempts that have both ended.
func (h *Hedge[T]) settle(first, second *hedged[T]) (T, error) {
	switch {
	case first.won() && (!second.won() || !second.ended.Before(first.ended)):
		h.latency.Observe(first.ended.Sub(first.begun))
		return first.value, nil
	case second.won():
		h.latency.Observe(second.ended.Sub(second.begun))
		// It was overtaken only if it had not failed by itself before.
		if !first.ended.Before(second.ended) {
			h.latency.Observe(second.ended.Sub(first.begun))
		}
		return second.value, nil
	case !second.made:
		return first.value, first.err
	case second.ended.Before(first.ended):
		return first.value, joinHedged(second.err, first.err)
	default:
		return second.value, joinHedged(first.err, second.err)
	}
}

// joinHedged makes one error of those of two attempts that both failed.
func joinHedged(earlier, later error) error {
	told, ok := warren.AsError(later)
	other, both := warren.AsError(earlier)
	switch {
	case !ok && !both:
		return errors.Join(earlier, later)
	case !ok:
		told, both = other, false
	}
	joined := *told
	joined.Cause = errors.Join(earlier, later)
	if !both {
		joined.Outcome = told.Outcome.Join(warren.Unknown)
		return &joined
	}
	joined.Outcome = told.Outcome.Join(other.Outcome)
	joined.Attempts += other.Attempts
	if told.RetryAfter < 0 || other.RetryAfter < 0 {
		joined.RetryAfter = min(told.RetryAfter, other.RetryAfter)
	} else {
		joined.RetryAfter = max(told.RetryAfter, other.RetryAfter)
	}
	return &joined
}
