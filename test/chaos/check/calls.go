package check

import (
	"fmt"
	"slices"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// calls judges what callers were told by what was done.
func (j *judge) calls(g *gathered) {
	for _, c := range g.order {
		j.ends(g, c)
		if c.made > 0 {
			j.effects(c)
			j.answers(c)
			j.unserved(g, c)
			j.refused(g, c)
			j.answered(g, c)
			j.parked(g, c)
			j.resolved(c)
		}
		j.origin(c)
	}
}

// once reports whether the mode promises that nothing is done twice.
func once(m server.Mode) bool { return m == server.AtMostOnce || m == server.Transactional }

// ends judges each time that the call was made.
func (j *judge) ends(g *gathered, c *call) {
	for i := range c.invocations {
		v := &c.invocations[i]
		if v.calls == 1 && v.ends == 0 && g.faults.killed(v.process, v.at) {
			continue
		}
		j.holds(EndsOnce, v.calls == 1 && v.ends == 1, c.id, func() string {
			return fmt.Sprintf("call %d of %s began %d times and ended %d times", v.number, v.process, v.calls, v.ends)
		})
		if v.calls == 0 || v.ends == 0 || v.deadline == 0 {
			continue
		}
		frozen := g.faults.frozen(v.process, v.at, v.ended)
		late := v.ended - v.deadline
		j.holds(EndsInTime, late <= j.o.Grace+frozen, c.id, func() string {
			return fmt.Sprintf("it ended %v after its deadline; %v is allowed", late, j.o.Grace+frozen)
		})
	}
}

// evidence is what all that was told of a call says of its effects.
type evidence struct {
	succeeded bool
	outcome   warren.Outcome
	noEffect  bool // it changes nothing, or did not when it was answered
}

func (c *call) evidence() evidence {
	t := evidence{noEffect: c.readOnly}
	first := true
	for i := range c.invocations {
		v := &c.invocations[i]
		if v.calls == 0 {
			continue
		}
		outcome := v.outcome
		switch {
		case v.ends == 0:
			outcome = warren.Unknown
		case v.ok:
			outcome, t.succeeded = warren.Executed, true
			// At-least-once, an earlier run may have done what the one that was answered
			// found done.
			t.noEffect = t.noEffect || v.noEffect && c.mode != server.AtLeastOnce && c.mode != server.NotDeduped
		}
		if first {
			t.outcome, first = outcome, false
		} else {
			t.outcome = t.outcome.Join(outcome)
		}
	}
	return t
}

func (j *judge) effects(c *call) {
	t := c.evidence()
	count := func() string { return fmt.Sprintf("%s: it has %d effects", c.mode, c.effects) }
	switch {
	case t.succeeded && t.noEffect:
		j.holds(SuccessHasEffect, c.effects == 0, c.id, count)
	case t.succeeded && once(c.mode):
		j.holds(SuccessHasEffect, c.effects == 1, c.id, count)
	case t.succeeded:
		// One that was answered as having changed nothing need have no effect, though
		// an earlier run may have had one.
		if !slices.ContainsFunc(c.invocations, func(v invocation) bool { return v.ok && v.noEffect }) {
			j.holds(SuccessHasEffect, c.effects >= 1, c.id, count)
		}
	case t.outcome == warren.NotExecuted && c.copied:
		// Whoever refuses a request knows nothing of copies of it that others have made.
	case t.outcome == warren.NotExecuted:
		j.holds(NotExecutedHasNone, c.effects == 0, c.id, count)
	case once(c.mode):
		j.holds(UnknownAtMostOne, c.effects <= 1, c.id, count)
	}
	for i := range c.resolutions {
		if r := &c.resolutions[i]; r.state != string(client.InProgress) {
			ok, what := c.agrees(r, t)
			j.holds(ResolveAgrees, ok, c.id, func() string {
				return fmt.Sprintf("%s: resolved as %s, %v: %s", c.mode, r.state, r.outcome, what)
			})
		}
	}
}

// agrees compares what Resolve said with what was done and told otherwise, before
// and after.
func (c *call) agrees(r *resolution, t evidence) (ok bool, what string) {
	what = fmt.Sprintf("it has %d effects", c.effects)
	switch client.ResolutionState(r.state) {
	case client.Completed:
		switch {
		case c.readOnly || r.noEffect && once(c.mode):
			return c.effects == 0, what
		case r.noEffect:
			return true, ""
		case once(c.mode):
			return c.effects == 1, what
		default:
			return c.effects >= 1, what
		}
	case client.Failed:
		if r.outcome == warren.NotExecuted {
			return c.effects == 0, what
		}
		return c.effects <= 1 || !once(c.mode), what
	case client.Canceled:
		switch {
		case t.succeeded:
			return false, "it succeeded"
		case r.outcome == warren.NotExecuted:
			return c.effects == 0, what
		case c.mode == server.Transactional && c.effects > 0 && c.lastEffect > r.at:
			return false, fmt.Sprintf("it had an effect %v later", (c.lastEffect - r.at).Round(time.Microsecond))
		default:
			return true, ""
		}
	case client.InProgress:
		return true, ""
	default:
		return false, "there is no such state"
	}
}

// origin judges the call's effects by whether it was made.
func (j *judge) origin(c *call) {
	made := c.made > 0 && !slices.ContainsFunc(c.methods, func(m string) bool { return m != c.method })
	for range c.effects {
		j.holds(EffectHasCall, made, c.id, func() string {
			if c.made == 0 {
				return "there is an effect and no such call"
			}
			return fmt.Sprintf("the call is of %s, and there are effects of %q", c.method, c.methods)
		})
	}
}

// answers judges what the call was answered: whether it was meant, and whether it
// was always the same.
func (j *judge) answers(c *call) {
	// What was answered afresh may differ from what was recorded where the handler
	// can run again.
	var reference digest
	same := func(d digest, again bool) {
		switch {
		case d == (digest{}) || !again && !once(c.mode):
		case reference == (digest{}):
			reference = d
		default:
			j.holds(ReplayIdentical, d == reference, c.id, func() string {
				return fmt.Sprintf("answered with digest %x and with %x", reference[:4], d[:4])
			})
		}
	}
	for i := range c.invocations {
		v := &c.invocations[i]
		if v.ok || v.replayed {
			same(v.digest, v.replayed)
		}
		if v.ok {
			j.belongs(c, v.echoed, v.astray, v.digest)
		}
	}
	for i := range c.resolutions {
		r := &c.resolutions[i]
		same(r.digest, true)
		j.belongs(c, r.echoed, r.astray, digest{})
	}
}

func (j *judge) belongs(c *call, echoed, astray bool, d digest) {
	if given := d != (digest{}) && len(c.did) > 0; given {
		astray = astray || !slices.Contains(c.did, d)
	} else if !echoed {
		return
	}
	j.holds(ReplyBelongs, !astray, c.id, func() string {
		return fmt.Sprintf("the reply with digest %x is not one that was given to this call", d[:4])
	})
}

// unserved judges calls of methods that nobody serves. What befalls servers alone
// is no excuse, nor is a moment in which the machine stood still.
func (j *judge) unserved(g *gathered, c *call) {
	for i := range c.invocations {
		v := &c.invocations[i]
		if !v.unserved || v.ends == 0 || g.excused(v, away) {
			continue
		}
		j.holds(UnservedIsTold, !v.ok && v.outcome == warren.NotExecuted, c.id, func() string {
			return fmt.Sprintf("nobody serves %s, and the call ended as %v", c.method, v.outcome)
		})
	}
}

// away reports whether a fault keeps clients from what the broker says.
func away(s Span) bool { return s.Fault.Target == "broker" || s.Fault.Target == "clients" }

// refused judges calls whose request the broker does not take: it says so at once.
func (j *judge) refused(g *gathered, c *call) {
	for i := range c.invocations {
		v := &c.invocations[i]
		if !v.refused || v.ends == 0 || g.excused(v, away) {
			continue
		}
		j.holds(RefusedIsTold, !v.ok && !v.timedOut && v.ended < v.deadline, c.id, func() string {
			return fmt.Sprintf("the broker refuses it, and the call ended %v before its deadline, as %v", v.deadline-v.ended, v.outcome)
		})
	}
}

// harmless are faults that a call must survive: those of servers, which come back
// at once, and those that should make no difference.
var harmless = []string{death, "cut", "kill-client", "stranger", "unserved", "duplicate", "forge", "unreadable", "refused",
	"other-store", "retention", "skew"}

// answered judges calls that ended without a word.
func (j *judge) answered(g *gathered, c *call) {
	for i := range c.invocations {
		v := &c.invocations[i]
		if v.unserved || v.refused || c.poison || v.calls == 0 || v.ends == 0 || v.timedOut && (v.deadline-v.at < patience || g.excused(v, func(s Span) bool {
			return s.Fault.Target == "clients" || s.Fault.Class == "" && !slices.Contains(harmless, s.Fault.Name)
		})) {
			continue
		}
		j.holds(Answered, !v.timedOut, c.id, func() string { return "nothing was heard of it" })
	}
}

// patience is the least time for a call whose server dies a few times.
const patience = 5 * time.Second

// excused reports whether a fault that matters, or a machine that stood still,
// befell an invocation or came shortly before.
func (g *gathered) excused(v *invocation, matters func(Span) bool) bool {
	return slices.ContainsFunc(g.faults.spans, func(s Span) bool {
		stood := s.Fault.Class == history.Freezes && s.To-s.From > unsettled/10
		return (stood || matters(s)) && s.To >= v.at-unsettled && s.From <= v.ended
	})
}

// unsettled is for how long after a fault things may not yet be in order.
const unsettled = 3 * time.Second

// resolved judges calls that Resolve was asked about.
func (j *judge) resolved(c *call) {
	if c.untold || len(c.resolutions) > 0 {
		j.holds(OutcomeIsTold, !c.untold, c.id, func() string { return "nobody could say what became of it" })
	}
}

func (j *judge) parked(g *gathered, c *call) {
	if !c.poison && g.deadRead[c.method] {
		j.holds(InnocentsNotParked, !c.parked || g.struck(c), c.id, func() string { return "it is in the dead queue of " + c.method })
	}
}

// struck reports whether the run killed the server in which the call had its last
// attempt: a server that is alone with a call and dies cannot know why. If a poison ran
// in the same incarnation of the server it was that, from which the call ought to have been kept apart.
func (g *gathered) struck(c *call) bool {
	if c.last == (last{}) || g.poisoned[c.last.process] {
		return false
	}
	end := slices.IndexFunc(g.faults.spans, func(s Span) bool {
		return s.Fault.Name == death && s.From >= c.last.at && history.IsProcess(c.last.process, s.Fault.Target)
	})
	return end >= 0 && g.faults.spans[end].Fault.Class == history.Kills
}

// death is the name of the fault that each end of a server is, on its own or not.
const death = "kill-server"
