package server

import "context"

// sharedLock is held by many, or by one alone. Unlike that for a sync.RWMutex, the wait
// for it ends with a context: who waits to have it alone, and thereby keeps all others
// out, does so no longer than its own deadline.
type sharedLock struct {
	turnstile chan struct{} // all pass it; who wants the lock alone holds it meanwhile
	shares    chan struct{}
}

// newSharedLock returns a lock that so many may hold at a time.
func newSharedLock(most int) sharedLock {
	return sharedLock{make(chan struct{}, 1), make(chan struct{}, most)}
}

// lock waits for one share of the lock, or for all of them, and reports whether the
// caller has them. It has none if ctx ends first.
func (l *sharedLock) lock(ctx context.Context, alone bool) bool {
	if !take(ctx, l.turnstile, 1) {
		return false
	}
	defer func() { <-l.turnstile }()
	return take(ctx, l.shares, l.part(alone))
}

func (l *sharedLock) unlock(alone bool) {
	for range l.part(alone) {
		<-l.shares
	}
}

func (l *sharedLock) part(alone bool) int {
	if alone {
		return cap(l.shares)
	}
	return 1
}

// take puts n tokens into the semaphore, and reports whether it has: none if ctx ends
// first.
func take(ctx context.Context, semaphore chan struct{}, n int) bool {
	for i := range n {
		select {
		case semaphore <- struct{}{}:
		case <-ctx.Done():
			for range i {
				<-semaphore
			}
			return false
		}
	}
	return true
}
