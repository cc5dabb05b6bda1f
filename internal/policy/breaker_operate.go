package policy

import "time"

// Force holds the breaker in ForcedOpen or ForcedClosed until Release or
// another Force, whatever its policy says, Off included. Results of calls that
// are in flight are ignored, and Counts begin again. Any other state, and that
// which it is forced into already, is ignored.
func (b *Breaker) Force(now time.Time, s State) {
	b.mu.Lock()
	defer b.unlock()
	if s != ForcedOpen && s != ForcedClosed || s == b.state {
		return
	}
	b.settle(now)
	b.enter(s, now)
	b.machine = newBreakerMachine(b, s == ForcedOpen)
}

// Release lets go of a forced breaker. From ForcedOpen it goes on half open,
// because nobody has tried the method meanwhile (closed, if its policy is Off);
// from ForcedClosed it goes on closed. Results of calls that are in flight are
// ignored, and Counts begin again. A breaker that is not forced is left alone.
func (b *Breaker) Release(now time.Time) {
	b.mu.Lock()
	defer b.unlock()
	switch b.state {
	case ForcedOpen:
		if !b.policy.Off {
			b.enter(HalfOpen, now) // its machine was opened by Force
			return
		}
	case ForcedClosed:
	case Closed, HalfOpen, Open:
		return
	}
	b.enter(Closed, now)
	b.machine = newBreakerMachine(b, false)
}

// Update replaces the policy and keeps the state, with these exceptions. To
// turn the breaker Off closes it, unless it is forced, and results of calls in
// flight are ignored. Another Window begins empty; probes stay counted. Another Open holds for the
// open period that is running, counted from its start. Another number of Probes
// while the breaker is half open begins with new ones, and the results of those
// that are out are ignored.
func (b *Breaker) Update(now time.Time, p BreakerPolicy) {
	b.mu.Lock()
	defer b.unlock()
	b.settle(now)
	old := b.policy
	b.policy = p
	if p.Window != old.Window {
		b.window.length = p.Window
		if !b.window.still {
			b.window.reset()
		}
	}
	switch b.state {
	case Open, HalfOpen:
		if p.Off {
			b.enter(Closed, now)
			b.machine = newBreakerMachine(b, false)
			return
		}
		b.replaceProbes()
	case ForcedOpen:
		b.replaceProbes()
	case Closed, ForcedClosed:
		// Another number of probes matters once it opens; see changed.
		if p.Off && !old.Off {
			b.machine = newBreakerMachine(b, false)
		}
	}
}

func (b *Breaker) replaceProbes() {
	if b.machine.probes != b.policy.Probes {
		b.machine = newBreakerMachine(b, true)
		b.window.reset()
	}
}
