package simulate

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/warren-rpc/warren"
)

// Scenario is what happens to the clients of a method. The model:
//
// Calls begin at random, independent of each other and of what becomes of them
// (a Poisson process), and each is one client's, picked at random. Clients wait
// for servers (client.Wait). A request reaches the method's queue at once, and
// waits there until a server has room for it, but not past its call's deadline:
// the queue drops it then. A handler takes as long as Latency says, and
// stops at the deadline. Its answer reaches the client at once.
//
// Requests are not taken back: one whose call has ended meanwhile, by another
// attempt's answer, is handled all the same. There is no store that replays
// replies, and servers neither shed load nor stop consuming.
type Scenario struct {
	// Clients is how many there are, each a process with breakers, budgets and
	// bulkheads of its own. 1 to 10,000.
	Clients int
	// Rate is how many calls begin in a second, of all clients together. Above 0,
	// and at most 5,000,000 in all of Duration.
	Rate float64
	// Duration is for how long calls begin. 1 s to 24 h. The simulation ends when the
	// last of them has ended.
	Duration time.Duration
	// Seed selects the random numbers.
	Seed uint64

	Latency Latency
	Errors  Errors
	Outage  Outage

	// Capacity is how many requests all servers together handle at a time; 0 is any
	// number. Up to 1,000,000.
	Capacity int
	// Queue is how many requests wait for them; the broker refuses more, by a nack, as
	// it does with a queue that has a max-length and reject-publish. 0 is any
	// number. Up to 10,000,000.
	Queue int
}

// Latency is the distribution of the time that handlers take. 1 µs to 1 h.
type Latency struct {
	Shape Shape
	// P50 is what half of them stay below.
	P50 time.Duration
	// P99 is what 99 in 100 stay below, of LogNormal only; at least P50.
	P99 time.Duration
}

// Shape is the kind of a distribution.
type Shape string

const (
	Fixed       Shape = "fixed"       // every time P50
	Exponential Shape = "exponential" // P50 is its median
	LogNormal   Shape = "lognormal"   // through P50 and P99: the usual shape, with a long tail
)

// Errors are what handlers answer at times, after the time that they take.
type Errors struct {
	// Ratio is the part of the requests that is answered so. 0 to 1.
	Ratio float64
	// Code is the error's. Required if Ratio is not 0.
	Code warren.Code
	// Outcome is Executed of errors that handlers return; NotExecuted if servers
	// refuse before a handler runs.
	Outcome warren.Outcome
}

// Outage is a time for which calls are not answered, or not well.
type Outage struct {
	Kind Kind
	// Start is when it begins, and Length how long it lasts; 0 is no outage. 0 or
	// more, up to 24 h.
	Start, Length time.Duration
}

// End is when the outage is over.
func (o Outage) End() time.Duration { return o.Start + o.Length }

// Kind says what an outage is like.
type Kind string

const (
	// Silent is an outage of the servers: requests wait in the queue, also those
	// that were being handled, and are handled once the servers are back.
	Silent Kind = "silent"
	// Refused answers each request at once as unavailable, NotExecuted: servers that
	// run and cannot work, such as behind a database that is down.
	Refused Kind = "refused"
	// NoRoute returns each request at once as unavailable/no_route: the queue is
	// gone. A client in the fail-fast mode meets no_server as hard, and does not ask
	// its breaker.
	NoRoute Kind = "no_route"
	// Broker is an outage of the broker: connections are lost, requests wait in the
	// clients, and what was in the queue is there again afterwards. Clients and
	// servers connect again with full jitter of up to 2 s, and what has waited goes out
	// at the pace of a [reliability.Pacer]. Answers that were under way are not lost.
	Broker Kind = "broker"
)

const (
	mostClients  = 10_000
	mostCalls    = 5_000_000
	mostCapacity = 1_000_000
	mostQueue    = 10_000_000
	day          = 24 * time.Hour
)

// validate returns the first thing that is wrong.
func (s *Scenario) validate() error {
	return cmp.Or(
		within("Clients", s.Clients, 1, mostClients),
		within("Duration", s.Duration, time.Second, day),
		s.checkRate(),
		s.Latency.validate(),
		s.Errors.validate(),
		s.Outage.validate(),
		within("Capacity", s.Capacity, 0, mostCapacity),
		within("Queue", s.Queue, 0, mostQueue),
	)
}

func (s *Scenario) checkRate() error {
	switch calls := s.Rate * s.Duration.Seconds(); {
	case !(s.Rate > 0): // nor a NaN
		return fmt.Errorf("simulate: Scenario.Rate is %v; it must be above 0", s.Rate)
	case calls > mostCalls:
		return fmt.Errorf("simulate: Scenario.Rate and Duration make %.0f calls; at most %d are allowed", calls, mostCalls)
	default:
		return nil
	}
}

func (l *Latency) validate() error {
	switch l.Shape {
	case Fixed, Exponential:
		return within("Latency.P50", l.P50, time.Microsecond, time.Hour)
	case LogNormal:
		return cmp.Or(
			within("Latency.P50", l.P50, time.Microsecond, time.Hour),
			within("Latency.P99", l.P99, l.P50, time.Hour),
		)
	default:
		return fmt.Errorf("simulate: Scenario.Latency.Shape is %.40q; it must be fixed, exponential or lognormal", l.Shape)
	}
}

func (e *Errors) validate() error {
	switch {
	case !(e.Ratio >= 0 && e.Ratio <= 1):
		return fmt.Errorf("simulate: Scenario.Errors.Ratio is %v; it must be from 0 to 1", e.Ratio)
	case e.Ratio > 0 && !e.Code.Valid():
		return errors.New("simulate: Scenario.Errors.Code must be one of the codes")
	case e.Outcome > warren.Executed:
		return errors.New("simulate: Scenario.Errors.Outcome must be one of the outcomes")
	default:
		return nil
	}
}

func (o *Outage) validate() error {
	if err := cmp.Or(
		within("Outage.Start", o.Start, 0, day), within("Outage.Length", o.Length, 0, day),
	); err != nil {
		return err
	}
	switch o.Kind {
	case Silent, Refused, NoRoute, Broker:
		return nil
	default:
		if o.Length == 0 && o.Kind == "" {
			return nil
		}
		return fmt.Errorf("simulate: Scenario.Outage.Kind is %.40q; it must be silent, refused, no_route or broker", o.Kind)
	}
}

func within[T int | time.Duration](field string, value, least, most T) error {
	if value < least || value > most {
		return fmt.Errorf("simulate: Scenario.%s is %v; it must be from %v to %v", field, value, least, most)
	}
	return nil
}
