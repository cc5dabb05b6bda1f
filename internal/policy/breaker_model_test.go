package policy_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// breakerModel is what a breaker should do, told in another way: it keeps every
// result as long as the state lasts, and counts anew each time it is asked.
type breakerModel struct {
	policy  policy.BreakerPolicy
	state   policy.State
	opened  time.Time
	period  int // calls let through in an earlier one count no more
	taken   int // places of probes
	passed  int // probes that did
	results []breakerModelResult
	changes []policy.Change
}

type breakerModelResult struct {
	at           time.Time
	failed, slow bool
}

func (m *breakerModel) counts(now time.Time) (c policy.Counts) {
	if len(m.results) == 0 {
		return c
	}
	tenth := m.policy.Window / 10
	bucket := func(at time.Time) int64 { return int64(at.Sub(m.results[0].at) / tenth) }
	for _, r := range m.results {
		if m.state != policy.HalfOpen && bucket(now)-bucket(r.at) > 9 {
			continue
		}
		c.Calls++
		if r.failed {
			c.Failures++
		}
		if r.slow {
			c.Slow++
		}
	}
	return c
}

func (m *breakerModel) become(s policy.State, now time.Time) {
	n := m.counts(now)
	m.changes = append(m.changes, policy.Change{
		Method: "m", From: m.state, To: s, At: now, Calls: n.Calls, Failures: n.Failures, Slow: n.Slow,
	})
	m.state, m.opened = s, now
	m.forget()
}

func (m *breakerModel) forget() {
	m.period++
	m.taken, m.passed, m.results = 0, 0, nil
}

func (m *breakerModel) settle(now time.Time) {
	if m.state == policy.Open && now.Sub(m.opened) >= m.policy.Open {
		m.become(policy.HalfOpen, now)
	}
}

const notCounted = -1

// allow returns the period of the call, or how long to wait.
func (m *breakerModel) allow(now time.Time) (period int, retryAfter time.Duration) {
	m.settle(now)
	switch {
	case m.state == policy.ForcedOpen:
		return 0, m.policy.Open
	case m.policy.Off:
		return notCounted, 0
	case m.state == policy.Open:
		return 0, m.policy.Open - now.Sub(m.opened)
	case m.state == policy.HalfOpen && m.taken == m.policy.Probes:
		return 0, min(100*time.Millisecond, m.policy.Open)
	}
	m.taken++
	return m.period, 0
}

func (m *breakerModel) done(period int, begun, now time.Time, r policy.Result) {
	if period == notCounted {
		return
	}
	m.settle(now)
	if period != m.period {
		return
	}
	halfOpen := m.state == policy.HalfOpen
	if r == policy.Ignored || r == policy.Answered && !halfOpen {
		m.taken--
		return
	}
	failed := r == policy.Failure
	slow := m.policy.SlowAfter > 0 && now.Sub(begun) > m.policy.SlowAfter
	m.results = append(m.results, breakerModelResult{at: now, failed: failed, slow: slow})
	c, p := m.counts(now), m.policy
	switch {
	case m.state == policy.ForcedClosed:
	case halfOpen && (failed || p.SlowAfter > 0 && float64(c.Slow)/float64(p.Probes) >= p.Slow):
		m.become(policy.Open, now)
	case halfOpen:
		if m.passed++; m.passed == p.Probes {
			m.become(policy.Closed, now)
		}
	case c.Calls < p.Volume:
	case float64(c.Failures)/float64(c.Calls) >= p.Failures,
		p.SlowAfter > 0 && float64(c.Slow)/float64(c.Calls) >= p.Slow:
		m.become(policy.Open, now)
	}
}

func (m *breakerModel) force(now time.Time, s policy.State) {
	if s != m.state && (s == policy.ForcedOpen || s == policy.ForcedClosed) {
		m.settle(now)
		m.become(s, now)
	}
}

func (m *breakerModel) release(now time.Time) {
	switch {
	case m.state == policy.ForcedClosed, m.state == policy.ForcedOpen && m.policy.Off:
		m.become(policy.Closed, now)
	case m.state == policy.ForcedOpen:
		m.become(policy.HalfOpen, now)
	}
}

func (m *breakerModel) update(now time.Time, p policy.BreakerPolicy) {
	m.settle(now)
	old := m.policy
	m.policy = p
	if p.Window != old.Window && m.state != policy.HalfOpen {
		m.results = nil
	}
	trial := m.state == policy.Open || m.state == policy.HalfOpen
	switch {
	case trial && p.Off:
		m.become(policy.Closed, now)
	case p.Off && !old.Off:
		m.period++
	case m.state == policy.HalfOpen && p.Probes != old.Probes:
		m.forget()
	}
}

func drawBreakerPolicy(t *rapid.T) policy.BreakerPolicy {
	ms := func(from, to int, name string) time.Duration {
		return time.Duration(rapid.IntRange(from, to).Draw(t, name)) * time.Millisecond
	}
	ratio := rapid.SampledFrom([]float64{0.01, 0.1, 0.3, 0.5, 0.7, 1})
	return policy.BreakerPolicy{
		Off:       rapid.IntRange(0, 9).Draw(t, "off") == 0,
		Window:    ms(1000, 3000, "window"),
		Volume:    rapid.IntRange(1, 8).Draw(t, "volume"),
		Failures:  ratio.Draw(t, "failures"),
		SlowAfter: ms(0, 2, "slowAfter") * 100,
		Slow:      ratio.Draw(t, "slow"),
		Open:      ms(1, 1000, "open"),
		Probes:    rapid.IntRange(1, 4).Draw(t, "probes"),
	}
}

func TestBreakerDoesAsItsModelOverRandomHistories(t *testing.T) {
	t.Parallel()
	type flight struct {
		ticket policy.Ticket
		period int
		begun  time.Time
	}
	states := []policy.State{
		policy.Closed, policy.HalfOpen, policy.Open, policy.ForcedOpen, policy.ForcedClosed,
	}
	seen := map[policy.State]int{}
	rapid.Check(t, func(t *rapid.T) {
		var changes []policy.Change
		p := drawBreakerPolicy(t)
		b := policy.NewBreaker("m", p, func(c policy.Change) { changes = append(changes, c) })
		m := &breakerModel{policy: p}
		now := time.Unix(0, 0)
		var flights []flight
		allow := func(t *rapid.T) {
			ticket, refusal := b.Allow(now)
			period, retryAfter := m.allow(now)
			switch {
			case refusal == nil && retryAfter == 0:
				flights = append(flights, flight{ticket, period, now})
			case refusal == nil:
				t.Fatalf("let through; should be refused for %v", retryAfter)
			case refusal.RetryAfter != retryAfter:
				t.Fatalf("refused for %v; want %v", refusal.RetryAfter, retryAfter)
			case refusal.Code != warren.CodeUnavailable, refusal.Reason != warren.ReasonBreakerOpen,
				refusal.Outcome != warren.NotExecuted, refusal.Method != "m":
				t.Fatalf("refused with %+v", refusal)
			}
		}
		done := func(t *rapid.T) {
			if len(flights) == 0 {
				t.Skip("nothing in flight")
			}
			i := rapid.IntRange(0, len(flights)-1).Draw(t, "which")
			// Failures often, or little happens.
			r := rapid.SampledFrom([]policy.Result{
				policy.Success, policy.Success, policy.Success, policy.Failure, policy.Failure,
				policy.Ignored, policy.Answered,
			}).Draw(t, "result")
			b.Done(flights[i].ticket, now, r)
			m.done(flights[i].period, flights[i].begun, now, r)
			flights = slices.Delete(flights, i, i+1)
		}
		pass := func(most int) func(t *rapid.T) {
			return func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, most).Draw(t, "ms")) * time.Millisecond)
			}
		}
		actions := map[string]func(*rapid.T){
			"allow": allow, "allow2": allow, "allow3": allow, "done": done, "done2": done, "done3": done,
			"wait": pass(250), "waitLong": pass(1500),
			"operate": func(t *rapid.T) {
				if s := rapid.SampledFrom(append(states, 99)).Draw(t, "state"); rapid.Bool().Draw(t, "force") {
					b.Force(now, s)
					m.force(now, s)
				} else {
					b.Release(now)
					m.release(now)
				}
			},
			"update": func(t *rapid.T) {
				next := drawBreakerPolicy(t)
				if rapid.Bool().Draw(t, "sameWindow") {
					next.Window = m.policy.Window
				}
				b.Update(now, next)
				m.update(now, next)
			},
			"": func(t *rapid.T) {
				want := m.state
				if want == policy.Open && now.Sub(m.opened) >= m.policy.Open {
					want = policy.HalfOpen
				}
				if got := b.State(now); got != want {
					t.Fatalf("it is %v; want %v", got, want)
				}
				if got, want := b.Counts(now), m.counts(now); got != want {
					t.Fatalf("it counts %+v; want %+v", got, want)
				}
				if !slices.Equal(changes, m.changes) {
					t.Fatalf("it told of\n%+v; want\n%+v", changes, m.changes)
				}
			},
		}
		for range 10 { // of 30 steps each
			t.Repeat(actions)
		}
		for _, c := range changes {
			seen[c.To]++
		}
	})
	for _, s := range states {
		if seen[s] < 20 && !testing.Short() { // which draws a fifth of the histories
			t.Errorf("the histories led to %v %d times: they are too tame", s, seen[s])
		}
	}
}
