package server

import (
	"cmp"
	"time"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/internal/policy"
)

// Admission refuses requests of a method at once while too many wait for its
// handlers, so that those which are admitted are answered in time. It is off by
// default: a queue is there for work to wait in, and callers' deadlines bound
// that. Turn it on where late answers are worth less than early refusals.
//
// While more than half of the handlers are at work the server asks the broker
// every Interval how long the queue is, which is one method on a channel of its
// own. Once the wait has stayed above Target for an Interval, the excess is
// refused, oldest first, as resource_exhausted/overloaded with RetryAfter set, and
// with the outcome NotExecuted, or Unknown if the broker had handed the request
// out before. The rule is CoDel's, on the measured backlog. No clock but the server's
// is used: neither skew nor what callers claim makes a difference.
//
// It comes after bounds and the deadline, and before interceptors, the decoding
// of the body, the store and the handler: what would be answered from its record is
// refused too. Notifications count in the backlog and are never
// refused, as nobody would hear of it. The part of the backlog that this server has
// fetched is taken for Prefetch less Concurrency while the queue is not empty.
type Admission struct {
	// Target is how long a request may wait for a handler. Default: 0, which is
	// off; 1 ms to 1 min. 100 ms suits callers that wait for seconds.
	Target time.Duration
	// Interval is how long the wait must stay above Target before anything is
	// refused, and how often it is measured. Default: 100 ms; 10 ms to 10 s.
	Interval time.Duration
}

func (a Admission) withDefaults() Admission {
	a.Interval = cmp.Or(a.Interval, 100*time.Millisecond)
	return a
}

func (a *Admission) validate(field func(string) string) error {
	if a.Target == 0 {
		return nil
	}
	return cmp.Or(
		within(field("Admission.Target"), a.Target, time.Millisecond, time.Minute),
		within(field("Admission.Interval"), a.Interval, 10*time.Millisecond, 10*time.Second),
	)
}

// backlogGauge has the broker asked for the length of the method's queue while there
// can be a backlog.
func backlogGauge(m *method) *broker.Monitor {
	return &broker.Monitor{
		Queue: m.Name, Every: m.Admission.Interval,
		Due: func() bool {
			if m.shedder.Busy() {
				return true
			}
			m.shedder.Observe(time.Now(), policy.Backlog{})
			return false
		},
		Seen: func(ready, consumers int) {
			b := policy.Backlog{Queued: ready, Servers: consumers}
			if ready > 0 {
				b.Held = m.Prefetch - m.Concurrency
			}
			m.shedder.Observe(time.Now(), b)
		},
	}
}
