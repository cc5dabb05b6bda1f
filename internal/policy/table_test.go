package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
)

func table(t interface {
	Helper()
	Fatal(args ...any)
}, methods map[string]policy.Spec) *policy.Table {
	t.Helper()
	table, err := policy.NewTable(policy.Rules{Methods: methods})
	if err != nil {
		t.Fatal(err)
	}
	return table
}

// samples has values for each field that contradict no other.
var samples = map[string][]string{
	"timeout": {"9s", "10s", "11s"}, "attempt_timeout": {"0s", "1s", "2s"}, "idempotent": {"true"},
	"retry.attempts": {"2", "3"}, "retry.first": {"100ms", "200ms"}, "retry.most": {"200ms", "1s"},
	"retry.jitter": {"true", "false"}, "retry.codes": {"", "unavailable", "aborted, unavailable"},
	"retry.fail_nacked": {"true", "false"},
	"budget":            {"on", "off"}, "budget.tokens": {"10", "20.5"}, "budget.ratio": {"0.25", "1"},
	"breaker": {"on", "off"}, "breaker.window": {"1s", "10m"}, "breaker.volume": {"1", "30"}, "breaker.failures": {"0.1", "1"},
	"breaker.slow_after": {"0s", "1s"}, "breaker.slow": {"0.5", "1"}, "breaker.open": {"1ms", "5s"}, "breaker.probes": {"1", "7"},
	"hedge": {"off"}, "hedge.delay": {}, "bulkhead.calls": {"0", "5"},
}

// drawSpec says some values, and returns them as said, switches that follow from
// them included.
func drawSpec(t *rapid.T) (policy.Spec, map[string]string) {
	var s policy.Spec
	said := map[string]string{}
	for _, f := range policy.Fields() {
		part, _, nested := strings.Cut(f.Name, ".")
		if nested && said[part] == "off" || len(samples[f.Name]) == 0 || !rapid.Bool().Draw(t, f.Name+"?") {
			continue
		}
		value := rapid.SampledFrom(samples[f.Name]).Draw(t, f.Name)
		if err := s.Set(f.Name, value); err != nil {
			t.Fatal(err)
		}
		said[f.Name] = value
		if part == "budget" || part == "breaker" {
			if _, ok := said[part]; !ok {
				said[part] = "on"
			}
		}
	}
	return s, said
}

// For each value the longest pattern that says it decides, and an exact name
// before all: compared with looking through all patterns for each value.
func TestLongestPatternThatSaysAValueDecides(t *testing.T) {
	t.Parallel()
	name := rapid.StringMatching(`[ab.]{1,4}`)
	rapid.Check(t, func(t *rapid.T) {
		methods, said := map[string]policy.Spec{}, map[string]map[string]string{}
		for range rapid.IntRange(0, 8).Draw(t, "patterns") {
			pattern := name.Draw(t, "pattern")
			if rapid.Bool().Draw(t, "prefix") {
				pattern = pattern[:rapid.IntRange(0, len(pattern)).Draw(t, "length")] + "*"
			}
			methods[pattern], said[pattern] = drawSpec(t)
		}
		table := table(t, methods)
		for range 20 {
			method := name.Draw(t, "method")
			for i, got := range table.Explain(method) {
				f := policy.Fields()[i]
				want := policy.Setting{Field: f.Name, Value: f.Default, From: "default"}
				longest := -1
				for pattern, values := range said {
					prefix, isPrefix := strings.CutSuffix(pattern, "*")
					length := len(prefix)
					if !isPrefix {
						length = 1000
					}
					value, says := values[f.Name]
					matches := pattern == method || isPrefix && strings.HasPrefix(method, prefix)
					if matches && says && length > longest {
						longest, want.Value, want.From = length, value, pattern
					}
				}
				if got != want {
					t.Fatalf("%s of %q: %+v, want %+v, by %v", f.Name, method, got, want, said)
				}
			}
		}
	})
}

// What Explain tells, Set takes, and the policy is the same.
func TestExplanationIsThePolicy(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		spec, _ := drawSpec(t)
		first := table(t, map[string]policy.Spec{"*": spec})
		var again policy.Spec
		for _, s := range first.Explain("m") {
			part, _, nested := strings.Cut(s.Field, ".")
			if nested && slices.Contains([]string{"budget", "breaker", "hedge"}, part) && off(first.Policy("m"), part) {
				continue
			}
			if err := again.Set(s.Field, s.Value); err != nil {
				t.Fatal(err)
			}
		}
		second := table(t, map[string]policy.Spec{"*": again})
		for i, s := range second.Explain("m") {
			part, _, _ := strings.Cut(s.Field, ".")
			if want := first.Explain("m")[i]; s.Value != want.Value && !off(first.Policy("m"), part) {
				t.Fatalf("%+v, was %+v", s, want)
			}
		}
	})
}

func off(p *policy.Policy, part string) bool {
	return part == "budget" && p.Budget.Off || part == "breaker" && p.Breaker.Off || part == "hedge" && !p.Hedge.On
}

func TestPolicyWithoutRulesIsTheDefault(t *testing.T) {
	t.Parallel()
	got, want := *table(t, nil).Policy("any"), policy.Default()
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}

// What belongs to the caller may be changed by it afterwards.
func TestTableKeepsNothingOfTheRules(t *testing.T) {
	t.Parallel()
	codes := []warren.Code{warren.CodeAborted}
	timeout := time.Second
	methods := map[string]policy.Spec{"*": {Timeout: &timeout, Retry: policy.RetrySpec{Codes: codes}}}
	table := table(t, methods)
	codes[0], timeout = warren.CodeUnavailable, time.Hour
	delete(methods, "*")
	if p := table.Policy("m"); p.Timeout != time.Second || p.Retry.Codes[0] != warren.CodeAborted {
		t.Errorf("%+v", p)
	}
}

func TestSayingAnythingOfAPartTurnsItOn(t *testing.T) {
	t.Parallel()
	table := table(t, map[string]policy.Spec{
		"*": {Budget: policy.BudgetSpec{Off: new(true)}, Breaker: policy.BreakerSpec{Off: new(true)}},
		"on": {
			Idempotent: new(true), Budget: policy.BudgetSpec{Ratio: new(0.5)},
			Breaker: policy.BreakerSpec{Probes: new(2)}, Hedge: policy.HedgeSpec{Delay: new(time.Second)},
		},
	})
	if p := table.Policy("on"); p.Budget.Off || p.Breaker.Off || !p.Hedge.On {
		t.Errorf("%+v", p)
	}
	if p := table.Policy("m"); !p.Budget.Off || !p.Breaker.Off || p.Hedge.On {
		t.Errorf("%+v", p)
	}
}

func manyRules(n int) map[string]policy.Spec {
	methods := map[string]policy.Spec{"*": {Timeout: new(time.Second)}}
	for i := range n {
		methods[fmt.Sprintf("service%d.*", i)] = policy.Spec{Timeout: new(2 * time.Second)}
		methods[fmt.Sprintf("service%d.get", i)] = policy.Spec{Idempotent: new(true)}
	}
	return methods
}

// Names come from callers: looking them up costs nothing that stays.
func TestPolicyDoesNotAllocate(t *testing.T) {
	table := table(t, manyRules(1000))
	for _, method := range []string{"service999.get", "service5.put", "nothing", "", strings.Repeat("s", 300)} {
		if n := testing.AllocsPerRun(100, func() { table.Policy(method) }); n != 0 {
			t.Errorf("%.20q: %v allocations", method, n)
		}
	}
	if p := table.Policy("service7.get"); !p.Idempotent || p.Timeout != 2*time.Second {
		t.Errorf("%+v", p)
	}
}

func TestTableIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	table := table(t, manyRules(10))
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 100 {
				method := fmt.Sprintf("service%d.m%d", i, j)
				table.Explain(method)
				if table.Policy(method).Timeout != 2*time.Second {
					t.Error(method)
				}
			}
		})
	}
	wg.Wait()
}

func TestSetRefusesWhatIsNotOfTheKind(t *testing.T) {
	t.Parallel()
	for field, values := range map[string][]string{
		"timeout":        {"", "5", "1.5", "-1s", "s", "1 s", "1d", "0", "+1s", ".5s", "99999999h"},
		"idempotent":     {"", "yes", "1", "True"},
		"retry.attempts": {"", "x", "1.5", "99999999999999999999"},
		"retry.codes":    {"nope", "unavailable,", ","},
		"budget":         {"", "true", "{}"},
		"budget.ratio":   {"", "x"},
		"nosuch":         {"1"},
		"retry":          {"on"},
		"":               {""},
	} {
		for _, value := range values {
			var s policy.Spec
			if err := s.Set(field, value); err == nil || !strings.HasPrefix(err.Error(), "reliability: ") {
				t.Errorf("%s %q: %v", field, value, err)
			}
			if table := table(t, map[string]policy.Spec{"*": s}); fmt.Sprint(table.Explain("m")) != fmt.Sprint(defaults()) {
				t.Errorf("%s %q: something is said", field, value)
			}
		}
	}
}

func defaults() []policy.Setting {
	var list []policy.Setting
	for _, f := range policy.Fields() {
		list = append(list, policy.Setting{Field: f.Name, Value: f.Default, From: "default"})
	}
	return list
}

func TestEveryFieldIsTested(t *testing.T) {
	t.Parallel()
	names := slices.Sorted(maps.Keys(samples))
	var want []string
	for _, f := range policy.Fields() {
		want = append(want, f.Name)
		if f.Doc == "" || f.Kind == 0 {
			t.Errorf("%s is not described", f.Name)
		}
	}
	slices.Sort(want)
	if !slices.Equal(names, want) {
		t.Errorf("fields %v, samples %v", want, names)
	}
}

func BenchmarkTablePolicy(b *testing.B) {
	table := table(b, manyRules(1000))
	b.ReportAllocs()
	for b.Loop() {
		table.Policy("service512.put")
	}
}
