package gateway

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// slots bound what is at work. The zero value has no bound.
type slots struct {
	most int64
	used atomic.Int64
}

// take takes a slot, which free gives back.
func (s *slots) take() bool {
	if n := s.used.Add(1); s.most > 0 && n > s.most {
		s.used.Add(-1)
		return false
	}
	return true
}

func (s *slots) free() { s.used.Add(-1) }

// bucket is a token bucket.
type bucket struct {
	perSecond, burst float64

	mu     sync.Mutex
	tokens float64
	last   time.Time
}

func newBucket(r Rate) *bucket {
	burst := float64(r.Burst)
	if r.Burst == 0 {
		burst = math.Ceil(r.PerSecond)
	}
	return &bucket{perSecond: r.PerSecond, burst: burst, tokens: burst}
}

// take takes a token; if there is none, it returns how long one takes to come.
func (b *bucket) take(now time.Time) (wait time.Duration, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.last.IsZero() {
		b.tokens = min(b.burst, b.tokens+max(now.Sub(b.last).Seconds(), 0)*b.perSecond)
	}
	b.last = now
	if b.tokens >= 1 {
		b.tokens--
		return 0, true
	}
	return time.Duration(math.Ceil((1 - b.tokens) / b.perSecond * float64(time.Second))), false
}
