package gateway

import (
	"errors"
	"io"
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

// take takes n slots or none; free gives them back.
func (s *slots) take(n int) bool {
	if used := s.used.Add(int64(n)); s.most > 0 && used > s.most {
		s.free(n)
		return false
	}
	return true
}

func (s *slots) free(n int) { s.used.Add(-int64(n)) }

// errFull ends what is read past the slots of a metered reader.
var errFull = errors.New("gateway: the bodies of requests have no room left")

// metered takes a slot for each byte that is read.
type metered struct {
	from  io.Reader
	slots *slots
	taken int
}

func (m *metered) Read(p []byte) (int, error) {
	n, err := m.from.Read(p)
	if !m.slots.take(n) {
		return 0, errFull
	}
	m.taken += n
	return n, err
}

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
