package server

import (
	"sync"
	"time"
)

// logLimit keeps strangers from filling the log: of what they can cause as often as
// they like, one line is written in a while.
type logLimit struct {
	mu   sync.Mutex
	next time.Time
	kept int
}

// logEvery is the time between two such lines.
const logEvery = 10 * time.Second

// due reports whether a line is due, and how many have been kept back before it.
func (l *logLimit) due() (kept int, due bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if now.Before(l.next) {
		l.kept++
		return 0, false
	}
	kept, l.kept, l.next = l.kept, 0, now.Add(logEvery)
	return kept, true
}
