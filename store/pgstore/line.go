package pgstore

import (
	"context"
	"sync"
)

// line has requests that wait done together: those that come while others are done are the next to be taken. Its
// methods may be called concurrently.
type line[R any] struct {
	most     int         // how many are done together
	weigh    func(R) int // what a request weighs
	heaviest int         // what those weigh that are done together, unless it is one alone

	mu      sync.Mutex
	more    sync.Cond // with mu: some wait, or closed
	waiting []*ticket[R]
	closed  bool
	workers sync.WaitGroup
}

// ticket is a request in the line.
type ticket[R any] struct {
	request R
	taken   bool // guarded by the line's lock; it is not waiting any more
	done    chan struct{}
}

// start has requests taken from the line, whose limits are set, until it is closed, by a worker for each function. They do several at a time,
// and note in each what came of it.
func (l *line[R]) start(do ...func([]R)) {
	l.more.L = &l.mu
	for _, f := range do {
		l.workers.Go(func() { l.work(f) })
	}
}

// wait returns when the request was done. It returns ctx's error if that ends before the request was begun.
func (l *line[R]) wait(ctx context.Context, request R) error {
	t := &ticket[R]{request: request, done: make(chan struct{})}
	l.mu.Lock()
	l.waiting = append(l.waiting, t)
	l.mu.Unlock()
	l.more.Signal()
	select {
	case <-t.done:
		return nil
	case <-ctx.Done():
	}
	l.mu.Lock()
	dropped := !t.taken
	t.taken = true
	l.mu.Unlock()
	if dropped {
		return ctx.Err()
	}
	<-t.done
	return nil
}

func (l *line[R]) work(do func([]R)) {
	for {
		taken := l.take()
		if taken == nil {
			return
		}
		requests := make([]R, len(taken))
		for i, t := range taken {
			requests[i] = t.request
		}
		do(requests)
		for _, t := range taken {
			close(t.done)
		}
	}
}

// take returns those that wait, once some do; nil if the line is closed and nobody does.
func (l *line[R]) take() (taken []*ticket[R]) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(taken) == 0 {
		for len(l.waiting) == 0 {
			if l.closed {
				return nil
			}
			l.more.Wait()
		}
		n, weight := 0, 0
		for n < len(l.waiting) && len(taken) < l.most {
			if t := l.waiting[n]; !t.taken {
				weight += l.weigh(t.request)
				if len(taken) > 0 && weight > l.heaviest {
					break
				}
				t.taken = true
				taken = append(taken, t)
			}
			n++
		}
		l.waiting = l.waiting[n:]
	}
	if len(l.waiting) > 0 {
		l.more.Signal()
	}
	return taken
}

// close returns when all that wait were done. No more must come.
func (l *line[R]) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.more.Broadcast()
	l.workers.Wait()
}
