package patience

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestPatienceIsANumber(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]float64{"1": 1, "0.5": 0.5, "4": 4, "1000": 1000} {
		if got, err := parse(text); err != nil || got != want {
			t.Errorf("%s: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"0", "-1", "1001", "NaN", "Inf", "10s", " 2"} {
		if got, err := parse(text); err == nil {
			t.Errorf("%q is taken for %v", text, got)
		}
	}
}

func TestEventuallyWaitsUntilTheConditionHolds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		Eventually(t, "nearly late", func() bool { return time.Since(began) >= Soon-time.Second })
	})
}
