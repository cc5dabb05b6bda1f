package policy_test

import (
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
)

func TestBreakerTellsOfEveryChangeInOrder(t *testing.T) {
	t.Parallel()
	const goroutines, rounds = 8, 300
	p := policy.BreakerPolicy{Window: time.Second, Volume: 1, Failures: 1, Slow: 1, Open: time.Millisecond, Probes: 1}
	var changes []policy.Change // guarded by the promise of one at a time
	var b *policy.Breaker
	b = policy.NewBreaker("m", p, func(c policy.Change) {
		changes = append(changes, c)
		b.State(c.At) // no lock is held
		b.Counts(c.At)
		if len(changes)%50 == 0 {
			b.Force(c.At, policy.ForcedOpen)
			b.Release(c.At)
		}
	})
	var all sync.WaitGroup
	for g := range goroutines {
		all.Go(func() {
			for i := range rounds {
				now := time.Unix(int64(i), 0)
				ticket, refusal := b.Allow(now)
				if refusal != nil {
					continue
				}
				result := policy.Failure
				if (i+g)%3 == 0 {
					result = policy.Success
				}
				b.Done(ticket, now, result)
			}
		})
	}
	all.Wait()
	if len(changes) < rounds/10 {
		t.Fatalf("only %d changes", len(changes))
	}
	from := policy.Closed
	for i, c := range changes {
		if c.From != from || c.From == c.To {
			t.Fatalf("change %d of %d is from %v to %v; want from %v", i, len(changes), c.From, c.To, from)
		}
		from = c.To
	}
	if got := b.State(time.Time{}); got != from {
		t.Fatalf("it is %v; the last change was to %v", got, from)
	}
}

func TestBreakerTellsOfChangesAfterItsObserverPanicked(t *testing.T) {
	t.Parallel()
	var told []policy.State
	b := policy.NewBreaker("m", policy.Default().Breaker, func(c policy.Change) {
		if told = append(told, c.To); len(told) == 1 {
			panic("once")
		}
	})
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic is gone")
			}
		}()
		b.Force(time.Time{}, policy.ForcedOpen)
	}()
	b.Force(time.Time{}, policy.ForcedClosed)
	if want := []policy.State{policy.ForcedOpen, policy.ForcedClosed}; !slices.Equal(told, want) {
		t.Fatalf("it told of %v; want %v", told, want)
	}
}

func TestBreakerNeverLetsMoreProbesThroughThanAllowed(t *testing.T) {
	t.Parallel()
	p := policy.Default().Breaker
	r := newBreakerRun(t, p)
	r.call(policy.Failure, 20)
	r.sleep(p.Open)
	var all sync.WaitGroup
	var mu sync.Mutex
	out := 0
	for range 50 {
		all.Go(func() {
			if _, refusal := r.Allow(r.now); refusal == nil {
				mu.Lock()
				out++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if out != p.Probes {
		t.Fatalf("%d probes; want %d", out, p.Probes)
	}
}

func BenchmarkBreakerSuccess(b *testing.B) {
	p := policy.Default().Breaker
	p.SlowAfter = time.Second
	breaker := policy.NewBreaker("m", p, func(policy.Change) {})
	b.ReportAllocs()
	for b.Loop() {
		now := time.Now()
		ticket, refusal := breaker.Allow(now)
		if refusal != nil {
			b.Fatal(refusal)
		}
		breaker.Done(ticket, now, policy.Success)
	}
}

func BenchmarkBreakerSuccessParallel(b *testing.B) {
	breaker := policy.NewBreaker("m", policy.Default().Breaker, nil)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			now := time.Now()
			if ticket, refusal := breaker.Allow(now); refusal == nil {
				breaker.Done(ticket, now, policy.Success)
			}
		}
	})
}
