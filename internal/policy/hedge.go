package policy

import "time"

// HedgeDelay returns how long the first attempt of a call is waited for before
// a second is made, and whether one is made at all: not if the policy is not
// On, nor if it leaves the delay to l and l, which may be nil, has seen fewer
// than 20 calls.
func HedgeDelay(p HedgePolicy, l *Latency) (time.Duration, bool) {
	switch {
	case !p.On:
		return 0, false
	case p.Delay > 0:
		return p.Delay, true
	case l == nil:
		return 0, false
	default:
		return l.P95()
	}
}
