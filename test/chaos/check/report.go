package check

import (
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
)

// Name is an invariant's, in the style of a reason.
type Name string

// The invariants.
const (
	SuccessHasEffect   Name = "success_has_effect"
	NotExecutedHasNone Name = "not_executed_has_no_effect"
	UnknownAtMostOne   Name = "unknown_at_most_one_effect"
	UnservedIsTold     Name = "no_server_is_told"
	RefusedIsTold      Name = "refusal_is_told"
	Answered           Name = "call_is_answered"
	OutcomeIsTold      Name = "outcome_is_told"
	ResolveAgrees      Name = "resolve_agrees"
	BegunOnce          Name = "begun_once"
	OneMemory          Name = "one_memory"
	EffectHasCall      Name = "effect_has_call"
	ReplyBelongs       Name = "reply_belongs_to_call"
	ReplayIdentical    Name = "replay_identical"
	EndsOnce           Name = "call_ends_once"
	EndsInTime         Name = "call_ends_in_time"
	QueuesDrained      Name = "queues_drained"
	InnocentsNotParked Name = "innocents_not_parked"
	GoroutinesBack     Name = "goroutines_back"
	DescriptorsBack    Name = "descriptors_back"
	HeapBack           Name = "heap_back"
	Recovers           Name = "recovers"
	RegisterLinearizes Name = "register_linearizable"
	BankSum            Name = "bank_sum_constant"
	BankBalance        Name = "bank_balance_explained"
)

// promises has all invariants, in the order of reports.
var promises = []struct {
	name    Name
	promise string
}{
	{SuccessHasEffect, "a call that succeeded has its effect: exactly once, or at least once if its method is at-least-once"},
	{NotExecutedHasNone, "a call that was told to be not executed has no effect, unless the run has copied its request"},
	{UnknownAtMostOne, "a call that neither succeeded nor is proven not executed has at most one effect (not at-least-once)"},
	{UnservedIsTold, "a call that nobody serves is told to be not executed, unless the broker is away or cut off"},
	{RefusedIsTold, "a call that the broker refuses ends before its deadline, and says so, unless the broker is away or cut off"},
	{Answered, "a call that the broker has not refused is answered by its deadline if servers died or were cut off meanwhile, and nothing else happened"},
	{OutcomeIsTold, "when all is well again, Resolve says what became of each call"},
	{ResolveAgrees, "what Resolve says of a call is so, and stays so"},
	{BegunOnce, "a call in at-most-once mode is begun once, whichever server dies"},
	{OneMemory, "a server whose store is not the one that knows a method's calls does none of them"},
	{EffectHasCall, "each effect is of a call that was made"},
	{ReplyBelongs, "each reply answers the call that got it"},
	{ReplayIdentical, "an answer that is told again is the same, byte for byte"},
	{EndsOnce, "each call ends, once"},
	{EndsInTime, "each call ends by its deadline and the grace"},
	{QueuesDrained, "queues are empty when all is over"},
	{InnocentsNotParked, "no call is parked that was not made to be, unless the run killed its last attempt, which was alone"},
	{GoroutinesBack, "processes have as many goroutines as at their start"},
	{DescriptorsBack, "processes have as many descriptors as at their start"},
	{HeapBack, "processes have as much heap in use as at their start"},
	{Recovers, "a call succeeds soon after each fault's end"},
	{RegisterLinearizes, "each register's history is linearizable"},
	{BankSum, "the sum of all accounts is what it was"},
	{BankBalance, "each account's balance is explained by the effects"},
}

// Verdict is what becomes of a run.
type Verdict string

// The verdicts. OK: calls were made, what was required was checked, and nothing was
// broken or left undecided.
const (
	OK     Verdict = "ok"
	Broken Verdict = "broken"
)

// Report is what Check found.
type Report struct {
	Verdict Verdict
	// Calls is how many were made, the same one made again among them; Succeeded how
	// many of them returned a reply, and Errors how many each code, or code/reason.
	Calls, Succeeded int
	Errors           map[string]int
	// Resolved is how many resolves were answered, Effects how many effects there are.
	Resolved, Effects int
	Events            int
	Duration          time.Duration // from the run's start to the last event
	// Faults is how many there were of each name.
	Faults map[string]int
	// Invariants are all there are, checked or not, in a fixed order.
	Invariants []Invariant
	// Recovery is how long it took, after each fault that was checked, until a call
	// succeeded; in the order of the faults' ends.
	Recovery []time.Duration
	// Takeovers is how long after the kill of the server that had a call it was begun
	// again, by any server; in the order of the history's files.
	Takeovers []time.Duration
	// ClockSkew is by how much Wall less At differs between events: what the system's
	// clock was stepped by. See package history.
	ClockSkew time.Duration
	// Visualisations are the files that were written for registers that are not
	// linearizable, to be opened in a browser.
	Visualisations []string
	Timeline       Timeline
}

// Invariant is how one promise fared.
type Invariant struct {
	Name    Name
	Promise string
	// Checked is how often it could have been broken, and Broken how often it was.
	Checked, Broken int
	// Undecided is how often it could not be decided in the time that there was, or
	// for want of a reading; it is not among Checked.
	Undecided int
	// Required says that Checked must not be 0.
	Required bool
	// Upper is the upper end of the one-sided 95 % confidence interval of how often
	// it is broken, by Clopper and Pearson: with none broken about 3/Checked, the rule
	// of three. 1 if nothing was checked. It takes what was checked for independent
	// and for all alike, which faults are not: read it as the least that remains
	// possible.
	Upper float64
	// Examples are the first that were broken or undecided: see [Options.Examples].
	Examples []Example
}

// OK reports whether nothing speaks against the promise.
func (i *Invariant) OK() bool {
	return i.Broken == 0 && i.Undecided == 0 && (i.Checked > 0 || !i.Required)
}

// Example is one case in which an invariant was broken.
type Example struct {
	CallID string // of the call, or empty if it is about none
	What   string
	// Events are those of the call, or those that it is about, ordered by time; not
	// more than 50 of them.
	Events []history.Event

	calls []string // whose events they are
}

// Invariant returns the one of that name, or nil.
func (r *Report) Invariant(name Name) *Invariant {
	for i := range r.Invariants {
		if r.Invariants[i].Name == name {
			return &r.Invariants[i]
		}
	}
	return nil
}
