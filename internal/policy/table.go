package policy

import (
	"fmt"
	"slices"
	"strings"
)

// Rules are the policies of methods, by pattern. A pattern is the exact name of
// a method, or the beginning of names and a final `*`: "orders.*", "*". For each
// value the longest pattern that matches the method and says something of it
// decides; an exact name goes before all others, and [Default] comes last.
type Rules struct {
	Methods map[string]Spec `json:"methods"`
}

// Table gives each method its policy. It does not change and is safe for
// concurrent use; to replace the policies, make another.
type Table struct {
	root   *entry            // what nothing is said of
	exact  map[string]*entry // by method
	prefix []*entry          // by prefix, in ascending order
	all    []*entry          // root first, then every pattern after those that it inherits from
}

// entry is one pattern with what it amounts to. All patterns that match a
// method are nested, so the longest of them determines the policy.
type entry struct {
	pattern string // "default" of the root
	prefix  string // the pattern without its star
	spec    Spec   // what it says itself, completed
	parent  *entry // the next shorter pattern that matches all that this one matches
	policy  Policy
	from    []*entry // by field: where the value comes from
}

// fromDefault is where values come from of which no pattern says anything.
const fromDefault = "default"

// NewTable returns the policies that the rules amount to. The rules are copied.
// The error is an [*InvalidError] with all that [Check] has against them as an
// error; warnings are no hindrance.
func NewTable(rules Rules) (*Table, error) {
	if refused := errorsOf(Check(rules)); len(refused) > 0 {
		return nil, &InvalidError{Findings: refused}
	}
	return build(rules), nil
}

// InvalidError tells why rules were refused.
type InvalidError struct {
	Findings []Finding // at least one, all of LevelError
}

// Error is the first finding, and how many more there are.
func (e *InvalidError) Error() string {
	text := "reliability: " + e.Findings[0].String()
	if n := len(e.Findings) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// build makes the table, whatever the values. Patterns that match nothing are
// left out.
func build(rules Rules) *Table {
	t := &Table{root: newEntry(fromDefault, nil, Spec{}), exact: map[string]*entry{}}
	t.all = append(t.all, t.root)
	patterns := make([]string, 0, len(rules.Methods))
	for pattern := range rules.Methods {
		if checkPattern(pattern) == "" {
			patterns = append(patterns, pattern)
		}
	}
	// A prefix sorts before all that begin with it.
	slices.SortFunc(patterns, func(a, b string) int { return strings.Compare(prefixOf(a), prefixOf(b)) })
	var open []*entry // the patterns that the next may inherit from, shortest first
	for _, pattern := range patterns {
		if isExact(pattern) {
			continue
		}
		parent := t.root
		for len(open) > 0 {
			if last := open[len(open)-1]; strings.HasPrefix(prefixOf(pattern), last.prefix) {
				parent = last
				break
			}
			open = open[:len(open)-1]
		}
		e := newEntry(pattern, parent, rules.Methods[pattern])
		open = append(open, e)
		t.prefix = append(t.prefix, e)
		t.all = append(t.all, e)
	}
	for _, pattern := range patterns {
		if isExact(pattern) {
			e := newEntry(pattern, t.byPrefix(pattern), rules.Methods[pattern])
			t.exact[pattern] = e
			t.all = append(t.all, e)
		}
	}
	return t
}

func isExact(pattern string) bool { return !strings.HasSuffix(pattern, "*") }

func prefixOf(pattern string) string { return strings.TrimSuffix(pattern, "*") }

func newEntry(pattern string, parent *entry, spec Spec) *entry {
	e := &entry{
		pattern: pattern, prefix: prefixOf(pattern), spec: spec.complete(), parent: parent, policy: Default(),
		from: make([]*entry, len(fields)),
	}
	if parent != nil {
		e.policy = parent.policy
		copy(e.from, parent.from)
	}
	for i := range fields {
		if f := &fields[i]; parent == nil || f.said(&e.spec) {
			e.from[i] = e
			if parent != nil {
				f.copy(&e.policy, &e.spec)
			}
		}
	}
	// What the caller does with its list must not reach the table.
	e.policy.Retry.Codes = slices.Clone(e.policy.Retry.Codes)
	return e
}

// Policy returns the policy of a method. Methods of the same patterns share it:
// it must not be changed. It does not allocate, and remembers nothing of the
// name.
func (t *Table) Policy(method string) *Policy { return &t.find(method).policy }

// find returns the longest pattern that matches the method, or the root.
func (t *Table) find(method string) *entry {
	if e := t.exact[method]; e != nil {
		return e
	}
	return t.byPrefix(method)
}

// byPrefix returns the longest prefix pattern that matches the method, or the
// root. It is the last pattern that sorts before the method or at it, or one
// that this inherits from: all between them begin with it too.
func (t *Table) byPrefix(method string) *entry {
	low, high := 0, len(t.prefix)
	for low < high {
		if middle := (low + high) / 2; t.prefix[middle].prefix <= method {
			low = middle + 1
		} else {
			high = middle
		}
	}
	if low == 0 {
		return t.root
	}
	e := t.prefix[low-1]
	for e != t.root && !strings.HasPrefix(method, e.prefix) {
		e = e.parent
	}
	return e
}
