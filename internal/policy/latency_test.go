package policy_test

import (
	"math"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

// The reference sorts all that it was told.
func TestLatencyIsNeverBelowThePercentileAndLittleAbove(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var l policy.Latency
		var told []time.Duration
		// Latencies of all magnitudes, and runs of like ones.
		magnitude := rapid.IntRange(0, 46)
		for run := range rapid.IntRange(1, 40).Draw(t, "runs") {
			m := magnitude.Draw(t, "magnitude")
			for i := range rapid.IntRange(1, 120).Draw(t, "length") {
				d := time.Duration(1)<<m + time.Duration((run*7919+i*104729)%(1<<min(m, 20)))
				l.Observe(d)
				told = append(told, d)
			}
			got, ok := l.P95()
			if ok != (len(told) >= 20) {
				t.Fatalf("after %d calls it tells: %t", len(told), ok)
			}
			if !ok {
				continue
			}
			recent := told
			if n := len(told); n > 2000 {
				recent = told[(n-1)/1000*1000-1000:]
			}
			sorted := slices.Sorted(slices.Values(recent))
			exact := sorted[int(math.Ceil(0.95*float64(len(sorted))))-1]
			if most := exact + exact/16 + time.Microsecond; got < exact || got > most {
				t.Fatalf("after %d calls it tells %v; want %v to %v", len(told), got, exact, most)
			}
		}
	})
}

func TestLatencyForgetsWhatIsLongPast(t *testing.T) {
	t.Parallel()
	var l policy.Latency
	for range 5000 {
		l.Observe(time.Second)
	}
	for range 2000 {
		l.Observe(time.Millisecond)
	}
	if got, _ := l.P95(); got > 2*time.Millisecond {
		t.Fatalf("after 2000 calls of 1 ms it tells %v", got)
	}
}

func TestLatencyTakesOddValues(t *testing.T) {
	t.Parallel()
	for d, want := range map[time.Duration]time.Duration{
		-time.Second: 0, 0: 0, 1: time.Microsecond, 24 * time.Hour: 24 * time.Hour, math.MaxInt64: 38 * time.Hour,
	} {
		var l policy.Latency
		for range 20 {
			l.Observe(d)
		}
		got, ok := l.P95()
		if !ok || got < want || got > want+want/16 {
			t.Errorf("of %v it tells %v, %t", d, got, ok)
		}
	}
}

func TestLatencyIsSharedByGoroutines(t *testing.T) {
	t.Parallel()
	var l policy.Latency
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for i := range 1000 {
				l.Observe(time.Duration(i%100+1) * time.Millisecond)
				l.P95()
			}
		})
	}
	all.Wait()
	if got, ok := l.P95(); !ok || got < 90*time.Millisecond || got > 110*time.Millisecond {
		t.Fatalf("it tells %v, %t", got, ok)
	}
}

func BenchmarkLatencyObserve(b *testing.B) {
	var l policy.Latency
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Observe(time.Duration(i%1000) * 100 * time.Microsecond)
	}
}
