package policy

import (
	"errors"
	"sync"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/warren-rpc/warren"
)

// State says what a [Breaker] does with calls.
type State uint8

const (
	Closed       State = iota // calls go through and their results are judged
	HalfOpen                  // a few calls go through, as probes; the others are refused
	Open                      // calls are refused until the open period has passed
	ForcedOpen                // calls are refused until an operator's Release
	ForcedClosed              // calls go through until an operator's Release; their results are counted, not judged
)

var stateNames = [...]string{
	Closed: "closed", HalfOpen: "half_open", Open: "open", ForcedOpen: "forced_open", ForcedClosed: "forced_closed",
}

// String returns "closed", "half_open", "open", "forced_open" or
// "forced_closed".
func (s State) String() string {
	if int(s) >= len(stateNames) {
		return "state(?)"
	}
	return stateNames[s]
}

// Counts are the calls that a [Breaker] has in view: those of its rolling
// window while it is closed, its probes while it is half open. A call that
// failed slowly is among both Failures and Slow. What [Classify] calls Ignored
// is in none of them.
type Counts struct{ Calls, Failures, Slow int }

// Change tells of one transition of a [Breaker].
type Change struct {
	Method   string
	From, To State
	At       time.Time // the time that was given to the method which made the change
	// What was in view in the state From.
	Calls, Failures, Slow int
}

// Ticket stands for one call that a [Breaker] let through. It is handed back
// to Done; the zero Ticket is of no call, and Done ignores it.
type Ticket struct {
	done  func(error)
	epoch uint64 // of the machine that gave it
	start time.Time
}

// Begin says that the call begins now, and not when it was let through: it may
// have waited for a connection since, which is no slowness of the method.
func (t *Ticket) Begin(now time.Time) { t.start = now }

// Breaker refuses the calls of one method while too many of them fail, or are
// slow, so that callers get their answer at once and the server some rest.
//
// Closed, it judges each counted result: once the window holds Volume calls of
// which Failures failed, or Slow were slow, it opens. Open, it refuses for the
// policy's Open, whatever results arrive late. Half open, it lets Probes calls
// through, no more, until these have ended. All must succeed: then it closes,
// and the window begins empty. The first that fails opens it again, and so does
// slowness of Slow of the probes. Probes that are ignored make room for others.
//
// Results of calls that were let through in an earlier state are ignored: a
// late failure does not open a breaker that has closed since, a late success
// does not close one that has opened.
//
// It reads no clock but the time that its methods are given, which should not
// run backwards by more than goroutines overtake each other. All methods are
// safe for concurrent use. Allow and Done of a call that goes through allocate
// once in all.
type Breaker struct {
	method   string
	onChange func(Change)

	mu      sync.Mutex
	policy  BreakerPolicy
	machine *breakerMachine
	state   State
	opened  time.Time // when the state became Open
	window  breakerWindow
	report  breakerReport // what the machine is being told

	changes    []Change // not yet delivered
	delivering bool
}

// NewBreaker returns a closed breaker with that policy, all of whose values
// must be set. If onChange is not nil it is told of every change, each once and
// in order, outside all locks: it may call the breaker. It is called by the
// goroutine whose call made the change or, while that delivers an earlier one,
// by that which is delivering, and delays it: keep it short. If it panics, that
// goroutine does, and later changes are delivered still.
func NewBreaker(method string, p BreakerPolicy, onChange func(Change)) *Breaker {
	b := &Breaker{method: method, onChange: onChange, policy: p}
	b.machine = newBreakerMachine(b, false)
	b.window.length = p.Window
	return b
}

// Allow lets a call through or refuses it. Each ticket is handed to Done
// exactly once, also if the call was not made after all: a probe that is never
// reported keeps its place for ever.
//
// A refusal is unavailable/breaker_open, NotExecuted. Its RetryAfter, always
// above 0, is the time that is left of the open period; if all probes are out
// it is 100 ms, or Open if that is shorter; and as nobody knows when an operator
// lets go of a breaker, it is Open if that is forced.
func (b *Breaker) Allow(now time.Time) (Ticket, *warren.Error) {
	for {
		b.mu.Lock()
		b.notice(now)
		t, refusal, early := b.admit(now)
		b.unlock()
		if !early {
			return t, refusal
		}
		// gobreaker's own open period is 1 ns of the process's clock, which has not
		// moved since it opened: a coarse clock, or one that stands still.
		time.Sleep(2 * time.Nanosecond)
	}
}

// probesOut is the advice to callers that meet a breaker whose probes are all
// out: whether they succeed is known soon, and no sooner than they end.
const probesOut = 100 * time.Millisecond

func (b *Breaker) admit(now time.Time) (t Ticket, refusal *warren.Error, early bool) {
	switch {
	case b.state == ForcedOpen:
		return t, b.refuse(b.policy.Open, "an operator holds the method's circuit breaker open"), false
	case b.policy.Off:
		return t, nil, false
	case b.state == Open:
		left := b.opened.Add(b.policy.Open).Sub(now)
		return t, b.refuse(left, "the method's circuit breaker is open"), false
	}
	done, err := b.machine.Allow()
	switch {
	case err == nil:
		return Ticket{done: done, epoch: b.machine.epoch, start: now}, nil, false
	case errors.Is(err, gobreaker.ErrTooManyRequests):
		left := min(probesOut, b.policy.Open)
		return t, b.refuse(left, "the method's circuit breaker is half open, and its probes are out"), false
	default:
		return t, nil, true
	}
}

func (b *Breaker) refuse(left time.Duration, message string) *warren.Error {
	return &warren.Error{
		Code: warren.CodeUnavailable, Reason: warren.ReasonBreakerOpen, Outcome: warren.NotExecuted,
		Method: b.method, Message: message, RetryAfter: max(left, time.Nanosecond),
	}
}

// Done reports how the call of that ticket ended. It counts as slow if it took
// longer than SlowAfter.
func (b *Breaker) Done(t Ticket, now time.Time, r Result) {
	if t.done == nil {
		return
	}
	b.mu.Lock()
	defer b.unlock()
	b.notice(now)
	if t.epoch != b.machine.epoch {
		return
	}
	slow := b.policy.SlowAfter > 0 && now.Sub(t.start) > b.policy.SlowAfter
	b.report = breakerReport{now: now, result: r, slow: slow}
	t.done(nil)
}

// count enters the reported result into the window and says whether the state
// may go on as it does after a success.
func (b *Breaker) count() bool {
	failed := b.report.result == Failure
	b.window.add(b.report.now, failed, b.report.slow)
	p, c := &b.policy, b.window.sum
	slow := p.SlowAfter > 0
	switch b.state {
	case Closed:
		if c.Calls < p.Volume {
			return true
		}
		return !reaches(c.Failures, c.Calls, p.Failures) && !(slow && reaches(c.Slow, c.Calls, p.Slow))
	case HalfOpen:
		return !failed && !(slow && reaches(c.Slow, b.machine.probes, p.Slow))
	case Open, ForcedOpen, ForcedClosed:
		return true
	default:
		return true
	}
}

// reaches reports whether part is at least that ratio of all. The quotient is
// rounded like the ratio was when it was read, so 7 of 100 is exactly 0.07.
func reaches(part, all int, ratio float64) bool {
	return float64(part)/float64(max(all, 1)) >= ratio
}

// overdue reports whether the open period is over and nobody has noticed.
func (b *Breaker) overdue(now time.Time) bool {
	return b.state == Open && !now.Before(b.opened.Add(b.policy.Open))
}

// notice goes on to half open if the open period is over.
func (b *Breaker) notice(now time.Time) {
	if b.overdue(now) {
		b.enter(HalfOpen, now)
	}
}

// enter makes a transition and puts its Change in line.
func (b *Breaker) enter(to State, now time.Time) {
	if b.onChange != nil {
		n := b.window.counts(now)
		b.changes = append(b.changes, Change{
			Method: b.method, From: b.state, To: to, At: now, Calls: n.Calls, Failures: n.Failures, Slow: n.Slow,
		})
	}
	b.state = to
	b.window.still = to == HalfOpen
	b.window.reset()
	if to == Open {
		b.opened = now
	}
}

// State returns the state at that time. It changes nothing: a breaker whose
// open period is over is half open, and onChange hears of it when the next call
// comes.
func (b *Breaker) State(now time.Time) State {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.overdue(now) {
		return HalfOpen
	}
	return b.state
}

// Counts returns what the breaker has in view at that time.
func (b *Breaker) Counts(now time.Time) Counts {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.window.counts(now)
}

// Force holds the breaker in ForcedOpen or ForcedClosed until Release or
// another Force, whatever its policy says, Off included. Results of calls that
// are in flight are ignored, and Counts begin again. Any other state, and that
// which it is forced into already, is ignored.
func (b *Breaker) Force(now time.Time, s State) {
	b.mu.Lock()
	defer b.unlock()
	if s != ForcedOpen && s != ForcedClosed || s == b.state {
		return
	}
	b.notice(now)
	b.enter(s, now)
	b.machine = newBreakerMachine(b, s == ForcedOpen)
}

// Release lets go of a forced breaker. From ForcedOpen it goes on half open,
// because nobody has tried the method meanwhile (closed, if its policy is Off);
// from ForcedClosed it goes on closed. Results of calls that are in flight are
// ignored, and Counts begin again. A breaker that is not forced is left alone.
func (b *Breaker) Release(now time.Time) {
	b.mu.Lock()
	defer b.unlock()
	switch b.state {
	case ForcedOpen:
		if !b.policy.Off {
			b.enter(HalfOpen, now) // its machine was opened by Force
			return
		}
	case ForcedClosed:
	case Closed, HalfOpen, Open:
		return
	}
	b.enter(Closed, now)
	b.machine = newBreakerMachine(b, false)
}

// Update replaces the policy and keeps the state, with these exceptions. To
// turn the breaker Off closes it, unless it is forced, and results of calls in
// flight are ignored. Another Window begins empty; probes stay counted. Another
// Open holds for the open period that is running, counted from its start. Another
// number of Probes while the breaker is half open begins with new ones, and the
// results of those that are out are ignored.
func (b *Breaker) Update(now time.Time, p BreakerPolicy) {
	b.mu.Lock()
	defer b.unlock()
	b.notice(now)
	old := b.policy
	b.policy = p
	if p.Window != old.Window {
		b.window.length = p.Window
		if !b.window.still {
			b.window.reset()
		}
	}
	switch b.state {
	case Open, HalfOpen:
		if p.Off {
			b.enter(Closed, now)
			b.machine = newBreakerMachine(b, false)
			return
		}
		b.replaceProbes()
	case ForcedOpen:
		b.replaceProbes()
	case Closed, ForcedClosed:
		// Another number of probes matters once it opens; see changed.
		if p.Off && !old.Off {
			b.machine = newBreakerMachine(b, false)
		}
	}
}

func (b *Breaker) replaceProbes() {
	if b.machine.probes != b.policy.Probes {
		b.machine = newBreakerMachine(b, true)
		b.window.reset()
	}
}

// unlock unlocks mu and then delivers the changes that wait, unless somebody is
// at it: then that goroutine delivers these too, so that their order holds.
func (b *Breaker) unlock() {
	deliver := len(b.changes) > 0 && !b.delivering
	if deliver {
		b.delivering = true
	}
	b.mu.Unlock()
	if deliver {
		b.deliver()
	}
}

func (b *Breaker) deliver() {
	defer func() { // also if onChange panics
		b.delivering = false
		b.mu.Unlock()
	}()
	b.mu.Lock()
	for len(b.changes) > 0 {
		next := b.changes[0]
		b.changes = b.changes[1:]
		b.tell(next)
	}
	b.changes = nil
}

// tell calls onChange without mu, which the caller holds.
func (b *Breaker) tell(c Change) {
	b.mu.Unlock()
	defer b.mu.Lock()
	b.onChange(c)
}
