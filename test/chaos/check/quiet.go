package check

import (
	"fmt"
	"maps"
	"slices"

	"github.com/warren-rpc/warren/test/chaos/history"
)

// samples are the first and last of each process and the last of each queue.
type samples struct {
	begin, end map[string]history.Event // by process
	queues     map[string]history.Event // at the end
}

func newSamples() samples {
	return samples{begin: map[string]history.Event{}, end: map[string]history.Event{}, queues: map[string]history.Event{}}
}

// take keeps the earliest begin and the latest end.
func (s *samples) take(e *history.Event) {
	name, latest := e.Sample.Of, s.end
	switch {
	case e.Phase == history.PhaseBegin:
		if had, ok := s.begin[name]; !ok || e.At < had.At {
			s.begin[name] = *e
		}
		return
	case e.Phase != history.PhaseEnd:
		return
	case e.Sample.Queue != "":
		name, latest = e.Sample.Queue, s.queues
	}
	if had, ok := latest[name]; !ok || e.At >= had.At {
		latest[name] = *e
	}
}

// quiet judges what is left when all is over.
func (j *judge) quiet(g *gathered) {
	s := &g.samples
	for _, queue := range slices.Sorted(maps.Keys(s.queues)) {
		e := s.queues[queue]
		j.holds(QueuesDrained, e.Sample.Depth == 0, "", func() string {
			return fmt.Sprintf("queue %s holds %d messages", queue, e.Sample.Depth)
		}, e)
	}
	for _, process := range slices.Sorted(maps.Keys(s.end)) {
		end := s.end[process]
		begin, ok := s.begin[process]
		if !ok || process == "" {
			continue
		}
		// A figure that was not taken is 0 at both ends.
		j.back(GoroutinesBack, begin, end, func(s *history.Sample) int64 { return int64(s.Goroutines) }, int64(j.o.Goroutines))
		j.back(DescriptorsBack, begin, end, func(s *history.Sample) int64 { return int64(s.Descriptors) }, int64(j.o.Descriptors))
		j.back(HeapBack, begin, end, func(s *history.Sample) int64 { return s.Heap }, j.o.Heap)
	}
}

func (j *judge) back(name Name, begin, end history.Event, figure func(*history.Sample) int64, allowed int64) {
	from, to := figure(begin.Sample), figure(end.Sample)
	if from == 0 || to == 0 {
		return
	}
	j.holds(name, to <= from+allowed, "", func() string {
		return fmt.Sprintf("%s had %d at its start and has %d at its end; %d more are allowed", end.Sample.Of, from, to, allowed)
	}, begin, end)
}
