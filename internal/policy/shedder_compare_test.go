package policy_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/policy"
)

// The comparison by which docs/decisions/0008-admission-by-the-line.md picks:
//
//	go test ./internal/policy -run TestAdmissionsCompared -v
//
// One server with a queue is simulated under ways of admission, in steps of
// 0.5 ms. 16 handlers take 10 ms on average, exponentially distributed, hence
// 1600 requests/s; callers wait for 1 s, and the broker drops what is older.
// Contended handlers share eight cores: one alone takes 5 ms, all of them 10.

const (
	simStep     = 500 * time.Microsecond
	simHandlers = 16
	simTook     = 10 * time.Millisecond
	simRate     = float64(simHandlers) / 0.01
	simDeadline = time.Second
	simTarget   = 100 * time.Millisecond
	simInterval = 100 * time.Millisecond
	simWarm     = 2 * time.Second
	simLength   = 10 * time.Second
)

// simulated is a request, with the times since the beginning.
type simulated struct{ issued, arrived time.Duration }

// admitter decides on the request whose turn it is.
type admitter interface {
	admit(now time.Duration, r simulated, working int) bool
	ended(took time.Duration)
	tick(now time.Duration, queued, held int, idle bool)
}

type admitAll struct{}

func (admitAll) admit(time.Duration, simulated, int) bool { return true }
func (admitAll) ended(time.Duration)                      {}
func (admitAll) tick(time.Duration, int, int, bool)       {}

// codel refuses what has waited longer than the target while the least wait of
// the last interval was above it.
type codel struct {
	admitAll

	waited      func(now time.Duration, r simulated) time.Duration
	least, last time.Duration
	over        bool
}

func (c *codel) admit(now time.Duration, r simulated, _ int) bool {
	w := c.waited(now, r)
	if now-c.last >= simInterval {
		c.over, c.least, c.last = c.least > simTarget, w, now
	}
	c.least = min(c.least, w)
	return !c.over || w <= simTarget
}

// aimd bounds the handlers at work by what they take, and refuses beyond: half
// as much again as a handler that is alone.
type aimd struct {
	admitAll

	limit, mean, alone float64
}

func (a *aimd) admit(_ time.Duration, _ simulated, working int) bool {
	return float64(working) < max(a.limit, 1)
}

func (a *aimd) ended(took time.Duration) {
	a.mean += (float64(took) - a.mean) / 64
	if a.mean > 1.5*a.alone {
		a.limit = max(a.limit*0.99, 1)
	} else {
		a.limit = min(a.limit+1/a.limit, simHandlers)
	}
}

// byBacklog is what the package has.
type byBacklog struct {
	a    *policy.Shedder
	next time.Duration
}

var simEpoch = time.Unix(0, 0)

func (b *byBacklog) admit(now time.Duration, _ simulated, _ int) bool {
	_, ok := b.a.Admit(simEpoch.Add(now))
	return ok
}
func (b *byBacklog) ended(took time.Duration) { b.a.Done(took) }
func (b *byBacklog) tick(now time.Duration, queued, held int, idle bool) {
	if now < b.next {
		return
	}
	b.next = now + simInterval
	if idle {
		queued, held = 0, 0
	}
	b.a.Observe(simEpoch.Add(now), policy.Backlog{Queued: queued, Servers: 1, Held: held})
}

// outcome is what a run came to, after its warm-up.
type outcome struct {
	offered, good, late, shed, expired int
	latency, refusal                   []time.Duration
}

func (o *outcome) at(q float64) time.Duration { return quantile(o.latency, q) }

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(int(q*float64(len(d))), len(d)-1)]
}

// simulate runs a server with that prefetch; load is the arrivals' rate as a part
// of what the server can do.
func simulate(seed uint64, a admitter, prefetch, cores int, load func(now time.Duration) float64) outcome {
	rng := rand.New(rand.NewPCG(seed, 1))
	var queue, held []simulated
	type work struct {
		r           simulated
		began, ends time.Duration
	}
	var working []work
	var o outcome
	idle := true
	for now := time.Duration(0); now < simLength; now += simStep {
		mean := load(now) * simRate * simStep.Seconds()
		for range poisson(rng, mean) {
			queue = append(queue, simulated{issued: now})
			if now >= simWarm {
				o.offered++
			}
		}
		working = slices.DeleteFunc(working, func(w work) bool {
			if w.ends > now {
				return false
			}
			a.ended(w.ends - w.began)
			if took := now - w.r.issued; w.r.issued >= simWarm {
				o.latency = append(o.latency, took)
				if took <= simDeadline {
					o.good++
				} else {
					o.late++
				}
			}
			return true
		})
		for begun := false; !begun; {
			begun = true
			for len(queue) > 0 && now-queue[0].issued >= simDeadline {
				if queue[0].issued >= simWarm {
					o.expired++
				}
				queue = queue[1:]
			}
			for len(queue) > 0 && len(held)+len(working) < prefetch {
				queue[0].arrived = now
				held, queue = append(held, queue[0]), queue[1:]
			}
			for len(held) > 0 && len(working) < simHandlers {
				r := held[0]
				held, begun = held[1:], false
				switch {
				case now-r.issued >= simDeadline:
					o.expired++
				case a.admit(now, r, len(working)):
					alone := float64(simTook) * float64(cores) / simHandlers
					took := alone * max(1, float64(len(working)+1)/float64(cores))
					working = append(working, work{r, now, now + time.Duration(rng.ExpFloat64()*took)})
				case r.issued >= simWarm:
					o.shed++
					o.refusal = append(o.refusal, now-r.issued)
				}
			}
		}
		idle = idle || len(working) < simHandlers
		a.tick(now, len(queue), len(held), idle)
		if now%simInterval == 0 {
			idle = false
		}
	}
	return o
}

func poisson(rng *rand.Rand, mean float64) int {
	n := 0
	for t := rng.ExpFloat64(); t < mean; t += rng.ExpFloat64() {
		n++
	}
	return n
}

const longBursts = "bursts of 3 for 1 s"

var simLoads = []struct {
	name string
	load func(time.Duration) float64
}{
	{"steady 0.9", func(time.Duration) float64 { return 0.9 }},
	{"steady 1.5", func(time.Duration) float64 { return 1.5 }},
	{"steady 3", func(time.Duration) float64 { return 3 }},
	{"bursts of 3 for 50 ms", func(now time.Duration) float64 { return burst(now, 50*time.Millisecond) }},
	{longBursts, func(now time.Duration) float64 { return burst(now, time.Second) }},
}

func burst(now, length time.Duration) float64 {
	if now%(4*time.Second) < length {
		return 3
	}
	return 0.5
}

var simWays = []struct {
	name     string
	prefetch int
	make     func(cores int) admitter
}{
	{"none", 32, func(int) admitter { return admitAll{} }},
	{"CoDel, since delivery, prefetch 32", 32, func(int) admitter { return &codel{waited: sinceDelivery} }},
	{"CoDel, since delivery, prefetch 1024", 1024, func(int) admitter { return &codel{waited: sinceDelivery} }},
	{"CoDel, since issue, clocks agree", 32, func(int) admitter { return &codel{waited: sinceIssue(0)} }},
	{"CoDel, since issue, 150 ms ahead", 32, func(int) admitter { return &codel{waited: sinceIssue(150 * time.Millisecond)} }},
	{"CoDel, since issue, 500 ms behind", 32, func(int) admitter { return &codel{waited: sinceIssue(-500 * time.Millisecond)} }},
	{"AIMD of concurrency", 32, func(cores int) admitter {
		return &aimd{limit: simHandlers, alone: float64(simTook) * float64(cores) / simHandlers}
	}},
	{backlogWay, 32, newByBacklog},
}

const backlogWay = "the backlog, prefetch 32"

func newByBacklog(int) admitter {
	return &byBacklog{a: policy.NewShedder(simTarget, simInterval, simHandlers)}
}

func sinceDelivery(now time.Duration, r simulated) time.Duration { return now - r.arrived }

func sinceIssue(ahead time.Duration) func(now time.Duration, r simulated) time.Duration {
	return func(now time.Duration, r simulated) time.Duration { return now - r.issued + ahead }
}

func TestAdmissionsCompared(t *testing.T) {
	t.Parallel()
	var b strings.Builder
	for _, cores := range []int{simHandlers, simHandlers / 2} {
		for _, l := range simLoads {
			fmt.Fprintf(&b, "\n%s, %d cores\n\n| | good, of what could be | p50 | p99 | refused | refused after | expired |\n|---|---|---|---|---|---|---|\n", l.name, cores)
			best, backlog := 0.0, 0.0
			for _, w := range simWays {
				o := simulate(1, w.make(cores), w.prefetch, cores, l.load)
				could := min(float64(o.offered), simRate*(simLength-simWarm).Seconds())
				good := float64(o.good) / could
				if best = max(best, good); w.name == backlogWay {
					backlog = good
				}
				part := func(n int) string { return fmt.Sprintf("%.0f %%", 100*float64(n)/float64(max(o.offered, 1))) }
				fmt.Fprintf(&b, "| %s | %.0f %% | %v | %v | %s | %v | %s |\n", w.name, 100*good,
					o.at(0.5).Round(time.Millisecond), o.at(0.99).Round(time.Millisecond), part(o.shed),
					quantile(o.refusal, 0.5).Round(time.Millisecond), part(o.expired))
			}
			// Decision 0008: in long bursts a rule that lets callers wait for longer
			// answers more of them.
			if backlog < best-0.05 && l.name != longBursts {
				t.Errorf("%s, %d cores: by the backlog %.2f are good, in the best way %.2f", l.name, cores, backlog, best)
			}
		}
	}
	t.Log(b.String())
}
