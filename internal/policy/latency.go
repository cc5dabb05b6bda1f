package policy

import (
	"math/bits"
	"sync"
	"time"
)

const (
	latencyCalls  = 1000 // what is forgotten at once
	latencyFew    = 20   // too few to tell
	latencySteps  = 16   // per doubling
	latencyLimit  = 1<<37 - 1
	latencyLength = 34 * latencySteps
)

// Latency estimates the 95th percentile of a method's latency from its last
// 1000 to 2000 calls: they are counted in two halves, and once the newer half
// has 1000, the older is forgotten. What it tells is never below the
// percentile, and above it by at most a sixteenth and 1 µs.
// Latencies above 38 h count as 38 h, negative ones as 0.
//
// It takes 5 KiB. The zero Latency is ready; it must not be copied after first
// use. Its methods are safe for concurrent use, hold their lock for less than a
// microsecond, and do not allocate once a call has been observed.
type Latency struct {
	mu    sync.Mutex
	newer *[latencyLength]uint32 // nil until the first call
	older *[latencyLength]uint32
	full  int // calls in newer
	all   int // calls in both
}

// Observe counts one call that took d.
func (l *Latency) Observe(d time.Duration) {
	i := latencyStep(d)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.newer == nil {
		l.newer, l.older = new([latencyLength]uint32), new([latencyLength]uint32)
	}
	if l.full == latencyCalls {
		l.newer, l.older = l.older, l.newer
		*l.newer = [latencyLength]uint32{}
		l.all, l.full = l.full, 0
	}
	l.newer[i]++
	l.full++
	l.all++
}

// P95 returns the estimate, and false as long as fewer than 20 calls have been
// observed.
func (l *Latency) P95() (time.Duration, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.all < latencyFew {
		return 0, false
	}
	left := (l.all*95 + 99) / 100 // calls up to the percentile
	step := -1
	for left > 0 {
		step++
		left -= int(l.newer[step] + l.older[step])
	}
	return latencyTop(step), true
}

// latencyStep returns the number of the step that d falls into: steps of 1 µs
// up to 32 µs, and from there 16 to each doubling.
func latencyStep(d time.Duration) int {
	us := uint64(max(d, 0)) / 1000
	if d > 0 && d%1000 != 0 {
		us++
	}
	us = min(us, latencyLimit)
	shift := max(bits.Len64(us)-5, 0)
	return shift*latencySteps + int(us>>shift)
}

// latencyTop returns the longest time that falls into the step.
func latencyTop(step int) time.Duration {
	shift := max(step/latencySteps-1, 0)
	mantissa := step - shift*latencySteps
	return time.Duration((mantissa+1)<<shift-1) * time.Microsecond
}
