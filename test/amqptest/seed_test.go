package amqptest

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSameSeedDrawsSameRules(t *testing.T) {
	t.Parallel()
	plan := Plan{Count: 20}
	first := Draw(7, plan)
	if !reflect.DeepEqual(first, Draw(7, plan)) {
		t.Error("the same seed drew other rules")
	}
	if reflect.DeepEqual(first, Draw(8, plan)) {
		t.Error("another seed drew the same rules")
	}
	// Seeds are kept in reports of failures: a change to what they draw should be made knowingly.
	const want = "basic.ack from-client nth=36: reorder 3ms\n" +
		"basic.deliver from-broker nth=41: corrupt\n" +
		"basic.deliver from-broker nth=25: cancel-consumer\n"
	if got := lineRules(Draw(1, Plan{})); got != want {
		t.Errorf("seed 1 draws\n%swant\n%s", got, want)
	}
}

func lineRules(rules []Rule) string {
	var b strings.Builder
	for _, r := range rules {
		b.WriteString(r.String() + "\n")
	}
	return b.String()
}

func TestDrawnRulesAreWithinThePlan(t *testing.T) {
	t.Parallel()
	plan := Plan{
		Kinds: []string{"nack", "delay", "restart"}, Count: 300, Within: 9, MaxWait: 5 * time.Millisecond,
		When: When{Conn: 2},
	}
	kinds, nths, methods := map[string]bool{}, map[int]bool{}, map[string]bool{}
	for _, r := range Draw(1, plan) {
		if err := r.Validate(); err != nil {
			t.Errorf("%v: %v", r, err)
		}
		again, err := ParseRule(r.String())
		if err != nil || !reflect.DeepEqual(again, r) {
			t.Errorf("%v is read as %v, %v", r, again, err)
		}
		if r.When.Conn != 2 || r.Nth < 1 || r.Nth > 9 || r.Do.wait > 5*time.Millisecond {
			t.Errorf("%v is not within the plan", r)
		}
		kinds[r.Do.kind.info().name], nths[r.Nth], methods[r.When.Method] = true, true, true
	}
	if len(kinds) != 3 || len(nths) != 9 || len(methods) != 3 {
		t.Errorf("300 rules have only the kinds %v, nths %v and methods %v", kinds, nths, methods)
	}
}

func TestDrawTakesTheMethodFromThePlan(t *testing.T) {
	t.Parallel()
	for _, r := range Draw(3, Plan{Kinds: []string{"drop"}, Count: 20, When: When{Method: "queue.declare"}}) {
		if r.When.Method != "queue.declare" {
			t.Errorf("drew %v", r)
		}
	}
	for _, r := range Draw(3, Plan{Kinds: []string{"drop", "corrupt"}, Count: 20, When: When{Direction: FromBroker}}) {
		if r.When.Direction != FromBroker {
			t.Errorf("drew %v", r)
		}
	}
}

func TestEveryKindCanBeDrawn(t *testing.T) {
	t.Parallel()
	for _, kind := range Kinds() {
		for _, r := range Draw(5, Plan{Kinds: []string{kind}, Count: 30}) {
			if err := r.Validate(); err != nil || r.Do.kind.info().name != kind {
				t.Errorf("%s: %v, %v", kind, r, err)
			}
		}
	}
	if slices.Contains(Kinds(), "do") {
		t.Error("a function can be drawn")
	}
}

func TestInvalidPlansAreRefusedWhateverTheSeed(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		plan   Plan
		reason string
	}{
		{Plan{Kinds: []string{}}, "Kinds is empty"},
		{Plan{Kinds: []string{"drop", "explode"}}, `no kind "explode"`},
		{Plan{Kinds: []string{"do"}}, `no kind "do"`},
		{Plan{Count: 1001}, "Count is 1001"},
		{Plan{Count: -1}, "Count is -1"},
		{Plan{Within: -1}, "Within is -1"},
		{Plan{MaxWait: 1}, "MaxWait is 1ns"},
		{Plan{When: When{Method: "basic.fly"}}, `no method "basic.fly"`},
		{Plan{Kinds: []string{"drop", "nack"}, When: When{Method: "basic.deliver"}}, "nack can do nothing"},
	} {
		for seed := range uint64(5) {
			if _, err := test.plan.draw(seed); err == nil || !strings.Contains(err.Error(), test.reason) {
				t.Errorf("%+v: error is %v; want %s", test.plan, err, test.reason)
			}
		}
	}
	if _, err := Start(Options{Listen: noListener, Plan: &Plan{Count: -1}}); err == nil {
		t.Error("Start took a plan that is not valid")
	}
	if _, err := Start(Options{Listen: noListener, Faults: []Rule{{}}}); err == nil {
		t.Error("Start took a rule that is not valid")
	}
}

func TestSeedComesFromTheEnvironmentUnlessItIsGiven(t *testing.T) {
	drawn := func(o Options) string {
		t.Helper()
		b := newRecorder(t, o)
		var list []Rule
		for _, f := range *b.faults.rules.Load() {
			list = append(list, f.Rule())
		}
		return lineRules(list)
	}
	random := newRecorder(t, Options{Plan: &Plan{}})
	if random.faults.seed == 0 {
		t.Error("no seed was chosen")
	}
	t.Setenv(seedVariable, "77")
	own := Rule{Do: Nack()}
	if got, want := drawn(Options{Plan: &Plan{}, Faults: []Rule{own}}), lineRules(append([]Rule{own}, Draw(77, Plan{})...)); got != want {
		t.Errorf("with %s=77 the rules are\n%swant\n%s", seedVariable, got, want)
	}
	if got, want := drawn(Options{Seed: 5}), lineRules(Draw(5, Plan{})); got != want {
		t.Errorf("with Seed 5 the rules are\n%swant\n%s", got, want)
	}
	if b := newRecorder(t, Options{}); b.faults.rules.Load() != nil {
		t.Error("rules are drawn without a plan or a seed")
	}
	t.Setenv(seedVariable, "x")
	if _, err := Start(Options{Listen: noListener, Plan: &Plan{}}); err == nil || !strings.Contains(err.Error(), seedVariable) {
		t.Errorf("error is %v", err)
	}
}
