package simulate

import (
	"slices"

	"github.com/warren-rpc/warren"
)

// servers are all that serve the method, with the queue that they take from.
type servers struct {
	*world
	queue   []*attempt
	taken   int // of the queue's slice
	running []*run
	stopped bool
}

// run is a request that is being handled.
type run struct {
	request *attempt
	ends    *event
	place   int // among those that run
}

// waiting is how many requests are in the queue.
func (s *servers) waiting() int { return len(s.queue) - s.taken }

// arrive takes a request.
func (s *servers) arrive(a *attempt) {
	switch {
	case s.out(NoRoute):
		a.returned()
	case s.out(Refused):
		a.call.answered(a, &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, Remote: true})
	case s.Queue > 0 && s.waiting() >= s.Queue:
		a.nacked()
	default:
		s.queue = append(s.queue, a)
		s.serve()
	}
}

// serve begins requests while there is room for them.
func (s *servers) serve() {
	for !s.stopped && s.waiting() > 0 && (s.Capacity == 0 || len(s.running) < s.Capacity) {
		a := s.queue[s.taken]
		s.queue[s.taken] = nil
		if s.taken++; s.taken > len(s.queue)/2 {
			s.queue, s.taken = slices.Delete(s.queue, 0, s.taken), 0
		}
		left := a.call.deadline.Sub(s.now)
		if left <= 0 {
			s.record.dropped++
			continue
		}
		s.record.executions++
		r := &run{request: a, place: len(s.running)}
		took := s.Latency.draw(s.dice.handlers)
		r.ends = s.after(min(took, left), func() { s.end(r, took < left) })
		s.running = append(s.running, r)
	}
}

// end answers a request, unless its handler was stopped by the deadline.
func (s *servers) end(r *run, inTime bool) {
	last := len(s.running) - 1
	s.running[r.place], s.running[last].place = s.running[last], r.place
	s.running[last] = nil
	s.running = s.running[:last]
	failed := s.Errors.Ratio > 0 && s.dice.handlers.Float64() < s.Errors.Ratio
	switch a := r.request; {
	case !inTime:
	case failed:
		a.call.answered(a, &warren.Error{Code: s.Errors.Code, Outcome: s.Errors.Outcome, Remote: true})
	default:
		a.call.answered(a, nil)
	}
	s.serve()
}

// stop takes the servers away. What they were handling is in the queue again, at
// its front.
func (s *servers) stop() {
	s.stopped = true
	back := make([]*attempt, 0, len(s.running))
	for _, r := range s.running {
		r.ends.cancel()
		back = append(back, r.request)
	}
	s.queue, s.taken = append(back, s.queue[s.taken:]...), 0
	s.running = nil
}

// start brings them back.
func (s *servers) start() {
	s.stopped = false
	s.serve()
}
