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
	case gobreaker.StateHalfOpen: // its own open period; notice knows the real one
	}
}
