package policy_test

import (
	"container/heap"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

// load is what many clients of one target do to it, on virtual time.
type load struct {
	policy  policy.Policy
	clients int
	gap     time.Duration // the mean pause of a client between calls
	span    time.Duration // calls begin for that long
	fails   func(at time.Duration, roll float64) bool

	begun, attempts, successes, retries int
	// Since half of the tokens or fewer were left for the first time.
	spent                      bool
	ended, sparse, giventhence int // calls ended, retries granted, successes
	worst                      float64
}

// event is a client's next step: a call begins, or the next attempt of one
// starts or ends.
type event struct {
	at      time.Duration
	client  int
	ends    bool
	attempt *policy.Attempts
}

type eventQueue []event

func (a eventQueue) Len() int           { return len(a) }
func (a eventQueue) Less(i, j int) bool { return a[i].at < a[j].at }
func (a eventQueue) Swap(i, j int)      { a[i], a[j] = a[j], a[i] }
func (a *eventQueue) Push(x any)        { *a = append(*a, x.(event)) } //nolint:errcheck // it holds nothing else
func (a *eventQueue) Pop() any {
	last := (*a)[len(*a)-1]
	*a = (*a)[:len(*a)-1]
	return last
}

func (l *load) run(seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 1))
	budget := policy.NewBudget(l.policy.Budget)
	pause := func() time.Duration { return time.Duration(rng.Int64N(2 * int64(l.gap))) }
	var next eventQueue
	for c := range l.clients {
		next = append(next, event{at: pause(), client: c})
	}
	heap.Init(&next)
	for len(next) > 0 {
		h := heap.Pop(&next).(event) //nolint:errcheck // it holds nothing else
		now := epoch.Add(h.at)
		switch {
		case !h.ends:
			if h.attempt == nil {
				if h.at > l.span {
					continue
				}
				a := l.policy.Begin(now, time.Time{}, budget, policy.Overrides{})
				h.attempt = &a
				l.begun++
			}
			h.attempt.Next(now)
			l.attempts++
			h.ends = true
			h.at += time.Duration(rng.Int64N(int64(10 * time.Millisecond)))
			heap.Push(&next, h)
			continue
		case l.fails(h.at, rng.Float64()):
			d := h.attempt.Failed(now, failure(warren.CodeUnavailable, warren.Unknown))
			l.spent = l.spent || !budget.Allow()
			if d.Retry {
				l.retries++
				if l.spent {
					l.sparse++
				}
				heap.Push(&next, event{at: h.at + d.Wait, client: h.client, attempt: h.attempt})
				l.check()
				continue
			}
		default:
			h.attempt.Succeeded()
			l.successes++
			if l.spent {
				l.giventhence++
			}
		}
		if l.spent {
			l.ended++
		}
		heap.Push(&next, event{at: h.at + pause(), client: h.client})
	}
}

// check notes by how much the retries granted since the tokens were spent are
// more than their part of the successes since.
func (l *load) check() {
	if l.spent {
		l.worst = max(l.worst, float64(l.sparse)-l.policy.Budget.Ratio*float64(l.giventhence))
	}
}

func idempotentPolicy() policy.Policy {
	p := policy.Default()
	p.Idempotent = true
	return p
}

// When everything fails, the tokens buy a few retries and then there are none:
// the load is that of the calls.
func TestTotalFailureIsNotAmplified(t *testing.T) {
	t.Parallel()
	l := load{
		policy: idempotentPolicy(), clients: 5000, gap: time.Second, span: 10 * time.Second,
		fails: func(time.Duration, float64) bool { return true },
	}
	l.run(1)
	t.Logf("%d calls, %d attempts, %d retries", l.begun, l.attempts, l.retries)
	if !l.spent || l.sparse != 0 || l.retries >= 50 || l.attempts != l.begun+l.retries {
		t.Errorf("%d retries, of them %d after the tokens were spent; want fewer than half of 100, and none", l.retries, l.sparse)
	}
	if most := 1 + l.policy.Budget.Ratio; float64(l.attempts) > most*float64(l.begun) {
		t.Errorf("%d attempts of %d calls", l.attempts, l.begun)
	}
}

// The same after an outage: its end finds no retries piled up, and afterwards
// they come back.
func TestAnOutageEndsWithoutARetryStorm(t *testing.T) {
	t.Parallel()
	l := load{
		policy: idempotentPolicy(), clients: 3000, gap: time.Second, span: 30 * time.Second,
		fails: func(at time.Duration, roll float64) bool {
			return at > 10*time.Second && at < 20*time.Second || roll < 0.01
		},
	}
	l.run(2)
	t.Logf("%d calls, %d attempts, %d successes, %d retries, %d since the tokens were spent",
		l.begun, l.attempts, l.successes, l.retries, l.sparse)
	if l.worst > 1e-6 || float64(l.sparse) > l.policy.Budget.Ratio*float64(l.ended) {
		t.Errorf("%d retries of %d calls since the tokens were spent, %v too many", l.sparse, l.ended, l.worst)
	}
	if l.sparse == 0 {
		t.Error("retries never came back")
	}
}

// Whatever part fails: the bounds that Budget states hold at every moment.
func TestPartialFailureIsAmplifiedByTheRatioAtMost(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.Float64Range(0, 1).Draw(t, "failure rate")
		l := load{
			policy: idempotentPolicy(), clients: rapid.IntRange(1, 300).Draw(t, "clients"),
			gap: 100 * time.Millisecond, span: time.Second,
			fails: func(_ time.Duration, roll float64) bool { return roll < rate },
		}
		l.policy.Retry.Attempts = rapid.IntRange(1, 5).Draw(t, "attempts")
		l.policy.Budget = drawBudgetPolicy(t)
		l.policy.Budget.Off = false
		l.run(rapid.Uint64().Draw(t, "seed"))
		b := l.policy.Budget
		if most := b.Tokens/2 + b.Ratio*float64(l.successes); float64(l.retries) > most+1e-6 {
			t.Fatalf("%d retries with %d successes; want at most %v", l.retries, l.successes, most)
		}
		if l.worst > 1e-6 || float64(l.sparse) > b.Ratio*float64(l.ended)+1e-6 {
			t.Fatalf("%d retries of %d calls since the tokens were spent, %v too many", l.sparse, l.ended, l.worst)
		}
	})
}
