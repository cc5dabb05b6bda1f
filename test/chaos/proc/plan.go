package proc

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"

	"github.com/warren-rpc/warren/internal/crashpoint"
)

// Plan says at which crash points a process kills itself: a list separated by
// commas, of which the first entry that comes true acts.
//
//	effect-done       the first time that the point is reached
//	effect-done:3     the third time
//	effect-done:1/50  each time with a probability of 1 in 50
//	effect-done:hold  the first time, but it holds the call there, until it is killed
//	                  or armed with another plan
//
// An empty plan kills nothing.
type Plan string

// Points lists the crash points, in the order in which a call passes them.
func Points() []string {
	names := make([]string, len(crashpoint.All))
	for i, p := range crashpoint.All {
		names[i] = string(p)
	}
	return names
}

// Check returns what is wrong with the plan, or nil.
func (p Plan) Check() error {
	_, err := p.parse()
	return err
}

// trigger is one entry of a plan.
type trigger struct {
	point crashpoint.Point
	nth   int // 0: by chance
	one   int // a chance of one in so many
	in    int
	hold  bool // the call, and do not die
}

func (p Plan) parse() ([]trigger, error) {
	var triggers []trigger
	if p == "" {
		return nil, nil
	}
	for entry := range strings.SplitSeq(string(p), ",") {
		name, when, given := strings.Cut(strings.TrimSpace(entry), ":")
		t := trigger{point: crashpoint.Point(name), nth: 1}
		if !slices.Contains(crashpoint.All, t.point) {
			return nil, fmt.Errorf("proc: crash plan %q: no point is named %q; there are %s", string(p), name, strings.Join(Points(), ", "))
		}
		if given {
			var ok bool
			if t, ok = t.when(when); !ok {
				return nil, fmt.Errorf("proc: crash plan %q: %q is neither a positive number, nor a chance like 1/50, nor hold", string(p), when)
			}
		}
		triggers = append(triggers, t)
	}
	return triggers, nil
}

func (t trigger) when(text string) (trigger, bool) {
	if text == "hold" {
		t.hold = true
		return t, true
	}
	numerator, denominator, chance := strings.Cut(text, "/")
	n, err := strconv.Atoi(numerator)
	if err != nil || n < 1 {
		return t, false
	}
	if !chance {
		t.nth = n
		return t, true
	}
	of, err := strconv.Atoi(denominator)
	t.nth, t.one, t.in = 0, n, of
	return t, err == nil && of >= n
}

// trap counts how often points are reached, and says when a plan comes true. Its
// user guards it.
type trap struct {
	triggers []trigger
	reached  map[crashpoint.Point]int
	random   *rand.Rand
	released chan struct{} // closed when another plan is in force
}

func newTrap(p Plan, seed uint64) (*trap, error) {
	triggers, err := p.parse()
	if err != nil {
		return nil, err
	}
	return &trap{
		triggers: triggers, reached: map[crashpoint.Point]int{}, random: rand.New(rand.NewPCG(seed, 1)),
		released: make(chan struct{}),
	}, nil
}

// springs counts, and returns the trigger that comes true here, or nil.
func (t *trap) springs(point crashpoint.Point) (nth int, sprung *trigger) {
	t.reached[point]++
	nth = t.reached[point]
	for i, trigger := range t.triggers {
		if trigger.point != point {
			continue
		}
		if trigger.nth == nth || trigger.nth == 0 && t.random.IntN(trigger.in) < trigger.one {
			return nth, &t.triggers[i]
		}
	}
	return nth, nil
}
