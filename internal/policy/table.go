package policy

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/setting"
)

// Table gives each method its policy, by patterns: reliability.Rules has the rule by
// which they decide. It does not change and is safe for concurrent use; to replace
// the policies, make another.
type Table struct {
	root   *entry            // what nothing is said of
	exact  map[string]*entry // by method
	prefix map[string]*entry // by the pattern without its star
	all    []*entry          // root first, then every pattern after those that it inherits from
}

// entry is one pattern with what it amounts to. All patterns that match a
// method are nested, so the longest of them determines the policy.
type entry struct {
	pattern string // "default" of the root
	parent  *entry // the next shorter pattern that matches all that this one matches
	policy  Policy
	from    []*entry // by field: where the value comes from
}

// fromDefault is where values come from of which no pattern says anything.
const fromDefault = "default"

// NewTable returns what the policies of patterns amount to; P is reliability.Policy.
// Nothing of methods is kept. The error is an [*InvalidError] with all that [Check]
// has against them as an error; warnings are no hindrance.
func NewTable[P any](methods map[string]P) (*Table, error) {
	all := read(methods)
	var refused []Finding
	for _, f := range check(all) {
		if f.Level == setting.LevelError {
			refused = append(refused, f)
		}
	}
	if len(refused) > 0 {
		return nil, &InvalidError{Findings: refused}
	}
	return build(all), nil
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

// build makes the table of what is said completely, whatever the values.
func build(methods map[string]said) *Table {
	t := &Table{root: newEntry(fromDefault, nil, nil), exact: map[string]*entry{}, prefix: map[string]*entry{}}
	t.all = append(t.all, t.root)
	// What a pattern inherits from is shorter, or the same with a star.
	patterns := slices.SortedFunc(maps.Keys(methods), func(a, b string) int {
		return cmp.Or(len(prefixOf(a))-len(prefixOf(b)), strings.Compare(a, b))
	})
	for _, pattern := range patterns {
		if !isExact(pattern) {
			t.add(pattern, t.prefix, methods[pattern])
		}
	}
	for _, pattern := range patterns {
		if isExact(pattern) {
			t.add(pattern, t.exact, methods[pattern])
		}
	}
	return t
}

func (t *Table) add(pattern string, to map[string]*entry, s said) {
	e := newEntry(pattern, t.byPrefix(prefixOf(pattern)), s)
	to[prefixOf(pattern)] = e
	t.all = append(t.all, e)
}

func isExact(pattern string) bool { return !strings.HasSuffix(pattern, "*") }

func prefixOf(pattern string) string { return strings.TrimSuffix(pattern, "*") }

func newEntry(pattern string, parent *entry, s said) *entry {
	e := &entry{
		pattern: pattern, parent: parent, policy: Default(), from: make([]*entry, len(fields)),
	}
	if parent == nil {
		for i := range e.from {
			e.from[i] = e
		}
		return e
	}
	e.policy = parent.policy
	copy(e.from, parent.from)
	s.apply(&e.policy)
	for i := range s {
		if s[i] != nil {
			e.from[i] = e
		}
	}
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

// byPrefix returns the longest prefix pattern that matches the method, or the root.
func (t *Table) byPrefix(method string) *entry {
	for n := min(len(method), warren.MaxMethod); n >= 0; n-- {
		if e := t.prefix[method[:n]]; e != nil {
			return e
		}
	}
	return t.root
}

// Setting is one value of a method's policy and where it comes from.
type Setting struct {
	Field string `json:"field"` // a name that Fields lists
	Value string `json:"value"` // as a file says it
	From  string `json:"from"`  // the pattern that says it, or "default"
}

// Explain returns every value of a method's policy, in the order of [Fields].
func (t *Table) Explain(method string) []Setting {
	e := t.find(method)
	settings := make([]Setting, len(fields))
	for i := range fields {
		settings[i] = Setting{Field: fields[i].Name, Value: e.format(i), From: e.from[i].pattern}
	}
	return settings
}

// format writes a value of the entry's policy.
func (e *entry) format(field int) string {
	value, _ := fields[field].Get(&e.policy)
	return fields[field].Format(value)
}
