package bench

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// makeCalls makes the calls of a spec for a time: at its rate if it has one, else
// one after the other.
func makeCalls(ctx context.Context, c caller, s spec, length time.Duration) (tally, error) {
	if s.Rate > 0 {
		return openLoop(ctx, c, s, length)
	}
	return closedLoop(ctx, c, s, length)
}

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
	return newTally(calls.Load(), elapsed, times), nil
}

// callUntil makes at least one call, and none after the end.
func callUntil(ctx context.Context, c caller, s spec, caller int, end time.Time, times *histogram) (made int64, err error) {
	body := make([]byte, s.Size)
	began := time.Now()
	for {
		if err := callOnce(ctx, c, body, caller, made); err != nil {
			return made, err
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

// callOnce makes a call with the body, which it stamps, and checks its reply.
func callOnce(ctx context.Context, c caller, body []byte, caller int, call int64) error {
	stamp(body, caller, call)
	reply, err := c.call(ctx, body)
	if err == nil {
		err = check(reply, len(body), caller, call)
	}
	if err != nil {
		return fmt.Errorf("call %d of caller %d: %w", call+1, caller, err)
	}
	return nil
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
