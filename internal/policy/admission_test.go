package policy_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

// Four handlers that take 10 ms do 40 requests in the target of 100 ms.
func fourHandlers() *policy.Admission {
	a := policy.NewAdmission(policy.DefaultAdmission(), 4)
	a.Done(10 * time.Millisecond)
	return a
}

const interval = 100 * time.Millisecond

// refusals counts how many of the next n requests are refused.
func refusals(a *policy.Admission, now time.Time, n int) (refused int) {
	for range n {
		if _, ok := a.Admit(now); !ok {
			refused++
		}
	}
	return refused
}

func TestAdmissionRefusesTheExcessOfALineThatStaysTooLong(t *testing.T) {
	t.Parallel()
	a, now := fourHandlers(), time.Now()
	long := policy.Line{Queued: 300, Servers: 2, Held: 10} // 160 of them are this server's: 400 ms
	a.Observe(now, long)
	if n := refusals(a, now, 1000); n != 0 || a.Wait() != 400*time.Millisecond {
		t.Errorf("%d refused at the first measurement, wait %v", n, a.Wait())
	}
	now = now.Add(interval)
	a.Observe(now, long)
	retryAfter, ok := a.Admit(now)
	if ok || retryAfter != 400*time.Millisecond {
		t.Errorf("admitted: %v, retry after %v", ok, retryAfter)
	}
	if n := refusals(a, now, 1000); n != 119 {
		t.Errorf("%d more refused; want 119", n)
	}
	// What comes meanwhile is judged by the next measurement, without another interval.
	now = now.Add(interval)
	a.Observe(now, policy.Line{Queued: 50, Servers: 0})
	if n := refusals(a, now, 1000); n != 10 {
		t.Errorf("%d refused; want 10", n)
	}
	now = now.Add(interval)
	a.Observe(now, policy.Line{Queued: 40})
	now = now.Add(interval)
	a.Observe(now, long)
	if n := refusals(a, now, 1000); n != 0 {
		t.Errorf("%d refused at the first measurement after the line was short", n)
	}
}

func TestAdmissionActsOnFreshMeasurementsOnly(t *testing.T) {
	t.Parallel()
	a, now := fourHandlers(), time.Now()
	long := policy.Line{Queued: 1000}
	for range 2 {
		now = now.Add(interval)
		a.Observe(now, long)
	}
	if n := refusals(a, now.Add(3*interval), 1); n != 1 {
		t.Error("what was measured three intervals ago counts no more")
	}
	if n := refusals(a, now.Add(3*interval+1), 1); n != 0 {
		t.Error("what was measured more than three intervals ago still counts")
	}
	now = now.Add(time.Second)
	a.Observe(now, long) // nobody knows how long the line was meanwhile
	if n := refusals(a, now, 1); n != 0 {
		t.Error("two measurements far apart make an interval")
	}
}

func TestAdmissionKnowsNothingBeforeAHandlerHasEnded(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*policy.Admission{
		"unknown": policy.NewAdmission(policy.DefaultAdmission(), 4),
		"off":     policy.NewAdmission(policy.AdmissionPolicy{}, 0),
	} {
		now := time.Now()
		if name == "off" {
			a.Done(time.Second)
		}
		for range 10 {
			now = now.Add(a.Interval())
			a.Observe(now, policy.Line{Queued: 1 << 40})
			if n := refusals(a, now, 10); n != 0 {
				t.Errorf("%s: %d refused", name, n)
			}
		}
	}
}

// A reference that is told all and computes from it.
func TestAdmissionFollowsItsRule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		p := policy.AdmissionPolicy{
			Target:   time.Duration(rapid.Int64Range(1e6, 1e9).Draw(t, "target")),
			Interval: time.Duration(rapid.Int64Range(1e7, 1e9).Draw(t, "interval")),
		}
		handlers := rapid.IntRange(1, 100).Draw(t, "handlers")
		a := policy.NewAdmission(p, handlers)
		took := time.Duration(rapid.Int64Range(1, 1e9).Draw(t, "took"))
		a.Done(took) // all take the same
		now := time.Now()
		above := time.Duration(-1) // for how long the line has been too long
		for range 10 {
			step := time.Duration(rapid.Int64Range(1, 2*int64(p.Interval)).Draw(t, "step"))
			now = now.Add(step)
			l := policy.Line{
				Queued: rapid.IntRange(0, 300).Draw(t, "queued"), Servers: rapid.IntRange(0, 5).Draw(t, "servers"),
				Held: rapid.IntRange(0, 100).Draw(t, "held"),
			}
			a.Done(took)
			a.Observe(now, l)
			line := float64(l.Queued)/float64(max(l.Servers, 1)) + float64(l.Held)
			wait := time.Duration(line * float64(took) / float64(handlers))
			switch {
			case a.Wait() <= p.Target:
				above = -1
			case above < 0:
				above = 0
			default:
				above += step
			}
			if d := a.Wait() - wait; d < -1 || d > 1 {
				t.Fatalf("the wait is %v; want %v", a.Wait(), wait)
			}
			room := float64(p.Target) * float64(handlers) / float64(took) // what can be served in the target
			n := refusals(a, now, 401)
			if tooLong := above >= p.Interval; tooLong != (n > 0) || tooLong && float64(n) > line-room+1.001 {
				t.Fatalf("%d refused of a line of %v with room for %v, too long for %v", n, line, room, above)
			}
		}
	})
}

func TestAdmissionHoldsUnderOverload(t *testing.T) {
	t.Parallel()
	for _, load := range []float64{1.5, 3} {
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				o := simulate(seed, newByLine(simHandlers), 32, simHandlers, func(time.Duration) float64 { return load })
				could := simRate * (simLength - simWarm).Seconds()
				if float64(o.good) < 0.95*could || o.at(0.99) > simDeadline/4 || o.expired+o.late > 0 {
					t.Errorf("seed %d: %d good of %.0f, p99 %v, %d expired, %d late", seed, o.good, could, o.at(0.99), o.expired, o.late)
				}
			}
		})
	}
}

func TestAdmissionRefusesNothingThatCanBeServed(t *testing.T) {
	t.Parallel()
	for _, l := range []func(time.Duration) float64{simLoads[0].load, simLoads[3].load} { // below capacity, short bursts
		if o := simulate(7, newByLine(simHandlers), 32, simHandlers, l); o.shed > 0 || o.late+o.expired > 0 {
			t.Errorf("%d refused, %d late, %d expired", o.shed, o.late, o.expired)
		}
	}
}

func BenchmarkAdmission(b *testing.B) {
	a, now := fourHandlers(), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := a.Admit(now); ok {
			a.Done(10 * time.Millisecond)
		}
	}
}
