package check

import (
	"slices"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// Timeline is how a run went, second by second.
type Timeline struct {
	// Seconds are all of the run, from its start to the last end of a call.
	Seconds []Second
	// Faults are ordered by when they began.
	Faults []Span
}

// Second tells of the calls that ended in one second.
type Second struct {
	Succeeded, NotExecuted, Executed, Unknown int // the last three: of those that failed
	// P50 and P99 are of how long they took, whatever they ended in; 0 if none ended.
	P50, P99 time.Duration
}

// Ended is how many calls ended.
func (s Second) Ended() int { return s.Succeeded + s.NotExecuted + s.Executed + s.Unknown }

// timeline gathers a Timeline.
type timeline struct {
	seconds map[int]*second
	last    int
}

type second struct {
	Second
	took []time.Duration
}

// longest is the longest run that is shown by the second; what ends later is shown
// in the last.
const longest = 7 * 24 * time.Hour

func (t *timeline) end(e *history.Event) {
	n := int(min(max(e.At, 0), longest) / time.Second)
	if t.seconds == nil {
		t.seconds = map[int]*second{}
	}
	s := t.seconds[n]
	if s == nil {
		s = &second{}
		t.seconds[n] = s
	}
	t.last = max(t.last, n)
	s.took = append(s.took, e.Took)
	switch {
	case e.OK:
		s.Succeeded++
	case e.Outcome == warren.NotExecuted:
		s.NotExecuted++
	case e.Outcome == warren.Executed:
		s.Executed++
	default:
		s.Unknown++
	}
}

func (t *timeline) done(spans []Span) Timeline {
	line := Timeline{Faults: spans}
	if len(t.seconds) == 0 {
		return line
	}
	line.Seconds = make([]Second, t.last+1)
	for n, s := range t.seconds {
		slices.Sort(s.took)
		s.P50, s.P99 = s.took[(len(s.took)-1)/2], s.took[(len(s.took)-1)*99/100]
		line.Seconds[n] = s.Second
	}
	return line
}
