package policy

import (
	"slices"
	"strings"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/setting"
)

// said is what a pattern says, by field; nil where it says nothing.
type said []any

// read returns what the policies of patterns say. P is reliability.Policy, in which
// what is nil says nothing.
func read[P any](methods map[string]P) map[string]said {
	all := make(map[string]said, len(methods))
	for pattern, p := range methods {
		s := make(said, len(fields))
		for i := range fields {
			s[i], _ = fields[i].Get(&p)
			if codes, ok := s[i].([]warren.Code); ok {
				s[i] = slices.Clone(codes) // what the caller does with its list must not reach the table
			}
		}
		all[pattern] = s
	}
	return all
}

// more reports whether anything is said of a part besides its switch.
func (s said) more(part string) bool {
	for i := range fields {
		if s[i] != nil && strings.HasPrefix(fields[i].Name, part+".") {
			return true
		}
	}
	return false
}

// complete sets the switches that other values imply.
func (s said) complete() {
	for i := range fields {
		if fields[i].Kind == setting.Switch && s[i] == nil && s.more(fields[i].Name) {
			s[i] = true
		}
	}
}

// apply sets what is said in a policy.
func (s said) apply(p *Policy) {
	for i := range fields {
		if s[i] != nil {
			fields[i].Set(p, s[i])
		}
	}
}

// Of returns a policy with what p, a reliability.Policy, says, and the defaults for
// the rest.
func Of[P any](p P) Policy {
	s := read(map[string]P{"": p})[""]
	s.complete()
	policy := Default()
	s.apply(&policy)
	return policy
}

// Copy has to, a reliability.Policy, say all that from has.
func Copy[P any](to *P, from *Policy) {
	for i := range fields {
		value, _ := fields[i].Get(from)
		fields[i].Set(to, value)
	}
}
