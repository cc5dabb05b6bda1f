package policy_test

import (
	"math"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// bound is the longest that the n-th wait may be.
func bound(first, most time.Duration, n int) time.Duration {
	if grown := float64(first) * math.Pow(2, float64(n)); grown < float64(most) {
		return time.Duration(grown)
	}
	return most
}

func TestFullJitterStaysWithinItsBounds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := time.Duration(rapid.Int64Range(1, int64(time.Hour)).Draw(t, "first"))
		most := time.Duration(rapid.Int64Range(1, int64(24*time.Hour)).Draw(t, "most"))
		b := policy.FullJitter(first, most)
		for range 2 {
			for n := range 40 {
				if wait := b.NextBackOff(); wait < 0 || wait > bound(first, most, n) {
					t.Fatalf("wait %d is %v; want 0 to %v", n, wait, bound(first, most, n))
				}
			}
			b.Reset() // and all over again
		}
	})
}

// The library's own default gives up after a quarter of an hour.
func TestFullJitterNeverGivesUp(t *testing.T) {
	t.Parallel()
	b := policy.FullJitter(time.Millisecond, time.Second)
	for n := range 10_000 {
		if b.NextBackOff() < 0 {
			t.Fatalf("it gave up after %d waits", n)
		}
	}
}

// Full jitter spreads those who were thrown off together over the whole
// interval: each tenth of it gets about a tenth of them.
func TestFullJitterIsSpreadEvenly(t *testing.T) {
	t.Parallel()
	const first, most, draws = 100 * time.Millisecond, 2 * time.Second, 4000
	for _, n := range []int{0, 1, 4, 7} {
		var tenths [10]int
		interval := bound(first, most, n)
		for range draws {
			b := policy.FullJitter(first, most)
			for range n {
				b.NextBackOff()
			}
			wait := b.NextBackOff()
			tenths[min(int(10*wait/interval), 9)]++
		}
		for i, got := range tenths {
			// 400 are expected, with a standard deviation of 19.
			if got < 250 || got > 550 {
				t.Errorf("wait %d: %d of %d in tenth %d: %v", n, got, draws, i, tenths)
			}
		}
	}
}

func TestFullJitterTakesOddValues(t *testing.T) {
	t.Parallel()
	for _, b := range []interface{ NextBackOff() time.Duration }{
		policy.FullJitter(0, 0), policy.FullJitter(1, 1), policy.FullJitter(0, time.Second),
		policy.FullJitter(math.MaxInt64, math.MaxInt64),
	} {
		for range 100 {
			if wait := b.NextBackOff(); wait < 0 {
				t.Fatalf("a wait of %v", wait)
			}
		}
	}
}
