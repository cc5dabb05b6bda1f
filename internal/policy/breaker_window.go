package policy

import "time"

const breakerBuckets = 10

// breakerWindow counts calls over a length of time that rolls on in buckets of
// a tenth: it holds those of the current bucket, which is not full yet, and of
// the nine before it. Its buckets begin with the first call after a reset. While
// it holds probes it stands still, however long these take.
type breakerWindow struct {
	length  time.Duration
	still   bool
	begun   bool
	start   time.Time // of bucket 0
	head    int64     // number of the current bucket since start
	buckets [breakerBuckets]Counts
	sum     Counts
}

func (w *breakerWindow) add(now time.Time, failed, slow bool) {
	if !w.begun {
		w.begun, w.start = true, now
	}
	w.roll(now)
	for _, c := range []*Counts{&w.sum, &w.buckets[w.head%breakerBuckets]} {
		c.Calls++
		if failed {
			c.Failures++
		}
		if slow {
			c.Slow++
		}
	}
}

func (w *breakerWindow) counts(now time.Time) Counts {
	w.roll(now)
	return w.sum
}

// roll moves on to the bucket of that time and forgets those that it leaves
// behind. A time before the current bucket is of a goroutine that was
// overtaken: it counts as now.
func (w *breakerWindow) roll(now time.Time) {
	if !w.begun || w.still {
		return
	}
	current := int64(now.Sub(w.start) / max(w.length/breakerBuckets, 1))
	if current-w.head >= breakerBuckets {
		w.sum, w.buckets = Counts{}, [breakerBuckets]Counts{}
		w.head = current
	}
	for w.head < current {
		w.head++
		old := &w.buckets[w.head%breakerBuckets]
		w.sum.Calls -= old.Calls
		w.sum.Failures -= old.Failures
		w.sum.Slow -= old.Slow
		*old = Counts{}
	}
}

func (w *breakerWindow) reset() { *w = breakerWindow{length: w.length, still: w.still} }
