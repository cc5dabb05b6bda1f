package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// late is how long after its end calls of a schedule may still begin.
const late = time.Second

// openLoop makes s.Rate calls of s.Size bytes per second for a time, each when it
// is due, whatever became of those before it. At most s.Inflight are open: what is
// due meanwhile waits for its turn. The time of a call counts from when it was due,
// so that a stall counts for all the calls that should have been made during it;
// and calls that have not begun at the end count with how long they have waited
// until then. It returns the first error, a reply that is not the request's own
// body being one.
func openLoop(ctx context.Context, c caller, s spec, length time.Duration) (tally, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, length+late+lostAfter,
		fmt.Errorf("a call took longer than %v", lostAfter))
	defer cancel()

	var (
		times   = new(histogram)
		calls   atomic.Int64
		failed  = make(chan error, s.Inflight)
		due     = make(chan int64)
		done    sync.WaitGroup
		planned = schedule{began: time.Now(), rate: s.Rate}
		total   = max(1, int64(length.Seconds()*float64(s.Rate)))
	)
	for n := range s.Inflight {
		done.Go(func() {
			// A context of its own, as callers have: a shared one would be a lock that
			// all of them meet at.
			ctx, cancelOne := context.WithCancel(ctx)
			defer cancelOne()
			body := make([]byte, s.Size)
			for i := range due {
				if err := callOnce(ctx, c, body, n, i); err != nil {
					failed <- err
					cancel()
					return
				}
				times.record(time.Since(planned.at(i)))
				calls.Add(1)
			}
		})
	}
	begun := planned.follow(ctx, total, due)
	ended := time.Now()
	close(due)
	done.Wait()
	select {
	case err := <-failed:
		return tally{}, err
	default:
	}
	for i := begun; i < total; i++ {
		times.record(ended.Sub(planned.at(i)))
	}
	// A schedule that is kept takes its whole time, even if its last calls are quick.
	t := newTally(calls.Load(), max(length, time.Since(planned.began)), times)
	t.Unsent = total - begun
	return t, nil
}

// schedule says when calls are due.
type schedule struct {
	began time.Time
	rate  int // per second
}

func (s schedule) at(i int64) time.Time {
	return s.began.Add(time.Duration(float64(i) / float64(s.rate) * float64(time.Second)))
}

// follow sends the numbers of calls when they are due, as soon as somebody takes
// them. It returns how many were taken before the context ended or it was too late
// for more.
func (s schedule) follow(ctx context.Context, total int64, due chan<- int64) (begun int64) {
	tooLate := time.NewTimer(time.Until(s.at(total).Add(late)))
	defer tooLate.Stop()
	for i := range total {
		sleepUntil(ctx, s.at(i))
		select {
		case due <- i:
		case <-tooLate.C:
			return i
		case <-ctx.Done():
			return i
		}
	}
	return total
}

// sleepUntil returns at a time, or when the context ends. Go's timers may be late
// by a millisecond on an idle machine, which is more than a call takes: the rest is
// left to the system.
func sleepUntil(ctx context.Context, at time.Time) {
	const coarse = 2 * time.Millisecond
	if d := time.Until(at); d > coarse {
		timer := time.NewTimer(d - coarse)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
	}
	for {
		d := time.Until(at)
		if d <= 0 {
			return
		}
		pause(d)
	}
}
