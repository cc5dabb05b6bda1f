package policy_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// waitsOf are the waits of a call all of whose attempts fail at once.
func waitsOf(p *policy.Policy, random func() float64) []time.Duration {
	a := p.Begin(epoch, epoch.Add(time.Hour), nil, policy.Overrides{})
	if random != nil {
		a.DrawFrom(random)
	}
	var waits []time.Duration
	for {
		a.Next(epoch)
		d := a.Failed(epoch, failure(warren.CodeUnavailable, warren.NotExecuted))
		if !d.Retry {
			return waits
		}
		waits = append(waits, d.Wait)
	}
}

func TestDrawnWaitsAreFullJitterAndCanBeRepeated(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := policy.Default()
		p.Retry.Attempts = rapid.IntRange(1, 5).Draw(t, "attempts")
		p.Retry.First = time.Duration(rapid.Int64Range(1e6, 60e9).Draw(t, "first"))
		p.Retry.Most = time.Duration(rapid.Int64Range(int64(p.Retry.First), 60e9).Draw(t, "most"))
		x := rapid.Float64Range(0, 0.999999).Draw(t, "x")
		waits := waitsOf(&p, func() float64 { return x })
		if len(waits) != p.Retry.Attempts-1 {
			t.Fatalf("%d waits of %d attempts", len(waits), p.Retry.Attempts)
		}
		for n, wait := range waits {
			want := time.Duration(x * float64(min(p.Retry.Most, p.Retry.First<<n)))
			if diff := wait - want; diff < -1 || diff > 1 {
				t.Fatalf("wait %d is %v; want %v", n, wait, want)
			}
		}
	})
}

func TestDrawnWaitsHaveTheMeansOfThoseThatAreNot(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Retry.Attempts = 5
	rng := rand.New(rand.NewPCG(1, 2))
	const calls = 20_000
	var own, drawn [4]time.Duration
	for range calls {
		for n, wait := range waitsOf(&p, nil) {
			own[n] += wait
		}
		for n, wait := range waitsOf(&p, rng.Float64) {
			drawn[n] += wait
		}
	}
	for n := range own {
		if ratio := float64(drawn[n]) / float64(own[n]); ratio < 0.97 || ratio > 1.03 {
			t.Errorf("mean of wait %d: %v drawn, %v otherwise", n, drawn[n]/calls, own[n]/calls)
		}
	}
}

func TestWaitsWithoutJitterAreNotDrawn(t *testing.T) {
	t.Parallel()
	p := policy.Default()
	p.Retry.Jitter = false
	waits := waitsOf(&p, func() float64 { panic("drawn") })
	if len(waits) != 2 || waits[0] != 100*time.Millisecond || waits[1] != 200*time.Millisecond {
		t.Errorf("%v", waits)
	}
}
