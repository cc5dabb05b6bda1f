package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/setting"
)

// Finding is what is wrong with a value of a pattern.
type Finding struct {
	Level   setting.Level
	Pattern string
	Field   string // a name that Fields lists, or empty if it is the pattern
	Message string
}

// String returns the path of the field and the message, as
// "methods.orders.*.retry.attempts: is 9; it must be from 1 to 5".
func (f Finding) String() string {
	path := "methods." + f.Pattern
	if f.Field != "" {
		path += "." + f.Field
	}
	return path + ": " + f.Message
}

// Check returns what is wrong with the policies of patterns, ordered by pattern and
// field; reliability.Check says what is. P is reliability.Policy.
func Check[P any](methods map[string]P) []Finding { return check(read(methods)) }

// check completes what is said, and takes out what it refuses.
func check(methods map[string]said) []Finding {
	c := &checker{}
	for pattern, s := range methods {
		if why := checkPattern(pattern); why != "" {
			c.add(setting.LevelError, pattern, "", "%s", why)
			delete(methods, pattern)
			continue
		}
		s.complete()
		c.values(pattern, s)
	}
	t := build(methods)
	for _, e := range t.all[1:] {
		c.contradictions(e)
	}
	c.alone(t)
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		return cmp.Or(strings.Compare(a.Pattern, b.Pattern), fieldIndex(a.Field)-fieldIndex(b.Field))
	})
	return c.findings
}

// checkPattern says why no method's name can match a pattern, or nothing.
func checkPattern(pattern string) string {
	if pattern == "" {
		return `the pattern is empty; write "*" for all methods`
	}
	name := prefixOf(pattern)
	if strings.Contains(name, "*") {
		return "a star may only stand at the end of a pattern"
	}
	if isExact(pattern) {
		if err := warren.CheckMethod(pattern); err != nil {
			return "no method can have this name: " + strings.TrimPrefix(err.Error(), "warren: ")
		}
		return ""
	}
	// A name that begins so, if there is any: one more byte, which a reserved suffix does not end with.
	if err := warren.CheckMethod(name + "x"); err != nil {
		if len(name) == warren.MaxMethod && warren.CheckMethod(name) == nil {
			return ""
		}
		return "no method's name can begin so: " + strings.TrimPrefix(err.Error(), "warren: ")
	}
	return ""
}

type checker struct{ findings []Finding }

func (c *checker) add(level setting.Level, pattern, field, format string, args ...any) {
	c.findings = append(c.findings, Finding{
		Level: level, Pattern: pattern, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// values checks each value by itself, and takes out those that are out of bounds.
func (c *checker) values(pattern string, s said) {
	for i := range fields {
		f := &fields[i]
		switch value := s[i]; {
		case value == nil:
		case f.Kind == setting.Switch && value == false && s.more(f.Name):
			c.add(setting.LevelError, pattern, f.Name, "is off, and yet more is said of it")
		case !f.Allows(value):
			c.add(setting.LevelError, pattern, f.Name, "is %s; it must be %s", f.Format(value), f.Bounds())
			s[i] = nil
		case f.Kind == setting.List && !c.codes(pattern, f.Name, value.([]warren.Code)): //nolint:errcheck // it has no other type
			s[i] = nil
		}
	}
}

// pointless are codes after which a repetition ends as the call did.
var pointless = []warren.Code{
	warren.CodeCanceled, warren.CodeInvalidArgument, warren.CodePermissionDenied, warren.CodeOutOfRange,
	warren.CodeUnimplemented, warren.CodeUnauthenticated,
}

// codes reports whether all of them are codes.
func (c *checker) codes(pattern, field string, list []warren.Code) bool {
	valid := true
	for i, code := range list {
		switch {
		case !code.Valid():
			c.add(setting.LevelError, pattern, field, "has %v, which is not a code", code)
			valid = false
		case slices.Contains(list[:i], code):
			c.add(setting.LevelError, pattern, field, "has %v twice", code)
		case slices.Contains(pointless, code):
			c.add(setting.LevelWarning, pattern, field, "has %v, which a repetition does not mend", code)
		}
	}
	return valid
}

// alone tells of values that endanger others than the caller, and of values
// that have no effect in any policy that they are part of. It is told where
// they are said: who inherits them can do no more about it.
func (c *checker) alone(t *Table) {
	type source struct {
		by    *entry
		field int
	}
	inUse := map[source]bool{}
	for _, e := range t.all {
		for i, from := range e.from {
			if idleBecause(fields[i].Name, &e.policy) == "" {
				inUse[source{from, i}] = true
			}
		}
	}
	for _, e := range t.all[1:] {
		for i := range fields {
			f := &fields[i]
			if e.from[i] != e {
				continue
			}
			if !inUse[source{e, i}] {
				c.add(setting.LevelWarning, e.pattern, f.Name, "has no effect: %s", idleBecause(f.Name, &e.policy))
			} else if what := danger(f.Name, &e.policy); what != "" {
				c.add(setting.LevelWarning, e.pattern, f.Name, "%s", what)
			}
		}
	}
}

// danger says what a value does to others than the caller, or nothing.
func danger(field string, p *Policy) string {
	switch {
	case field == "retry.jitter" && !p.Retry.Jitter:
		return "is false: callers that failed together come again together"
	case field == "budget" && p.Budget.Off:
		return "is off: while everything fails, retries multiply the load"
	case field == "retry.codes" && len(p.Retry.Codes) == 0:
		return "is empty: nothing is repeated"
	default:
		return ""
	}
}

// idleBecause says why a value has no effect in a policy, or nothing if it has.
func idleBecause(field string, p *Policy) string {
	part, rest, isPart := strings.Cut(field, ".")
	switch {
	case part == "breaker" && isPart && p.Breaker.Off:
		return "the breaker is off"
	case field == "breaker.slow" && p.Breaker.SlowAfter == 0:
		return "no call is slow while breaker.slow_after is not set"
	case part == "hedge" && isPart && !p.Hedge.On:
		return "hedging is off"
	case p.Retry.Attempts > 1:
		return ""
	case field == "attempt_timeout", part == "retry" && rest != "attempts", part == "budget":
		return "there is one attempt, by retry.attempts"
	default:
		return ""
	}
}
