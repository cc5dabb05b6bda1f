package policy

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// FullJitter returns a backoff whose n-th wait, counted from 0, is drawn
// uniformly from [0, min(most, first·2ⁿ)]. It never gives up: bound it by
// attempts or by a deadline. It is not safe for concurrent use; Reset starts it
// over.
//
// backoff/v4 draws from interval·[1−r, 1+r]; with r = 1 that is [0, 2·interval],
// hence the halves.
func FullJitter(first, most time.Duration) backoff.BackOff {
	return exponential(min(first, most)/2, most/2, 1)
}

// exponential doubles first up to most, and spreads each interval by the factor. The
// library's own default of giving up after 15 minutes is turned off.
func exponential(first, most time.Duration, spread float64) backoff.BackOff {
	return backoff.NewExponentialBackOff(
		// The library caps every wait but the first.
		backoff.WithInitialInterval(min(first, most)),
		backoff.WithMaxInterval(most),
		backoff.WithMultiplier(2),
		backoff.WithRandomizationFactor(spread),
		backoff.WithMaxElapsedTime(0),
	)
}
