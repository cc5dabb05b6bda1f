package policy

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// DrawFrom has the call's waits drawn from random, which returns numbers spread
// evenly over [0, 1), instead of the process's source, which cannot be seeded:
// so a simulation can be repeated. Their distribution and all else stay the
// same. It is called before the first attempt fails, does nothing if the policy
// has no jitter, and allocates.
func (a *Attempts) DrawFrom(random func() float64) {
	if !a.policy.Retry.Jitter {
		return
	}
	bounds := a.policy.Retry
	bounds.Jitter = false
	a.backoff, a.random = drawnBackOff{bounds.backOff(), random}, random
}

// drawnBackOff is full jitter over the bounds that its BackOff tells.
type drawnBackOff struct {
	backoff.BackOff
	random func() float64
}

// NextBackOff implements backoff.BackOff.
func (d drawnBackOff) NextBackOff() time.Duration {
	return time.Duration(d.random() * float64(d.BackOff.NextBackOff()))
}
