package policy

import (
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
)

// Kind is what sort of value a field has.
type Kind uint8

// The kinds, with how they are written.
const (
	KindDuration Kind = iota + 1 // 250ms, 1.5s, 1h30m
	KindCount                    // 3
	KindNumber                   // 0.5
	KindBool                     // true, false
	KindSwitch                   // on, off: of a part
	KindCodes                    // unavailable, aborted
)

// Field describes one value of a policy, for whoever writes, checks or shows
// policies. The bounds of policies stand here and nowhere else.
type Field struct {
	// Name is the path in a file, such as "retry.attempts". The switch of a part has
	// the part's name: "budget".
	Name string
	Kind Kind
	// Min and Max bound durations (in nanoseconds), counts and numbers.
	Min, Max float64
	// Above says that Min itself is out of bounds.
	Above bool
	// ZeroToo says that 0 is in bounds although it is less than Min.
	ZeroToo bool
	// Values are all that there are, of a switch and for each of a list of codes.
	Values []string
	// Zero is what 0 stands for, if that is not the number.
	Zero string
	// Default is the value in [Default].
	Default string
	// Doc says in one sentence what the value is.
	Doc string

	// said reports whether a Spec has the value, copy takes it into a Policy, clear
	// takes it away.
	said  func(*Spec) bool
	copy  func(*Policy, *Spec)
	clear func(*Spec)
	// value is that of a Policy, and parse sets that of a Spec.
	value func(*Policy) any
	parse func(*Spec, string) error
}

// DurationPattern is the regular expression of durations as they are written: a
// sequence of numbers with units, and no sign.
const DurationPattern = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`

var durationForm = regexp.MustCompile(DurationPattern)

// Fields returns all fields, in the order in which they are told. The slice is
// the caller's.
func Fields() []Field { return slices.Clone(fields) }

// fieldNamed returns nil if there is no such field.
func fieldNamed(name string) *Field {
	for i := range fields {
		if fields[i].Name == name {
			return &fields[i]
		}
	}
	return nil
}

// Bounds says what values are allowed, as "from 1 to 5", or nothing if all
// values of the kind are.
func (f *Field) Bounds() string {
	if f.Max == 0 {
		return ""
	}
	from := "from "
	if f.Above {
		from = "above "
	}
	text := from + f.number(f.Min) + " to " + f.number(f.Max)
	if f.ZeroToo {
		text = f.number(0) + ", or " + text
	}
	return text
}

// number writes a bound or a value of the field.
func (f *Field) number(v float64) string {
	if f.Kind == KindDuration {
		return formatDuration(time.Duration(v))
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// inBounds reports whether the value of a policy is allowed.
func (f *Field) inBounds(p *Policy) bool {
	if f.Max == 0 {
		return true
	}
	v := f.float(p)
	switch {
	case math.IsNaN(v):
		return false
	case f.ZeroToo && v == 0:
		return true
	case f.Above && v <= f.Min:
		return false
	default:
		return v >= f.Min && v <= f.Max
	}
}

// float is the value of a field that has bounds.
func (f *Field) float(p *Policy) float64 {
	switch v := f.value(p).(type) {
	case time.Duration:
		return float64(v)
	case int:
		return float64(v)
	case float64:
		return v
	default:
		return math.NaN()
	}
}

// format writes the value of a policy as Spec.Set reads it.
func (f *Field) format(p *Policy) string {
	switch v := f.value(p).(type) {
	case time.Duration:
		return formatDuration(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		if f.Kind == KindSwitch {
			return map[bool]string{true: "on", false: "off"}[v]
		}
		return strconv.FormatBool(v)
	case []warren.Code:
		names := make([]string, len(v))
		for i, c := range v {
			names[i] = c.String()
		}
		return strings.Join(names, ", ")
	default:
		return fmt.Sprint(v)
	}
}

// formatDuration writes a duration without the zeros at its end: "10m", not
// "10m0s".
func formatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

func parseDuration(text string) (time.Duration, error) {
	if _, err := strconv.ParseFloat(text, 64); err == nil {
		return 0, fmt.Errorf(`is %.40s, without a unit; write a duration such as "250ms"`, text)
	}
	if strings.HasPrefix(text, "-") {
		return 0, fmt.Errorf("is %.40s; a duration cannot be negative", text)
	}
	d, err := time.ParseDuration(text)
	if err != nil || !durationForm.MatchString(text) {
		return 0, fmt.Errorf(`is %.40q; write a duration such as "250ms"`, text)
	}
	return d, nil
}

func parseCount(text string) (int, error) {
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("is %.40q; write a whole number", text)
	}
	return n, nil
}

func parseNumber(text string) (float64, error) {
	v, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return 0, fmt.Errorf("is %.40q; write a number", text)
	}
	return v, nil
}

func parseBool(text string) (bool, error) {
	if text != "true" && text != "false" {
		return false, fmt.Errorf("is %.40q; write true or false", text)
	}
	return text == "true", nil
}

func parseSwitch(text string) (on bool, err error) {
	if text != "on" && text != "off" {
		return false, fmt.Errorf("is %.40q; write on or off", text)
	}
	return text == "on", nil
}

func parseCodes(text string) ([]warren.Code, error) {
	codes := []warren.Code{}
	if text == "" {
		return codes, nil
	}
	for name := range strings.SplitSeq(text, ",") {
		name = strings.TrimSpace(name)
		c, err := warren.ParseCode(name)
		if err != nil {
			return nil, fmt.Errorf("has %.40q, which is not the name of a code", name)
		}
		codes = append(codes, c)
	}
	return codes, nil
}
