package simulation

import (
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/simulate"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// tolerance is how far a measurement may be from the simulation.
const tolerance = 0.1

func base() simulate.Scenario {
	return simulate.Scenario{
		Clients: 10, Rate: 100, Duration: 30 * time.Second, Seed: 1, Capacity: 16,
		Latency: simulate.Latency{Shape: simulate.LogNormal, P50: 20 * time.Millisecond, P99: 200 * time.Millisecond},
	}
}

func outage(kind simulate.Kind) simulate.Scenario {
	s := base()
	s.Outage = simulate.Outage{Kind: kind, Start: 10 * time.Second, Length: 10 * time.Second}
	return s
}

func failing(ratio float64) simulate.Scenario {
	s := base()
	s.Errors = simulate.Errors{Ratio: ratio, Code: warren.CodeUnavailable, Outcome: warren.Executed}
	return s
}

// generous is a policy that bounds retries by little.
func generous() reliability.Rules {
	return reliability.Rules{Methods: map[string]reliability.Policy{"*": {
		Timeout: new(4 * time.Second), AttemptTimeout: new(900 * time.Millisecond), Idempotent: new(true),
		Retry:   reliability.RetryPolicy{Attempts: new(4)},
		Budget:  reliability.BudgetPolicy{Off: new(true)},
		Breaker: reliability.BreakerPolicy{Off: new(true)},
	}}}
}

// overload is of servers that have room for half of the calls.
func overload() simulate.Scenario {
	s := base()
	s.Latency = simulate.Latency{Shape: simulate.LogNormal, P50: 100 * time.Millisecond, P99: 300 * time.Millisecond}
	s.Capacity, s.Duration = 6, 20*time.Second
	return s
}

func TestSimulationAgreesWithWhatIsMeasured(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, method string
		rules        reliability.Rules
		scenario     simulate.Scenario
		runs         int // that are measured: more where one stroke of luck decides
	}{
		{"errors", "orders.place", rules(t), failing(0.2), 1},
		{"errors and hedges", "orders.getAll", rules(t), failing(0.2), 1},
		{"errors, no budget", "generous", generous(), failing(0.5), 1},
		{"servers away", "orders.place", rules(t), outage(simulate.Silent), 1},
		{"servers away, hedges", "orders.getAll", rules(t), outage(simulate.Silent), 1},
		{"servers away, not idempotent", "payments.charge", rules(t), outage(simulate.Silent), 1},
		// How soon the servers are connected again decides who is answered in time.
		{"broker away", "orders.place", rules(t), outage(simulate.Broker), 5},
		{"too few servers, no budget", "generous", generous(), overload(), 3},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			told := simulated(t, test.rules, test.method, test.scenario)
			var measured figures
			for n := range test.runs {
				t.Run("", func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						s := test.scenario
						s.Seed += uint64(n)
						measured.add(measure(rig.New(t, amqptest.Options{Listen: "none"}), test.rules, test.method, s))
					})
				})
			}
			agree(t, "calls", float64(told.calls)/simulations, float64(measured.calls)/float64(test.runs))
			agree(t, "success rate", told.successRate(), measured.successRate())
			agree(t, "amplification", told.amplification(), measured.amplification())
			t.Logf("breakers opened %.1f times in a simulation, %.1f in what was measured",
				float64(told.opened)/simulations, float64(measured.opened)/float64(test.runs))
		})
	}
}

// simulations are run of each scenario, with different seeds: what they have in
// common is the scenario's, the rest is luck.
const simulations = 20

func simulated(t *testing.T, rules reliability.Rules, method string, s simulate.Scenario) figures {
	t.Helper()
	var sum figures
	for range simulations {
		r, err := simulate.Run(rules, method, s)
		if err != nil {
			t.Fatal(err)
		}
		sum.add(figures{r.Calls, r.Successes, r.Attempts, r.Opened})
		s.Seed++
	}
	return sum
}

func agree(t *testing.T, what string, told, measured float64) {
	t.Helper()
	t.Logf("%-14s %10.4f simulated, %10.4f measured", what, told, measured)
	if math.Abs(measured-told) > tolerance*told {
		t.Errorf("%s: %.4f simulated, %.4f measured", what, told, measured)
	}
}
