package policy_test

import (
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/policy"
)

// Four handlers that take 10 ms do 40 requests in the target of 100 ms.
func fourHandlers() *policy.Shedder {
	a := policy.NewShedder(interval, interval, 4)
	a.Done(10 * time.Millisecond)
	return a
}

const interval = 100 * time.Millisecond

// refusals counts how many of the next n requests are refused.
func refusals(a *policy.Shedder, now time.Time, n int) (refused int) {
	for range n {
		if _, ok := a.Admit(now); !ok {
			refused++
		}
	}
	return refused
}

func TestShedderRefusesTheExcessOfABacklogThatStaysTooLong(t *testing.T) {
	t.Parallel()
	a, now := fourHandlers(), time.Now()
	long := policy.Backlog{Queued: 300, Servers: 2, Held: 10} // 160 of them are this server's: 400 ms
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
	a.Observe(now, policy.Backlog{Queued: 50, Servers: 0})
	if n := refusals(a, now, 1000); n != 10 {
		t.Errorf("%d refused; want 10", n)
	}
	now = now.Add(interval)
	a.Observe(now, policy.Backlog{Queued: 40})
	now = now.Add(interval)
	a.Observe(now, long)
	if n := refusals(a, now, 1000); n != 0 {
		t.Errorf("%d refused at the first measurement after the backlog was short", n)
	}
}

func TestShedderActsOnFreshMeasurementsOnly(t *testing.T) {
	t.Parallel()
	a, now := fourHandlers(), time.Now()
	long := policy.Backlog{Queued: 1000}
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
	a.Observe(now, long) // nobody knows how long the backlog was meanwhile
	if n := refusals(a, now, 1); n != 0 {
		t.Error("two measurements far apart make an interval")
	}
}

func TestShedderKnowsNothingBeforeAHandlerHasEnded(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]*policy.Shedder{
		"unknown": policy.NewShedder(interval, interval, 4),
		"off":     policy.NewShedder(0, interval, 0),
	} {
		now := time.Now()
		if name == "off" {
			a.Done(time.Second)
		}
		for range 10 {
			now = now.Add(interval)
			a.Observe(now, policy.Backlog{Queued: 1 << 40})
			if n := refusals(a, now, 10); n != 0 {
				t.Errorf("%s: %d refused", name, n)
			}
		}
	}
}

// A reference that is told all and computes from it.
func TestShedderFollowsItsRule(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		target := time.Duration(rapid.Int64Range(1e6, 1e9).Draw(t, "target"))
		interval := time.Duration(rapid.Int64Range(1e7, 1e9).Draw(t, "interval"))
		handlers := rapid.IntRange(1, 100).Draw(t, "handlers")
		a := policy.NewShedder(target, interval, handlers)
		took := time.Duration(rapid.Int64Range(1, 1e9).Draw(t, "took"))
		a.Done(took) // all take the same
		now := time.Now()
		above := time.Duration(-1) // for how long the backlog has been too long
		for range 10 {
			step := time.Duration(rapid.Int64Range(1, 2*int64(interval)).Draw(t, "step"))
			now = now.Add(step)
			b := policy.Backlog{
				Queued: rapid.IntRange(0, 300).Draw(t, "queued"), Servers: rapid.IntRange(0, 5).Draw(t, "servers"),
				Held: rapid.IntRange(0, 100).Draw(t, "held"),
			}
			a.Done(took)
			a.Observe(now, b)
			share := float64(b.Queued)/float64(max(b.Servers, 1)) + float64(b.Held)
			wait := time.Duration(share * float64(took) / float64(handlers))
			switch {
			case a.Wait() <= target:
				above = -1
			case above < 0:
				above = 0
			default:
				above += step
			}
			if d := a.Wait() - wait; d < -1 || d > 1 {
				t.Fatalf("the wait is %v; want %v", a.Wait(), wait)
			}
			room := float64(target) * float64(handlers) / float64(took) // what can be served in the target
			n := refusals(a, now, 401)
			if tooLong := above >= interval; tooLong != (n > 0) || tooLong && float64(n) > share-room+1.001 {
				t.Fatalf("%d refused of a backlog of %v with room for %v, too long for %v", n, share, room, above)
			}
		}
	})
}

func TestShedderHoldsUnderOverload(t *testing.T) {
	t.Parallel()
	for _, load := range []float64{1.5, 3} {
		t.Run(fmt.Sprint(load), func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(2) {
				o := simulate(seed, newByBacklog(simHandlers), 32, simHandlers, func(time.Duration) float64 { return load })
				could := simRate * (simLength - simWarm).Seconds()
				if float64(o.good) < 0.95*could || o.at(0.99) > simDeadline/4 || o.expired+o.late > 0 {
					t.Errorf("seed %d: %d good of %.0f, p99 %v, %d expired, %d late", seed, o.good, could, o.at(0.99), o.expired, o.late)
				}
			}
		})
	}
}

func TestShedderRefusesNothingThatCanBeServed(t *testing.T) {
	t.Parallel()
	for _, l := range []func(time.Duration) float64{simLoads[0].load, simLoads[3].load} { // below capacity, short bursts
		if o := simulate(7, newByBacklog(simHandlers), 32, simHandlers, l); o.shed > 0 || o.late+o.expired > 0 {
			t.Errorf("%d refused, %d late, %d expired", o.shed, o.late, o.expired)
		}
	}
}

func BenchmarkShedder(b *testing.B) {
	a, now := fourHandlers(), time.Now()
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := a.Admit(now); ok {
			a.Done(10 * time.Millisecond)
		}
	}
}
