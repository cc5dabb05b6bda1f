package simulate

import (
	"math"
	"math/rand/v2"
	"time"
)

// dice are the random numbers of a simulation, apart by what they decide: so two
// policies meet the same calls, at the same times.
type dice struct {
	arrivals, handlers, waits, links *rand.Rand
}

func newDice(seed uint64) dice {
	stream := func(n uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, n)) }
	return dice{arrivals: stream(1), handlers: stream(2), waits: stream(3), links: stream(4)}
}

// gap is the time between two calls of that rate per second.
func (d *dice) gap(rate float64) time.Duration {
	return seconds(d.arrivals.ExpFloat64() / rate)
}

// z99 is how many standard deviations the 99th percentile of the normal
// distribution lies above its median.
const z99 = 2.3263478740408408

// draw returns how long a handler takes.
func (l *Latency) draw(rng *rand.Rand) time.Duration {
	switch l.Shape {
	case Exponential:
		return seconds(l.P50.Seconds() * rng.ExpFloat64() / math.Ln2)
	case LogNormal:
		sigma := math.Log(float64(l.P99)/float64(l.P50)) / z99
		return seconds(l.P50.Seconds() * math.Exp(sigma*rng.NormFloat64()))
	case Fixed:
		return l.P50
	default:
		return l.P50
	}
}

// seconds is at most a day, so that sums of a few stay durations.
func seconds(s float64) time.Duration {
	return time.Duration(min(s, day.Seconds()) * float64(time.Second))
}

// The pause before a connection is tried again is full jitter from 50 ms to 2 s:
// warren.Broker's defaults.
const (
	firstReconnect = 50 * time.Millisecond
	mostReconnect  = 2 * time.Second
)

// reconnect is how long after the broker's return a connection is there again,
// which was lost when the broker went away.
func (d *dice) reconnect(outage time.Duration) time.Duration {
	bound, at := firstReconnect, time.Duration(0)
	for at < outage {
		at += time.Duration(d.links.Float64() * float64(bound))
		bound = min(2*bound, mostReconnect)
	}
	return at - outage
}
