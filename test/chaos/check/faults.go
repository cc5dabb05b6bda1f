package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
)

// Span is one fault, from begin to end.
type Span struct {
	Fault    history.Fault
	From, To time.Duration
	// Open says that no end was recorded: To is then that of the history.
	Open bool
}

// faults are those of a history.
type faults struct {
	names  map[string]int
	events []history.Event
	spans  []Span // by From, once they are settled
	kills  []Span
	frozes []Span
}

func newFaults() faults { return faults{names: map[string]int{}} }

func (f *faults) take(e *history.Event) { f.events = append(f.events, *e) }

// settle joins ends to begins. Those of one fault may be in different files.
func (f *faults) settle(last time.Duration) {
	slices.SortStableFunc(f.events, func(a, b history.Event) int { return cmp.Compare(a.At, b.At) })
	for _, e := range f.events {
		if e.Phase == history.PhaseEnd {
			for i := len(f.spans) - 1; i >= 0; i-- {
				s := &f.spans[i]
				if s.Open && s.Fault.Name == e.Fault.Name && s.Fault.Target == e.Fault.Target && s.Fault.ID == e.Fault.ID {
					s.To, s.Open = e.At, false
					break
				}
			}
			continue
		}
		f.names[e.Fault.Name]++
		s := Span{Fault: *e.Fault, From: e.At, To: e.At, Open: e.Phase == history.PhaseBegin}
		if s.Open {
			s.To = last
		}
		f.spans = append(f.spans, s)
	}
	for _, s := range f.spans {
		switch s.Fault.Class {
		case history.Kills:
			f.kills = append(f.kills, s)
		case history.Freezes:
			f.frozes = append(f.frozes, s)
		}
	}
}

// killed reports whether the process was killed after at.
func (f *faults) killed(process string, at time.Duration) bool {
	return slices.ContainsFunc(f.kills, func(s Span) bool {
		return s.To >= at && history.IsProcess(process, s.Fault.Target)
	})
}

// frozen returns how long the process stood still between the two times.
func (f *faults) frozen(process string, from, to time.Duration) (sum time.Duration) {
	for _, s := range f.frozes {
		if !history.IsProcess(process, s.Fault.Target) {
			continue
		}
		// Spans that overlap count once: they are in the order of From.
		if begin, end := max(s.From, from), min(s.To, to); end > begin {
			sum += end - begin
			from = end
		}
	}
	return sum
}

// Intruder is the name of processes that serve with another store than the one that
// knows the calls, and other the fault's.
const (
	Intruder = "intruder"
	other    = "other-store"
)

// memories judges what servers with another store did.
func (j *judge) memories(g *gathered) {
	for n := range max(g.faults.names[other], g.intruded) {
		j.holds(OneMemory, n >= g.intruded, "", func() string { return "a server with another store had an effect" })
	}
}

// recovers judges each fault by when the first call succeeded after it. One that
// met the next fault before its time was up is that one's to answer for, and one
// whose time was cut short by the end of the run, or in which nobody called, nobody's.
func (j *judge) recovers(g *gathered) {
	slices.Sort(g.success)
	slices.Sort(g.begun)
	spans := slices.Clone(g.faults.spans)
	slices.SortStableFunc(spans, func(a, b Span) int { return cmp.Compare(a.To, b.To) })
	for i, s := range spans {
		if s.Open {
			continue
		}
		first := s.To + j.o.Recovery + 1
		if n, _ := slices.BinarySearch(g.success, s.To); n < len(g.success) {
			first = g.success[n]
		}
		took := first - s.To
		if took > j.o.Recovery {
			n, _ := slices.BinarySearch(g.begun, s.To)
			uncalled := n == len(g.begun) || g.begun[n] > s.To+j.o.Recovery
			if uncalled || g.last < s.To+j.o.Recovery || disturbed(spans, i, s.To, s.To+j.o.Recovery) {
				continue
			}
		} else {
			j.recovery = append(j.recovery, took)
		}
		j.holds(Recovers, took <= j.o.Recovery, "", func() string {
			return fmt.Sprintf("no call succeeded within %v of the end of %s %s, at %v", j.o.Recovery, s.Fault.Name, s.Fault.Target, s.To)
		}, g.faults.about(s)...)
	}
}

// disturbed reports whether another fault than that at index i was there in the
// time. That the machine stood still for a moment is none.
func disturbed(spans []Span, i int, from, to time.Duration) bool {
	for n, s := range spans {
		moment := s.Fault.Class == history.Freezes && s.To-s.From < unsettled/10
		if n != i && !moment && s.To > from && s.From < to {
			return true
		}
	}
	return false
}

// about returns the events of a fault.
func (f *faults) about(s Span) (events []history.Event) {
	for _, e := range f.events {
		if e.Fault.Name == s.Fault.Name && e.Fault.Target == s.Fault.Target && (e.At == s.From || e.At == s.To) {
			events = append(events, e)
		}
	}
	return events
}
