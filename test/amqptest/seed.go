package amqptest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"time"
)

// Plan says what Draw draws. The zero value is complete.
type Plan struct {
	// Kinds are the actions to draw from, by their names in texts. One that stands there twice is drawn twice as often.
	// Default: all of Kinds but "half-open", which clients notice after seconds at the earliest.
	Kinds []string
	// Count is how many rules are drawn, 1000 at most. Default: 3.
	Count int
	// Within bounds Nth, which is drawn from 1 on: each rule meets one of the first Within events that it matches.
	// Default: 50.
	Within int
	// MaxWait bounds delays, stalls, blocks and the time for which the broker is down. Default: 100 ms; at least 1 ms.
	MaxWait time.Duration
	// When is what all rules match at least. Where it leaves them open, the method and the direction are drawn too,
	// from the methods that carry messages and acknowledgements.
	When When
}

// Kinds are the names of the actions that can be drawn: all but "do".
func Kinds() []string {
	var names []string
	for kind, info := range actionKinds {
		if kind := actionKind(kind); kind != actionNone && kind != actionDo {
			names = append(names, info.name)
		}
	}
	return names
}

// Draw draws rules at random: the same for the same seed, plan and version of this package. Each has one action and
// meets one event. What happens with them is the same again if the events that they match come in the same order, see
// Broker.Inject.
//
// Draw panics if the plan is not valid: for a kind that does not exist or that can do nothing to what When leaves.
// Options.Plan lets a broker draw, log the seed when the test fails and take it from the environment.
func Draw(seed uint64, plan Plan) []Rule {
	rules, err := plan.draw(seed)
	if err != nil {
		panic(fmt.Sprintf("amqptest: Draw: %v", err))
	}
	return rules
}

const maxDrawn = 1000

func (p Plan) draw(seed uint64) ([]Rule, error) {
	setDefault(&p.Count, 3)
	setDefault(&p.Within, 50)
	setDefault(&p.MaxWait, 100*time.Millisecond)
	if p.Kinds == nil {
		p.Kinds = slices.DeleteFunc(Kinds(), func(name string) bool { return name == actionHalfOpen.info().name })
	}
	switch {
	case len(p.Kinds) == 0:
		return nil, errors.New("field Kinds is empty")
	case p.Count < 0 || p.Count > maxDrawn:
		return nil, fmt.Errorf("field Count is %d; it must be 1 to %d", p.Count, maxDrawn)
	case p.Within < 0:
		return nil, fmt.Errorf("field Within is %d; it must be 1 at least", p.Within)
	case p.MaxWait < time.Millisecond || p.MaxWait > maxWait:
		return nil, fmt.Errorf("field MaxWait is %v; it must be 1ms to %v", p.MaxWait, maxWait)
	}
	// Checked for all kinds, so that a plan is valid for every seed or for none.
	targets := make([][]target, len(p.Kinds))
	for i, name := range p.Kinds {
		kind := kindNamed(name)
		if kind == actionNone || kind == actionDo {
			return nil, fmt.Errorf("there is no kind %q to draw; there are %v", name, Kinds())
		}
		var err error
		if targets[i], err = p.targets(kind); err != nil {
			return nil, err
		}
	}
	random := rand.New(rand.NewPCG(seed, 0))
	rules := make([]Rule, p.Count)
	for i := range rules {
		n := random.IntN(len(p.Kinds))
		t := targets[n][random.IntN(len(targets[n]))]
		r := Rule{When: p.When, Nth: 1 + random.IntN(p.Within)}
		r.When.Method, r.When.Direction = t.method, t.direction
		r.Do = p.action(kindNamed(p.Kinds[n]), time.Millisecond*time.Duration(1+random.Int64N(p.MaxWait.Milliseconds())))
		rules[i] = r
	}
	return rules, nil
}

// target is what a drawn rule may match.
type target struct {
	method    string
	direction Direction
}

// frequent are the methods that a program depends on most, by who sends them.
var frequent = []target{
	{"basic.publish", FromClient}, {"basic.deliver", FromBroker}, {"basic.ack", FromClient}, {"basic.ack", FromBroker},
}

// targets are the frequent methods that a kind and the plan leave; or if there are none, what the plan says.
func (p Plan) targets(kind actionKind) ([]target, error) {
	a := p.action(kind, time.Millisecond)
	own := target{p.When.Method, p.When.Direction}
	if _, err := (Rule{When: p.When, Do: a}).compile(); err != nil {
		return nil, err
	}
	var list []target
	for _, t := range frequent {
		if p.When.wants(t.method) && (own.direction == 0 || own.direction == t.direction) && a.meets(t.direction, t.method) {
			list = append(list, t)
		}
	}
	if len(list) == 0 {
		list = []target{own}
	}
	return list, nil
}

// action is one of a kind as it is drawn.
func (p Plan) action(kind actionKind, wait time.Duration) Action {
	switch a := (Action{kind: kind}); kind.info().arguments {
	case argumentDuration, argumentMayBeDuration, argumentRestart:
		a.wait = wait
		return a
	case argumentCount:
		a.count = 1
		return a
	case argumentReply:
		a.code, a.text = 406, "fault"
		if kind == actionCloseConnection {
			a.code = 320
		}
		return a
	default:
		return a
	}
}

// seedVariable names a seed in the environment.
const seedVariable = "AMQPTEST_SEED"

// chooseSeed is the seed that is given, else the environment's, else a random one.
func chooseSeed(given uint64) (uint64, error) {
	if given != 0 {
		return given, nil
	}
	text := os.Getenv(seedVariable)
	if text == "" {
		return rand.Uint64N(1<<32-1) + 1, nil // short enough to be typed
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("amqptest: %s: %w", seedVariable, err)
	}
	return seed, nil
}
