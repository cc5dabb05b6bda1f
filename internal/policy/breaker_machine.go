package policy

import (
	"time"

	"github.com/sony/gobreaker/v2"
)

// breakerMachine is gobreaker's state machine: which transition follows from a
// result, how many probes are out, and to which generation a result belongs.
// What the results amount to, and when the open period ends, it asks its
// Breaker, or is never asked itself: docs/decisions/0007-breaker-on-gobreaker.md.
//
// gobreaker reads the process's clock to end its open period of 1 ns, and for
// nothing else that matters here.
type breakerMachine struct {
	*gobreaker.TwoStepCircuitBreaker[struct{}]
	breaker *Breaker
	epoch   uint64
	probes  int
	quiet   bool // it is being opened by hand
}

// breakerReport is the result that a machine is being told. gobreaker's
// callbacks carry no more than an error.
type breakerReport struct {
	now    time.Time
	result Result
	slow   bool
}

// newBreakerMachine returns a machine in the closed state, or one that is half
// open from the process's next instant. With it begins an epoch: tickets of
// earlier machines count no more.
func newBreakerMachine(b *Breaker, opened bool) *breakerMachine {
	m := &breakerMachine{breaker: b, probes: b.policy.Probes}
	if b.machine != nil {
		m.epoch = b.machine.epoch + 1
	}
	m.TwoStepCircuitBreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		Name:          b.method,
		MaxRequests:   uint32(max(m.probes, 1)),
		Timeout:       time.Nanosecond,
		ReadyToTrip:   func(gobreaker.Counts) bool { return true }, // successful has judged
		IsExcluded:    m.excluded,
		IsSuccessful:  m.successful,
		OnStateChange: m.changed,
	})
	if opened {
		m.quiet = true
		if done, err := m.Allow(); err == nil {
			done(nil)
		}
		m.quiet = false
	}
	return m
}

// gobreaker calls these three during Done, in this order, and the first two
// only if the result belongs to the current generation. Breaker.mu is held.

func (m *breakerMachine) excluded(error) bool {
	if m.quiet {
		return false
	}
	switch m.breaker.report.result {
	case Success, Failure:
		return false
	case Answered:
		return m.breaker.state != HalfOpen
	case Ignored:
		return true
	default:
		return true
	}
}

func (m *breakerMachine) successful(error) bool {
	return !m.quiet && m.breaker.count()
}

func (m *breakerMachine) changed(_ string, _, to gobreaker.State) {
	if m.quiet {
		return
	}
	b := m.breaker
	switch to {
	case gobreaker.StateClosed:
		b.enter(Closed, b.report.now)
	case gobreaker.StateOpen:
		b.enter(Open, b.report.now)
		if m.probes != b.policy.Probes {
			b.machine = newBreakerMachine(b, true)
		}
	case gobreaker.StateHalfOpen: // its own open period; settle knows the real one
	}
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

func (b *Breaker) settle(now time.Time) {
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
