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

// atMost is the probability of k successes or fewer in n trials of probability p,
// which is not less than k/n.
func atMost(k, n int, p float64) float64 {
	if p >= 1 {
		return 0
	}
	lgamma := func(n int) float64 { l, _ := math.Lgamma(float64(n)); return l }
	term := math.Exp(lgamma(n+1) - lgamma(k+1) - lgamma(n-k+1) +
		float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	// From the largest term down, each from the one before, until they add nothing.
	sum := 0.0
	for i := k; i >= 0 && term > sum*1e-17; i-- {
		sum += term
		term *= float64(i) / float64(n-i+1) * (1 - p) / p
	}
	return min(sum, 1)
}
