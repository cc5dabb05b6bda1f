package server

import (
	"sync"
	"time"
)

// seldom keeps strangers from filling the log: of what they can cause as often as
// they like, one line is written in a while.
type seldom struct {
	mu   sync.Mutex
	next time.Time
	kept int
}

// logEvery is the time between two such lines.
const logEvery = 10 * time.Second

// now reports whether a line is due, and how many have been kept back before it.
func (s *seldom) now() (kept int, due bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	if now.Before(s.next) {
		s.kept++
		return 0, false
	}
	kept, s.kept, s.next = s.kept, 0, now.Add(logEvery)
	return kept, true
}
