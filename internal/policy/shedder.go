package policy

import (
	"math"
	"sync"
	"sync/atomic"
	"time"
)

// Backlog is what waits for the handlers of one method.
type Backlog struct {
	Queued  int // in the queue, handed to nobody
	Servers int // that consume the queue, this one included; less than 1 counts as 1
	Held    int // handed to this server, and not begun
}

// Shedder keeps the wait of one method's requests on one server near a target
// while more come than can be served. It is CoDel's rule on a measured backlog:
// once the wait has been above the target at every measurement for an interval,
// each further one that finds it above has the excess refused: as many requests
// as would have to go for the rest to wait for the target. The oldest go, as they
// have the least time left. The first measurement at or below the target ends it.
//
// The wait is this server's share of the backlog, divided by what its handlers do
// when all are at work: their number by the mean of what they took. It is made
// from this server's own counts and durations; no request's timestamp and no
// other clock enters it. Its assumption is that the servers of a queue are alike:
// one that is slower than the others finds the wait longer, and refuses sooner.
//
// It reads no clock. All methods are safe for concurrent use; none allocates.
type Shedder struct {
	target, interval time.Duration
	handlers         int
	working          atomic.Int32 // handlers at a request

	mu     sync.Mutex
	took   time.Duration // mean of what handlers take; 0: none has ended
	wait   time.Duration // as of the last measurement
	seen   time.Time     // when that was
	since  time.Time     // when the wait was first above the target; zero if it is not
	excess int           // how many are still to be refused
}

const (
	tookWeight     = 32 // of the mean, against one handler's duration
	staleAfter     = 3  // intervals: older measurements are not acted on
	mostRetryAfter = 10 * time.Second
)

// NewShedder returns a shedder for so many handlers at a time. A target of 0 is one
// that no wait is above.
func NewShedder(target, interval time.Duration, handlers int) *Shedder {
	return &Shedder{target: target, interval: interval, handlers: max(handlers, 1)}
}

// Working says that so many more handlers are at a request, or fewer if n is
// negative.
func (s *Shedder) Working(n int) { s.working.Add(int32(n)) }

// Busy reports whether more than half of the handlers are at work. If not, nothing
// waits, and there is no backlog to be measured.
func (s *Shedder) Busy() bool { return 2*int(s.working.Load()) > s.handlers }

// Done tells that a handler has ended, and how long it took.
func (s *Shedder) Done(took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	took = max(took, 1)
	if s.took == 0 {
		s.took = took
		return
	}
	s.took = max(s.took+(took-s.took)/tookWeight, 1)
}

// Observe enters a measurement; one is due each interval. The zero Backlog stands
// for one that need not be measured, as handlers are idle.
func (s *Shedder) Observe(now time.Time, b Backlog) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.stale(now) {
		s.since = time.Time{}
	}
	s.seen, s.excess, s.wait = now, 0, 0
	if s.target == 0 || s.took == 0 {
		return
	}
	share := float64(b.Queued)/float64(max(b.Servers, 1)) + float64(b.Held)
	each := float64(s.took) / float64(s.handlers)
	s.wait = time.Duration(min(share*each, math.MaxInt64/2))
	switch {
	case s.wait <= s.target:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	case now.Sub(s.since) >= s.interval:
		s.excess = int(math.Ceil(share - float64(s.target)/each))
	}
}

// Admit admits the request whose turn it is, or refuses it. retryAfter, of a
// refusal, is the wait that was measured, from the interval to 10 s.
func (s *Shedder) Admit(now time.Time) (retryAfter time.Duration, admitted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.excess <= 0 || s.stale(now) {
		return 0, true
	}
	s.excess--
	return max(s.interval, min(s.wait, mostRetryAfter)), false
}

// stale reports whether the last measurement is too old to be acted on.
func (s *Shedder) stale(now time.Time) bool { return now.Sub(s.seen) > staleAfter*s.interval }
