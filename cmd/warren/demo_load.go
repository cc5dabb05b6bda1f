package main

import (
	"context"
	"maps"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
)

// load makes the demo's calls.
type load struct {
	client   *client.Client
	method   string
	calls    int
	inflight int // most at a time
	rate     int // per second; 0 is no bound
	timeout  time.Duration
	before   func(ctx context.Context, n int) error // called before call n, from 0
	tally    *tally
}

// catchUp bounds the burst with which a load makes up for a delay.
const catchUp = 50 * time.Millisecond

// run makes all calls and returns when each of them has ended, or is lost.
func (l *load) run(ctx context.Context) error {
	slots := make(chan struct{}, l.inflight)
	var running sync.WaitGroup
	defer running.Wait()
	next := time.Now()
	for n := range l.calls {
		if err := l.before(ctx, n); err != nil {
			return err
		}
		if err := sleepUntil(ctx, next); err != nil {
			return err
		}
		if l.rate > 0 {
			next = next.Add(time.Second / time.Duration(l.rate))
		}
		if late := time.Now().Add(-catchUp); next.Before(late) {
			next = late
		}
		select {
		case slots <- struct{}{}:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		running.Go(func() {
			defer func() { <-slots }()
			l.call(ctx, n)
		})
	}
	running.Wait()
	return context.Cause(ctx)
}

func sleepUntil(ctx context.Context, t time.Time) error {
	d := time.Until(t)
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lostAfter is how long after its deadline a call may still end.
const lostAfter = time.Second

// call makes one call and waits for its end only as long as it may take.
func (l *load) call(ctx context.Context, n int) {
	began := time.Now()
	l.tally.begin()
	limit := time.NewTimer(l.timeout + lostAfter)
	defer limit.Stop()
	future := l.client.Go(ctx, l.method, strconv.AppendInt(nil, int64(n), 10),
		client.WithContentType("text/plain"), client.WithTimeout(l.timeout),
		client.Idempotent(), client.WithAttempts(5), client.WaitForServer())
	select {
	case <-future.Done():
		reply, err := future.Result()
		took := time.Since(began)
		if took > l.timeout+lostAfter {
			l.tally.lose()
			return
		}
		l.tally.end(n, reply, err, took)
	case <-limit.C:
		l.tally.lose()
	}
}

// tally is what became of the calls so far.
type tally struct {
	mu   sync.Mutex
	sums tallySums
	took []time.Duration // of those answered, in the order of their ends
}

type tallySums struct {
	begun, lost, mismatched int
	errors                  map[string]int // typed ones, by code
}

func (t *tally) begin() {
	t.mu.Lock()
	t.sums.begun++
	t.mu.Unlock()
}

func (t *tally) lose() {
	t.mu.Lock()
	t.sums.lost++
	t.mu.Unlock()
}

// end counts a call that has ended. An error without a type is as good as none.
func (t *tally) end(n int, reply *warren.Reply, err error, took time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	e, typed := warren.AsError(err)
	switch {
	case typed:
		if t.sums.errors == nil {
			t.sums.errors = map[string]int{}
		}
		t.sums.errors[e.Code.String()]++
	case err != nil:
		t.sums.lost++
	case string(reply.Body) != strconv.Itoa(n*n):
		t.sums.mismatched++
	default:
		t.took = append(t.took, took)
	}
}

// look returns the sums and how long the last calls took, at most so many.
func (t *tally) look(most int) (tallySums, []time.Duration, int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	sums := t.sums
	sums.errors = maps.Clone(t.sums.errors)
	last := t.took[max(0, len(t.took)-most):]
	return sums, slices.Clone(last), len(t.took)
}
