package check

import (
	"math"
	"testing"
)

func TestUpperBoundIsClopperPearsons(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		broken, checked int
		want            float64
	}{
		{0, 0, 1}, {0, 1, 0.95}, {1, 1, 1}, {5, 5, 1},
		{0, 10, 0.258866}, {1, 10, 0.394163}, {3, 10, 0.606624}, {9, 10, 0.994884},
		{0, 100, 0.029513}, {1, 100, 0.046560}, {10, 100, 0.163718},
	} {
		if got := upper(tt.broken, tt.checked); math.Abs(got-tt.want) > 5e-6 {
			t.Errorf("%d of %d: %.6f, want %.6f", tt.broken, tt.checked, got, tt.want)
		}
	}
	// The rule of three.
	for _, n := range []int{1_000, 50_000, 10_000_000} {
		if got := upper(0, n) * float64(n); got > 3 || got < 2.99 {
			t.Errorf("none of %d: %f/n", n, got)
		}
	}
	// Where the smallest terms are none to a float64.
	if got := upper(600_000, 1_000_000); got < 0.6 || got > 0.602 {
		t.Errorf("600,000 of 1,000,000: %f", got)
	}
}

func TestUpperBoundIsExceededInOneOfTwenty(t *testing.T) {
	t.Parallel()
	for _, n := range []int{5, 50, 500} {
		for k := range n {
			if got := atMost(k, n, upper(k, n)); math.Abs(got-0.05) > 1e-6 {
				t.Fatalf("%d of %d: %f", k, n, got)
			}
		}
	}
}
