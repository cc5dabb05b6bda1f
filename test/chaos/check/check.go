package check

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
)

// maxEvents is how many events an example shows.
const maxEvents = 50

// Check judges a history, which it iterates over twice and which must be the same
// both times: its processes have ended. The error is the history's, or that a
// visualisation could not be written; what is broken is in the report.
func Check(events history.Events, o Options) (*Report, error) {
	o = o.withDefaults()
	g := newGathered(o)
	for e, err := range events {
		if err != nil {
			return nil, err
		}
		if err := g.take(&e); err != nil {
			return nil, err
		}
	}
	g.faults.settle(g.last)

	j := newJudge(o)
	j.calls(g)
	j.quiet(g)
	j.recovers(g)
	j.memories(g)
	j.takeovers(g)
	j.bank(g)
	files, err := j.registers(g)
	if err != nil {
		return nil, err
	}
	if err := j.show(events); err != nil {
		return nil, err
	}

	r := &g.report
	r.Duration, r.ClockSkew, r.Visualisations = g.last, g.skew(), files
	r.Recovery, r.Faults = j.recovery, g.faults.names
	r.Timeline = g.timeline.done(g.faults.spans)
	r.Verdict = OK
	if r.Calls == 0 {
		r.Verdict = Broken
	}
	for _, p := range promises {
		i := j.invariants[p.name]
		i.Upper = upper(i.Broken, i.Checked)
		if !i.OK() {
			r.Verdict = Broken
		}
		r.Invariants = append(r.Invariants, *i)
	}
	return r, nil
}

// judge counts for each invariant what holds and what does not.
type judge struct {
	o          Options
	invariants map[Name]*Invariant
	recovery   []time.Duration
}

func newJudge(o Options) *judge {
	j := &judge{o: o, invariants: map[Name]*Invariant{}}
	for _, p := range promises {
		j.invariants[p.name] = &Invariant{Name: p.name, Promise: p.promise, Required: slices.Contains(o.Require, p.name)}
	}
	return j
}

// holds counts a case and, if it does not hold, makes an example of it. It is told
// by what only then.
func (j *judge) holds(name Name, ok bool, callID string, what func() string, about ...history.Event) {
	i := j.invariants[name]
	i.Checked++
	if !ok {
		i.Broken++
		j.example(i, callID, what(), about)
	}
}

// undecided counts a case that could not be judged.
func (j *judge) undecided(name Name, what string) {
	i := j.invariants[name]
	i.Undecided++
	j.example(i, "", what, nil)
}

func (j *judge) example(i *Invariant, callID, what string, about []history.Event) {
	if len(i.Examples) < j.o.Examples {
		x := Example{CallID: callID, What: what, Events: slices.Clone(about)}
		if callID != "" {
			x.calls = []string{callID}
		}
		i.Examples = append(i.Examples, x)
	}
}

// show reads the history again for the events of the calls that examples are about.
func (j *judge) show(events history.Events) error {
	wanted := map[string][]history.Event{}
	for _, i := range j.invariants {
		for _, x := range i.Examples {
			for _, id := range x.calls {
				wanted[id] = nil
			}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	for e, err := range events {
		if err != nil {
			return err
		}
		if list, is := wanted[e.CallID]; is {
			wanted[e.CallID] = append(list, e)
		}
	}
	for _, i := range j.invariants {
		for n := range i.Examples {
			x := &i.Examples[n]
			for _, id := range x.calls {
				x.Events = append(x.Events, wanted[id]...)
			}
			slices.SortStableFunc(x.Events, func(a, b history.Event) int { return cmp.Compare(a.At, b.At) })
			if all := len(x.Events); all > maxEvents {
				x.What += fmt.Sprintf(" (the first %d of %d events)", maxEvents, all)
				x.Events = slices.Clone(x.Events[:maxEvents])
			}
		}
	}
	return nil
}
