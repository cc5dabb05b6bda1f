package simulate

import (
	"slices"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
)

// servers are all that serve the method, with the queue that they take from.
type servers struct {
	*world
	queue   []request
	taken   int // of the queue's slice
	running []*run
	stopped bool
}

// run is a request that is being handled.
type run struct {
	request request
	ends    *event
	place   int // among those that run
}

// waiting is how many requests are in the queue.
func (s *servers) waiting() int { return len(s.queue) - s.taken }

// arrive takes a request.
func (s *servers) arrive(r request) {
	switch {
	case s.out(NoRoute):
		r.on(callstate.Event{Kind: callstate.Returned, Attempt: r.attempt, Err: &warren.Error{
			Code: warren.CodeUnavailable, Reason: warren.ReasonNoRoute, Outcome: warren.NotExecuted,
		}})
	case s.out(Refused):
		r.answered(&warren.Error{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, Remote: true})
	case s.Queue > 0 && s.waiting() >= s.Queue:
		r.on(callstate.Event{Kind: callstate.Nacked, Attempt: r.attempt})
	default:
		s.queue = append(s.queue, r)
		s.serve()
	}
}

// serve begins requests while there is room for them.
func (s *servers) serve() {
	for !s.stopped && s.waiting() > 0 && (s.Capacity == 0 || len(s.running) < s.Capacity) {
		next := s.queue[s.taken]
		s.queue[s.taken] = request{}
		if s.taken++; s.taken > len(s.queue)/2 {
			s.queue, s.taken = slices.Delete(s.queue, 0, s.taken), 0
		}
		left := next.deadline.Sub(s.now)
		if left <= 0 {
			s.record.dropped++
			continue
		}
		s.record.executions++
		r := &run{request: next, place: len(s.running)}
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
	switch {
	case !inTime:
	case failed:
		r.request.answered(&warren.Error{Code: s.Errors.Code, Outcome: s.Errors.Outcome, Remote: true})
	default:
		r.request.answered(nil)
	}
	s.serve()
}

// stop takes the servers away. What they were handling is in the queue again, at
// its front.
func (s *servers) stop() {
	s.stopped = true
	back := make([]request, 0, len(s.running))
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
