package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// tally is what a client saw of a closed loop.
type tally struct {
	Calls   int64         `json:"calls"`
	Elapsed time.Duration `json:"elapsed"` // until the last call was answered
	P50     time.Duration `json:"p50"`
	P99     time.Duration `json:"p99"`
}

// lostAfter is how long after the end of a loop its last calls may take. A call
// that takes longer counts as lost, which none may be.
const lostAfter = 20 * time.Second

// closedLoop keeps s.Inflight calls of s.Size bytes open for a time: each of as
// many goroutines makes one call after the other. It returns the first error, a
// reply that is not the request's own body being one.
func closedLoop(ctx context.Context, c caller, s spec, length time.Duration) (tally, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, length+lostAfter,
		fmt.Errorf("a call took longer than %v", lostAfter))
	defer cancel()

	var (
		times  = new(histogram)
		calls  atomic.Int64
		failed = make(chan error, s.Inflight)
		done   sync.WaitGroup
	)
	began := time.Now()
	for n := range s.Inflight {
		done.Go(func() {
			// A context of its own, as callers have: a shared one would be a lock that
			// all of them meet at.
			ctx, cancelOne := context.WithCancel(ctx)
			defer cancelOne()
			made, err := callUntil(ctx, c, s, n, began.Add(length), times)
			calls.Add(made)
			if err != nil {
				failed <- err
				cancel()
			}
		})
	}
	done.Wait()
	elapsed := time.Since(began)
	select {
	case err := <-failed:
		return tally{}, err
	default:
	}
	return tally{
		Calls:   calls.Load(),
		Elapsed: elapsed,
		P50:     times.quantile(0.50),
		P99:     times.quantile(0.99),
	}, nil
}

// callUntil makes at least one call, and none after the end.
func callUntil(ctx context.Context, c caller, s spec, caller int, end time.Time, times *histogram) (made int64, err error) {
	body := make([]byte, s.Size)
	began := time.Now()
	for {
		stamp(body, caller, made)
		reply, err := c.call(ctx, body)
		if err != nil {
			return made, fmt.Errorf("call %d of caller %d: %w", made+1, caller, err)
		}
		if err := check(reply, s.Size, caller, made); err != nil {
			return made, fmt.Errorf("call %d of caller %d: %w", made+1, caller, err)
		}
		now := time.Now()
		times.record(now.Sub(began))
		made++
		if !now.Before(end) {
			return made, nil
		}
		began = now
	}
}

// stamp marks a body with its caller and call, as far as it has room, so that a
// reply to another call can be told whatever a variant correlates by.
func stamp(body []byte, caller int, call int64) {
	mark := markOf(caller, call)
	copy(body, mark[:])
}

// check allocates nothing unless it fails: it is part of every call.
func check(reply []byte, size, caller int, call int64) error {
	if len(reply) != size {
		return fmt.Errorf("sent %d bytes, got %d back", size, len(reply))
	}
	mark := markOf(caller, call)
	if n := min(size, len(mark)); string(reply[:n]) != string(mark[:n]) {
		return fmt.Errorf("the reply is another call's: it begins with %x", reply[:n])
	}
	return nil
}

func markOf(caller int, call int64) (mark [12]byte) {
	binary.LittleEndian.PutUint32(mark[:], uint32(caller))
	binary.LittleEndian.PutUint64(mark[4:], uint64(call))
	return mark
}
