package bench

import (
	"math"
	"testing"
	"time"
)

func TestQuantilesAreWithinOnePercent(t *testing.T) {
	t.Parallel()
	h := new(histogram)
	if got := h.quantile(0.5); got != 0 {
		t.Errorf("median of nothing: %v", got)
	}
	const n = 100_000
	for i := range n {
		h.record(time.Duration(i+1) * time.Microsecond)
	}
	for _, q := range []float64{0, 0.01, 0.5, 0.99, 1} {
		want := float64(time.Microsecond) * (1 + q*(n-1))
		if got := float64(h.quantile(q)); math.Abs(got-want) > 0.01*want {
			t.Errorf("quantile %v is %v, want %v", q, time.Duration(got), time.Duration(want))
		}
	}
}

func TestEveryDurationHasABucketThatHoldsIt(t *testing.T) {
	t.Parallel()
	last := -1
	for _, d := range []time.Duration{
		-1, 0, 1, 127, 128, 255, 256, 257, 511, 512, 1 << 20, time.Second, time.Hour, math.MaxInt64,
	} {
		h := new(histogram)
		h.record(d)
		got, want := h.quantile(1), max(0, d)
		if diff := math.Abs(float64(got - want)); diff > 0.01*float64(want) {
			t.Errorf("%v is counted as %v", want, got)
		}
		at := bucketOf(uint64(want))
		if at < last {
			t.Errorf("bucket %d of %v is below its predecessor's, %d", at, d, last)
		}
		last = at
	}
}

func TestRatiosAreFormedWithinRounds(t *testing.T) {
	t.Parallel()
	took := func(calls int64) sample {
		return sample{tally: tally{Calls: calls, Elapsed: time.Second, P50: time.Millisecond}}
	}
	o := Options{Variants: []string{"raw-fast", "raw-guarantees"}, Baseline: "raw-guarantees"}
	// A machine that was slow for one round: the medians of the figures are those of
	// the usual rounds, and the slow round's ratio counts like any.
	rounds := []round{
		{took(300), took(200)},
		{took(30), took(10)},
		{took(320), took(160)},
	}
	got := summarise(o, workload{Size: 64, Inflight: 1}, rounds)
	if got[0].CallsPerS != 300 || got[1].CallsPerS != 160 {
		t.Errorf("calls/s: %v and %v, want 300 and 160", got[0].CallsPerS, got[1].CallsPerS)
	}
	if r := got[0].Ratio; r == nil || r.CallsPerS != 2 || r.P50 != 1 || r.P99 != 0 {
		t.Errorf("ratio %+v, want calls/s 2, p50 1, p99 0 for want of a divisor", r)
	}
	if got[0].BrokerCPUus != nil {
		t.Errorf("broker CPU %v of a broker that nobody asked", *got[0].BrokerCPUus)
	}

	o.Variants = []string{"raw-fast", "raw-tutorial"}
	if got := summarise(o, workload{Size: 64, Inflight: 1}, rounds)[0].Ratio; got != nil {
		t.Errorf("ratio %+v to what was not measured", got)
	}
	if got := summarise(o, workload{Size: 64, Inflight: 1}, rounds[:2])[0].CallsPerS; got != 165 {
		t.Errorf("median of 300 and 30: %v", got)
	}
}
