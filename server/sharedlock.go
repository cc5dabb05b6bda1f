package server

import (
	"context"
	"sync"
)

// sharedLock is held by many, or by one alone. Unlike that for a sync.RWMutex, the wait
// for it ends with a context: who waits to have it alone, and thereby keeps all others
// out, does so no longer than its own deadline. (Two semaphores do the same in fewer
// lines, and take ten times as long.)
type sharedLock struct {
	mu        sync.Mutex
	holders   int
	exclusive bool          // the one holder has it alone
	waiting   int           // for it to be theirs alone: nobody else gets it meanwhile
	changed   chan struct{} // closed when one of these has changed; nil if nobody waits
}

// lock waits for the lock, and reports whether the caller has it. It does not if ctx
// ends first.
func (l *sharedLock) lock(ctx context.Context, alone bool) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if alone {
		l.waiting++
		defer func() {
			l.waiting--
			l.wake()
		}()
	}
	for l.exclusive || alone && l.holders > 0 || !alone && l.waiting > 0 {
		if l.changed == nil {
			l.changed = make(chan struct{})
		}
		changed := l.changed
		l.mu.Unlock()
		select {
		case <-changed:
			l.mu.Lock()
		case <-ctx.Done():
			l.mu.Lock()
			return false
		}
	}
	l.holders++
	l.exclusive = alone
	return true
}

func (l *sharedLock) unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.holders--
	l.exclusive = false
	l.wake()
}

// wake has those who wait look again. mu is held.
func (l *sharedLock) wake() {
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}
