package pgstore

import (
	"context"
	"sync"
)

// line has requests that wait done together: those that come while others are done are the next to be taken. Who waits
// first does them for all that are taken with it, so that a request that is alone waits for no other goroutine. Its
// methods may be called concurrently.
type line[R any] struct {
	most     int         // how many are done together
	weigh    func(R) int // what a request weighs
	heaviest int         // what those weigh that are done together, unless it is one alone

	mu      sync.Mutex
	waiting []*ticket[R] // nobody, while a worker is free
	free    []func([]R)  // workers with nothing to do; the last is the one that worked last
}

// ticket is a request in the line.
type ticket[R any] struct {
	request R
	taken   bool         // guarded by the line's lock; it is not waiting any more
	turn    chan turn[R] // closed when the request was done
}

// turn is to be taken by the first of the tickets that are done together.
type turn[R any] struct {
	work    func([]R)
	tickets []*ticket[R]
}

// start lets requests be done, by the line whose limits are set, with these workers. Each does several at a time, and notes
// in each what came of it.
func (l *line[R]) start(workers ...func([]R)) { l.free = workers }

// wait returns when the request was done. It returns ctx's error if that ends before the request was begun. A panic of the
// worker is that of who called it; the others' requests are as it left them.
func (l *line[R]) wait(ctx context.Context, request R) error {
	t := &ticket[R]{request: request, turn: make(chan turn[R], 1)}
	l.mu.Lock()
	l.waiting = append(l.waiting, t)
	l.next()
	l.mu.Unlock()
	select {
	case mine, ok := <-t.turn:
		l.take(mine, ok)
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
	mine, ok := <-t.turn
	l.take(mine, ok)
	return nil
}

// take takes a turn, if it is one.
func (l *line[R]) take(mine turn[R], ok bool) {
	if !ok {
		return
	}
	requests := make([]R, len(mine.tickets))
	for i, t := range mine.tickets {
		requests[i] = t.request
	}
	defer l.pass(mine)
	mine.work(requests)
}

// pass ends a turn.
func (l *line[R]) pass(over turn[R]) {
	l.mu.Lock()
	l.free = append(l.free, over.work)
	l.next()
	l.mu.Unlock()
	for _, t := range over.tickets[1:] {
		close(t.turn)
	}
}

// next gives the first that wait their turn, if there are any and a worker is free. The caller holds mu.
func (l *line[R]) next() {
	if len(l.free) == 0 {
		return
	}
	var taken []*ticket[R]
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
	if len(taken) == 0 {
		return
	}
	last := len(l.free) - 1
	taken[0].turn <- turn[R]{l.free[last], taken}
	l.free = l.free[:last]
}
