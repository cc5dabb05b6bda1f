package simulate_test

import (
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/reliability/simulate"
)

// calm is a scenario in which nothing goes wrong.
func calm() simulate.Scenario {
	return simulate.Scenario{
		Clients: 10, Rate: 200, Duration: 30 * time.Second, Seed: 1,
		Latency: simulate.Latency{Shape: simulate.LogNormal, P50: 20 * time.Millisecond, P99: 200 * time.Millisecond},
	}
}

// out is a calm scenario with an outage of 10 s.
func out(kind simulate.Kind) simulate.Scenario {
	s := calm()
	s.Duration = 60 * time.Second
	s.Outage = simulate.Outage{Kind: kind, Start: 10 * time.Second, Length: 10 * time.Second}
	return s
}

func idempotent() reliability.Policy { return reliability.Policy{Idempotent: new(true)} }

func run(t testing.TB, spec reliability.Policy, s simulate.Scenario) *simulate.Result {
	t.Helper()
	r, err := simulate.Run(reliability.Rules{Methods: map[string]reliability.Policy{"*": spec}}, "orders.get", s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func near(t testing.TB, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*math.Abs(want) {
		t.Errorf("%s is %v; want %v", what, got, want)
	}
}

func TestCallsOfACalmScenarioAreWhatItSays(t *testing.T) {
	t.Parallel()
	s := calm()
	s.Duration, s.Rate = 100*time.Second, 500
	r := run(t, idempotent(), s)
	near(t, "calls", float64(r.Calls), 50_000, 0.02)
	near(t, "p50", r.Latency.P50MS, 20, 0.05)
	near(t, "p99", r.Latency.P99MS, 200, 0.1)
	if r.Successes != r.Calls || r.Opened != 0 || r.Recovery != nil || len(r.Errors) != 0 || r.Dropped != 0 {
		t.Errorf("%d of %d calls; %d breakers opened; %v", r.Successes, r.Calls, r.Opened, r.Errors)
	}
	if r.Amplification > 1.001 { // one in some 10,000 handlers takes more than an attempt may
		t.Errorf("amplification is %v", r.Amplification)
	}
}

func TestRunOfTheSameSeedIsTheSameRun(t *testing.T) {
	t.Parallel()
	s := out(simulate.Broker)
	s.Errors = simulate.Errors{Ratio: 0.1, Code: warren.CodeUnavailable, Outcome: warren.Executed}
	s.Capacity = 8
	first, again := run(t, idempotent(), s), run(t, idempotent(), s)
	if !reflect.DeepEqual(first, again) {
		t.Error("two runs of one seed differ")
	}
	s.Seed++
	if other := run(t, idempotent(), s); other.Attempts == first.Attempts && other.Latency == first.Latency {
		t.Error("two runs of different seeds do not differ")
	}
}

// Whatever happens, every call ends, once, within its deadline, after no more
// attempts than it may have.
func TestEveryCallEndsOnceAndInTime(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		s := simulate.Scenario{
			Clients: rapid.IntRange(1, 20).Draw(t, "clients"), Rate: rapid.Float64Range(1, 200).Draw(t, "rate"),
			Duration: time.Duration(rapid.IntRange(1, 15).Draw(t, "duration")) * time.Second,
			Seed:     rapid.Uint64().Draw(t, "seed"),
			Latency: simulate.Latency{
				Shape: rapid.SampledFrom([]simulate.Shape{simulate.Fixed, simulate.Exponential, simulate.LogNormal}).Draw(t, "shape"),
				P50:   time.Duration(rapid.IntRange(1, 500).Draw(t, "p50")) * time.Millisecond, P99: 5 * time.Second,
			},
			Errors: simulate.Errors{
				Ratio:   rapid.Float64Range(0, 1).Draw(t, "errors"),
				Code:    rapid.SampledFrom([]warren.Code{warren.CodeUnavailable, warren.CodeNotFound}).Draw(t, "code"),
				Outcome: rapid.SampledFrom([]warren.Outcome{warren.Executed, warren.NotExecuted, warren.Unknown}).Draw(t, "outcome"),
			},
			Outage: simulate.Outage{
				Kind: rapid.SampledFrom([]simulate.Kind{
					simulate.Silent, simulate.Refused, simulate.NoRoute, simulate.Broker,
				}).Draw(t, "kind"),
				Start:  time.Duration(rapid.IntRange(0, 5000).Draw(t, "start")) * time.Millisecond,
				Length: time.Duration(rapid.IntRange(0, 8000).Draw(t, "length")) * time.Millisecond,
			},
			Capacity: rapid.IntRange(0, 20).Draw(t, "capacity"), Queue: rapid.IntRange(0, 50).Draw(t, "queue"),
		}
		attempts := rapid.IntRange(1, 5).Draw(t, "attempts")
		rules := reliability.Rules{Methods: map[string]reliability.Policy{"*": {
			Timeout: new(4 * time.Second), AttemptTimeout: new(300 * time.Millisecond),
			Idempotent: new(rapid.Bool().Draw(t, "idempotent")),
			Retry:      reliability.RetryPolicy{Attempts: &attempts},
			Hedge:      reliability.HedgePolicy{On: new(false)},
			Bulkhead:   reliability.BulkheadPolicy{Calls: new(rapid.IntRange(0, 40).Draw(t, "bulkhead"))},
		}}}
		r, err := simulate.Run(rules, "m", s)
		if err != nil {
			t.Fatal(err)
		}
		failed, begun, ended, made := 0, 0, 0, 0
		for _, n := range r.Errors {
			failed += n
		}
		for _, second := range r.Seconds {
			begun += second.Calls
			ended += second.Successes + second.Failed()
			made += second.Attempts
		}
		if r.Successes+failed != r.Calls || begun != r.Calls || ended != r.Calls || made != r.Attempts {
			t.Fatalf("of %d calls %d succeeded and %d failed; by second %d began, %d ended, in %d of %d attempts",
				r.Calls, r.Successes, failed, begun, ended, made, r.Attempts)
		}
		most := attempts
		if attempts > 1 {
			most += 10 // that the broker refuses, as the queue is full
		}
		if r.Attempts > most*r.Calls || r.Latency.MaxMS > 4000 {
			t.Fatalf("%d attempts of %d calls; the longest took %v ms", r.Attempts, r.Calls, r.Latency.MaxMS)
		}
	})
}

// The gRPC A6 bucket: once the tokens are spent, retries stay at or below the
// ratio times the successes.
func TestRetriesStayWithinTheBudgetWhenEverythingFails(t *testing.T) {
	t.Parallel()
	s := calm()
	s.Errors = simulate.Errors{Ratio: 1, Code: warren.CodeUnavailable, Outcome: warren.NotExecuted}
	r := run(t, reliability.Policy{}, s)
	if most := 50 * s.Clients; r.Retries > most {
		t.Errorf("%d retries; half of all tokens are %d", r.Retries, most)
	}
	if r.Errors["unavailable/budget_exhausted"] == 0 || r.Successes != 0 {
		t.Errorf("%v", r.Errors)
	}
	off := run(t, reliability.Policy{Budget: reliability.BudgetPolicy{Off: new(true)}}, s)
	near(t, "amplification without a budget", off.Amplification, 3, 0.001)
}

func TestOutageEndsWithoutARetryStorm(t *testing.T) {
	t.Parallel()
	for _, kind := range []simulate.Kind{simulate.Silent, simulate.Refused, simulate.Broker} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			r := run(t, idempotent(), out(kind))
			rec := r.Recovery
			within := 5.0
			if kind == simulate.Broker {
				// Calls that waited for it in vain can open the breaker once it is back.
				within = 8
			}
			if rec == nil || rec.AfterS < 0 || rec.AfterS > within {
				t.Fatalf("%+v", rec)
			}
			// Calls that waited for the broker are made all at once when it is back: their
			// first attempts, which no policy spreads.
			first := float64(rec.FirstSecond)
			if kind == simulate.Broker {
				first = float64(rec.FirstSecondRetries)
			}
			if first > 2*rec.NormalRate {
				t.Errorf("%+v", rec)
			}
		})
	}
}

func TestBreakersOpenInAnOutageAndCloseAfterIt(t *testing.T) {
	t.Parallel()
	s := out(simulate.NoRoute)
	r := run(t, idempotent(), s)
	if r.OpenedBy != s.Clients || r.Errors["unavailable/breaker_open"] == 0 || r.Errors["unavailable/no_route"] == 0 {
		t.Errorf("%d of %d breakers opened: %v", r.OpenedBy, s.Clients, r.Errors)
	}
	for i, c := range r.Changes {
		if i > 0 && c.AtMS < r.Changes[i-1].AtMS {
			t.Fatal("the changes are not in order")
		}
	}
	if last := r.Seconds[len(r.Seconds)-1]; last.BreakersOpen+last.BreakersHalfOpen != 0 {
		t.Errorf("%+v", last)
	}
	if off := run(t, reliability.Policy{Breaker: reliability.BreakerPolicy{Off: new(true)}}, s); off.Opened != 0 || len(off.Changes) != 0 {
		t.Errorf("%d breakers opened that are off", off.Opened)
	}
}

func TestCallsThatMayNotBeRepeatedAreNot(t *testing.T) {
	t.Parallel()
	s := out(simulate.Silent)
	s.Errors = simulate.Errors{Ratio: 0.3, Code: warren.CodeUnavailable, Outcome: warren.Executed}
	if r := run(t, reliability.Policy{}, s); r.Retries != 0 || r.Executions > r.Calls+s.Clients*100 {
		t.Errorf("%d retries", r.Retries)
	}
	if r := run(t, idempotent(), s); r.Retries == 0 {
		t.Error("no retries of an idempotent method")
	}
}

func TestTooFewServersAreSeen(t *testing.T) {
	t.Parallel()
	s := calm()
	s.Rate, s.Latency = 100, simulate.Latency{Shape: simulate.Fixed, P50: 100 * time.Millisecond}
	s.Capacity = 5 // of the 10 that it takes
	r := run(t, reliability.Policy{Breaker: reliability.BreakerPolicy{Off: new(true)}}, s)
	if r.SuccessRate > 0.6 || r.Errors["deadline_exceeded"] == 0 || r.Latency.MaxMS < 9000 {
		t.Errorf("success rate %v, %d dropped, %+v", r.SuccessRate, r.Dropped, r.Latency)
	}
	s.Queue = 5
	r = run(t, reliability.Policy{Breaker: reliability.BreakerPolicy{Off: new(true)}}, s)
	if r.Latency.MaxMS > 201 || r.Dropped != 0 {
		t.Errorf("%+v, %d dropped", r.Latency, r.Dropped)
	}
}

func TestHedgesShortenTheTail(t *testing.T) {
	t.Parallel()
	s := calm()
	without := run(t, idempotent(), s)
	hedged := idempotent()
	hedged.Hedge.On = new(true)
	with := run(t, hedged, s)
	if with.Hedges == 0 || with.Latency.P99MS > 0.8*without.Latency.P99MS || with.Amplification > 1.12 {
		t.Errorf("%d hedges, p99 %v ms and %v ms without, amplification %v",
			with.Hedges, with.Latency.P99MS, without.Latency.P99MS, with.Amplification)
	}
}

func TestScenarioThatIsWrongIsRefusedByItsField(t *testing.T) {
	t.Parallel()
	var rules reliability.Rules
	for field, change := range map[string]func(*simulate.Scenario){
		"Clients":        func(s *simulate.Scenario) { s.Clients = 0 },
		"Rate":           func(s *simulate.Scenario) { s.Rate = math.NaN() },
		"Rate and":       func(s *simulate.Scenario) { s.Rate = 1e9 },
		"Duration":       func(s *simulate.Scenario) { s.Duration = time.Millisecond },
		"Latency.Shape":  func(s *simulate.Scenario) { s.Latency.Shape = "" },
		"Latency.P50":    func(s *simulate.Scenario) { s.Latency.P50 = 0 },
		"Latency.P99":    func(s *simulate.Scenario) { s.Latency.P99 = time.Millisecond },
		"Errors.Ratio":   func(s *simulate.Scenario) { s.Errors.Ratio = 1.1 },
		"Errors.Code":    func(s *simulate.Scenario) { s.Errors.Ratio = 0.1 },
		"Errors.Outcome": func(s *simulate.Scenario) { s.Errors.Outcome = 9 },
		"Outage.Start":   func(s *simulate.Scenario) { s.Outage.Start = -1 },
		"Outage.Length":  func(s *simulate.Scenario) { s.Outage.Length = -1 },
		"Outage.Kind":    func(s *simulate.Scenario) { s.Outage.Length = 1 },
		"Capacity":       func(s *simulate.Scenario) { s.Capacity = -1 },
		"Queue":          func(s *simulate.Scenario) { s.Queue = -1 },
	} {
		s := calm()
		change(&s)
		if _, err := simulate.Run(rules, "m", s); err == nil || !strings.Contains(err.Error(), "Scenario."+field) {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, err := simulate.Run(rules, "a b", calm()); err == nil {
		t.Error("a method of that name was simulated")
	}
	rules.Methods = map[string]reliability.Policy{"m": {Timeout: new(-time.Second)}}
	if _, err := simulate.Run(rules, "m", calm()); err == nil || !strings.Contains(err.Error(), "methods.m.timeout") {
		t.Errorf("rules that are wrong: %v", err)
	}
}
