package policy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/warren-rpc/warren"
)

// Level is how grave a finding is.
type Level uint8

const (
	LevelWarning Level = iota + 1 // works, and someone should look at it
	LevelError                    // refused by NewTable
)

// String returns "warning" or "error".
func (l Level) String() string {
	switch l {
	case LevelWarning:
		return "warning"
	case LevelError:
		return "error"
	default:
		return fmt.Sprintf("level(%d)", uint8(l))
	}
}

// MarshalText returns what String does.
func (l Level) MarshalText() ([]byte, error) { return []byte(l.String()), nil }

// Finding is what is wrong with a value of a pattern.
type Finding struct {
	Level   Level  `json:"level"`
	Pattern string `json:"pattern"`
	Field   string `json:"field"` // a name that Fields lists, or empty if it is the pattern
	Message string `json:"message"`
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

// Check returns what is wrong with the rules, ordered by pattern and field.
//
// Errors are values out of bounds, patterns that no method's name can match, and
// contradictions: settings of which one keeps another from ever taking effect as
// it says (an attempt timeout longer than the timeout, hedging on a method not
// idempotent, an attempt that can never start). Warnings are what endangers
// others (no jitter, no budget), attempts that together do not fit into the
// timeout, and settings without effect.
//
// A contradiction is judged by what a pattern amounts to, and told of the
// pattern that brings it about: of one that merely inherits both sides nothing
// is told. Values out of bounds are left out of the judgement.
func Check(rules Rules) []Finding {
	c := &checker{}
	sound := Rules{Methods: make(map[string]Spec, len(rules.Methods))}
	for pattern, spec := range rules.Methods {
		if why := checkPattern(pattern); why != "" {
			c.add(LevelError, pattern, "", "%s", why)
			continue
		}
		sound.Methods[pattern] = c.values(pattern, spec)
	}
	t := build(sound)
	for _, e := range t.all[1:] {
		c.contradictions(e)
	}
	c.alone(t)
	slices.SortStableFunc(c.findings, func(a, b Finding) int {
		if d := strings.Compare(a.Pattern, b.Pattern); d != 0 {
			return d
		}
		return fieldIndex(a.Field) - fieldIndex(b.Field)
	})
	return c.findings
}

// errorsOf returns the findings that are errors.
func errorsOf(findings []Finding) []Finding {
	var list []Finding
	for _, f := range findings {
		if f.Level == LevelError {
			list = append(list, f)
		}
	}
	return list
}

func fieldIndex(name string) int {
	return slices.IndexFunc(fields, func(f Field) bool { return f.Name == name })
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

func (c *checker) add(level Level, pattern, field, format string, args ...any) {
	c.findings = append(c.findings, Finding{
		Level: level, Pattern: pattern, Field: field, Message: fmt.Sprintf(format, args...),
	})
}

// values checks each value by itself. It returns the spec without those that are
// out of bounds.
func (c *checker) values(pattern string, spec Spec) Spec {
	for _, part := range []struct {
		name string
		off  bool
		rest bool
	}{
		{"budget", isTrue(spec.Budget.Off), spec.Budget.Tokens != nil || spec.Budget.Ratio != nil},
		{"breaker", isTrue(spec.Breaker.Off), spec.Breaker != BreakerSpec{Off: spec.Breaker.Off}},
		{"hedge", spec.Hedge.On != nil && !*spec.Hedge.On, spec.Hedge.Delay != nil},
	} {
		if part.off && part.rest {
			c.add(LevelError, pattern, part.name, "is off, and yet more is said of it")
		}
	}
	spec = spec.complete()
	for i := range fields {
		f := &fields[i]
		if !f.said(&spec) {
			continue
		}
		var p Policy
		f.copy(&p, &spec)
		if !f.inBounds(&p) {
			c.add(LevelError, pattern, f.Name, "is %s; it must be %s", f.format(&p), f.Bounds())
			f.clear(&spec)
		}
	}
	c.codes(pattern, &spec)
	return spec
}

func isTrue(b *bool) bool { return b != nil && *b }

// pointless are codes after which a repetition ends as the call did.
var pointless = []warren.Code{
	warren.CodeCanceled, warren.CodeInvalidArgument, warren.CodePermissionDenied, warren.CodeOutOfRange,
	warren.CodeUnimplemented, warren.CodeUnauthenticated,
}

func (c *checker) codes(pattern string, spec *Spec) {
	const field = "retry.codes"
	list := spec.Retry.Codes
	for i, code := range list {
		switch {
		case !code.Valid():
			c.add(LevelError, pattern, field, "has %v, which is not a code", code)
			spec.Retry.Codes = nil
		case slices.Contains(list[:i], code):
			c.add(LevelError, pattern, field, "has %v twice", code)
		case slices.Contains(pointless, code):
			c.add(LevelWarning, pattern, field, "has %v, which a repetition does not mend", code)
		}
	}
}

// alone tells of values that endanger others than the caller, and of values
// that have no effect in any policy that they are part of. It is told where
// they are said: who inherits them can do no more about it.
func (c *checker) alone(t *Table) {
	type said struct {
		by    *entry
		field int
	}
	inUse := map[said]bool{}
	for _, e := range t.all {
		for i, from := range e.from {
			if idleBecause(fields[i].Name, &e.policy) == "" {
				inUse[said{from, i}] = true
			}
		}
	}
	for _, e := range t.all[1:] {
		for i := range fields {
			f := &fields[i]
			if e.from[i] != e {
				continue
			}
			if !inUse[said{e, i}] {
				c.add(LevelWarning, e.pattern, f.Name, "has no effect: %s", idleBecause(f.Name, &e.policy))
			} else if what := danger(f.Name, &e.policy); what != "" {
				c.add(LevelWarning, e.pattern, f.Name, "%s", what)
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
