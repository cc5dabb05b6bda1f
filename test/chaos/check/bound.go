package check

import "math"

// confidence of upper bounds.
const confidence = 0.95

// upper returns the upper end of the one-sided Clopper-Pearson interval of a
// probability of which there were broken cases among checked ones: the p with which
// that few, or fewer, are seen with a probability of 5 %.
func upper(broken, checked int) float64 {
	switch {
	case checked <= 0 || broken >= checked:
		return 1
	case broken == 0:
		return -math.Expm1(math.Log(1-confidence) / float64(checked))
	}
	low, high := float64(broken)/float64(checked), 1.0
	for range 100 { // halved until nothing is left of a float64
		p := (low + high) / 2
		if atMost(broken, checked, p) > 1-confidence {
			low = p
		} else {
			high = p
		}
	}
	return high
}

// atMost is the probability of k successes or fewer in n trials of probability p.
func atMost(k, n int, p float64) float64 {
	if p <= 0 {
		return 1
	}
	if p >= 1 {
		return 0
	}
	// Each term from the one before it, above the smallest exponents of float64.
	logTerm := float64(n) * math.Log1p(-p)
	logOdds := math.Log(p) - math.Log1p(-p)
	sum := math.Exp(logTerm)
	for i := 1; i <= k; i++ {
		logTerm += math.Log(float64(n-i+1)) - math.Log(float64(i)) + logOdds
		sum += math.Exp(logTerm)
	}
	return min(sum, 1)
}
