package policy_test

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/setting"
	"github.com/warren-rpc/warren/reliability"
)

func table(t interface {
	Helper()
	Fatal(args ...any)
}, methods map[string]reliability.Policy) *policy.Table {
	t.Helper()
	table, err := policy.NewTable(methods)
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

// say says one value, written as Explain writes it.
func say(t interface {
	Helper()
	Fatal(args ...any)
}, p *reliability.Policy, field, text string) {
	t.Helper()
	i := slices.IndexFunc(policy.Fields(), func(f setting.Field) bool { return f.Name == field })
	f := policy.Fields()[i]
	var value any
	var err error
	switch f.Kind {
	case setting.Duration:
		value, err = setting.ParseDuration(text)
	case setting.Count:
		value, err = strconv.Atoi(text)
	case setting.Number:
		value, err = strconv.ParseFloat(text, 64)
	case setting.Bool:
		value, err = strconv.ParseBool(text)
	case setting.Switch:
		value = text == "on"
	default:
		codes := []warren.Code{}
		for name := range strings.FieldsFuncSeq(text, func(r rune) bool { return strings.ContainsRune(", ", r) }) {
			var code warren.Code
			code, err = warren.ParseCode(name)
			codes = append(codes, code)
		}
		value = codes
	}
	if err != nil {
		t.Fatal(err)
	}
	f.Set(p, value)
}

// drawPolicy says some values, and returns them as said, switches that follow from
// them included.
func drawPolicy(t *rapid.T) (reliability.Policy, map[string]string) {
	var s reliability.Policy
	said := map[string]string{}
	for _, f := range policy.Fields() {
		part, _, nested := strings.Cut(f.Name, ".")
		if nested && said[part] == "off" || len(samples[f.Name]) == 0 || !rapid.Bool().Draw(t, f.Name+"?") {
			continue
		}
		value := rapid.SampledFrom(samples[f.Name]).Draw(t, f.Name)
		say(t, &s, f.Name, value)
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
		methods, said := map[string]reliability.Policy{}, map[string]map[string]string{}
		for range rapid.IntRange(0, 8).Draw(t, "patterns") {
			pattern := name.Draw(t, "pattern")
			if rapid.Bool().Draw(t, "prefix") {
				pattern = pattern[:rapid.IntRange(0, len(pattern)).Draw(t, "length")] + "*"
			}
			methods[pattern], said[pattern] = drawPolicy(t)
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

// What Explain tells can be said, and the policy is the same.
func TestExplanationIsThePolicy(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		spec, _ := drawPolicy(t)
		first := table(t, map[string]reliability.Policy{"*": spec})
		var again reliability.Policy
		for _, s := range first.Explain("m") {
			part, _, nested := strings.Cut(s.Field, ".")
			if nested && slices.Contains([]string{"budget", "breaker", "hedge"}, part) && off(first.Policy("m"), part) {
				continue
			}
			say(t, &again, s.Field, s.Value)
		}
		second := table(t, map[string]reliability.Policy{"*": again})
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
	methods := map[string]reliability.Policy{"*": {Timeout: &timeout, Retry: reliability.RetryPolicy{Codes: codes}}}
	table := table(t, methods)
	codes[0], timeout = warren.CodeUnavailable, time.Hour
	delete(methods, "*")
	if p := table.Policy("m"); p.Timeout != time.Second || p.Retry.Codes[0] != warren.CodeAborted {
		t.Errorf("%+v", p)
	}
}

func TestSayingAnythingOfAPartTurnsItOn(t *testing.T) {
	t.Parallel()
	table := table(t, map[string]reliability.Policy{
		"*": {Budget: reliability.BudgetPolicy{Off: new(true)}, Breaker: reliability.BreakerPolicy{Off: new(true)}},
		"on": {
			Idempotent: new(true), Budget: reliability.BudgetPolicy{Ratio: new(0.5)},
			Breaker: reliability.BreakerPolicy{Probes: new(2)}, Hedge: reliability.HedgePolicy{Delay: new(time.Second)},
		},
	})
	if p := table.Policy("on"); p.Budget.Off || p.Breaker.Off || !p.Hedge.On {
		t.Errorf("%+v", p)
	}
	if p := table.Policy("m"); !p.Budget.Off || !p.Breaker.Off || p.Hedge.On {
		t.Errorf("%+v", p)
	}
}

func manyRules(n int) map[string]reliability.Policy {
	methods := map[string]reliability.Policy{"*": {Timeout: new(time.Second)}}
	for i := range n {
		methods[fmt.Sprintf("service%d.*", i)] = reliability.Policy{Timeout: new(2 * time.Second)}
		methods[fmt.Sprintf("service%d.get", i)] = reliability.Policy{Idempotent: new(true)}
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
