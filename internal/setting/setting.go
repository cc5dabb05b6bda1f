// Package setting describes the values that files and structs of settings have: of
// what kind they are, within which bounds, how they are written, and where in a
// struct they belong. Package internal/configfile reads them from files.
package setting

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// Kind is what sort of value a field has. Beside each stands its Go type.
type Kind uint8

// The kinds, with how they are written.
const (
	Duration Kind = iota + 1 // time.Duration: 250ms, 1.5s, 1h30m
	Count                    // int: 3
	Number                   // float64: 0.5
	Bool                     // bool: true, false
	Switch                   // bool: on, off; of a part, the other fields of which say that it is on
	Text                     // string
	Size                     // int, of bytes: 512, 64KiB, 1MiB
	List                     // []string, or what is made of texts and writes itself as one: a, b
	Part                     // has fields, and no value of its own
	Custom                   // its package reads it
)

// Field describes one value. Its bounds stand here and nowhere else.
type Field struct {
	// Name is the path in a file, such as "retry.attempts". The switch of a part has
	// the part's name: "budget".
	Name string
	Kind Kind
	// Min and Max bound durations (in nanoseconds), counts and numbers. There are no
	// bounds if Max is 0.
	Min, Max float64
	// Above says that Min itself is out of bounds. Without a Max it is 0, which in the
	// structs stands for the default: who writes it does not mean that.
	Above bool
	// Values are all that there are for each of a List, and Of what one of them is
	// called. There are none if any text will do.
	Values []string
	Of     string
	// Zero is what 0 stands for, if that is not the number. It is in bounds, whatever
	// Min is.
	Zero string
	// Default is what holds if nothing is said.
	Default string
	// Doc says in one sentence what the value is.
	Doc string
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
	if f.zeroToo() {
		text = f.number(0) + ", or " + text
	}
	return text
}

func (f *Field) zeroToo() bool { return f.Zero != "" && f.Min > 0 }

// number writes a bound.
func (f *Field) number(v float64) string {
	if f.Kind == Duration {
		return FormatDuration(time.Duration(v))
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// Allows reports whether a value of the field's kind is within its bounds.
func (f *Field) Allows(value any) bool {
	if f.Max == 0 {
		return true
	}
	var v float64
	switch value := value.(type) {
	case time.Duration:
		v = float64(value)
	case int:
		v = float64(value)
	case float64:
		v = value
	}
	switch {
	case math.IsNaN(v):
		return false
	case v == 0 && f.zeroToo():
		return true
	case f.Above && v <= f.Min:
		return false
	default:
		return v >= f.Min && v <= f.Max
	}
}

// Format writes a value of the field's kind as [Field.Parse] reads it.
func (f *Field) Format(value any) string {
	switch v := value.(type) {
	case time.Duration:
		return FormatDuration(v)
	case float64:
		return strconv.FormatFloat(v, 'g', -1, 64)
	case bool:
		if f.Kind == Switch {
			return map[bool]string{true: "on", false: "off"}[v]
		}
	}
	if f.Kind != List {
		return fmt.Sprint(value)
	}
	list := reflect.ValueOf(value)
	texts := make([]string, list.Len())
	for i := range texts {
		texts[i] = fmt.Sprint(list.Index(i))
	}
	return strings.Join(texts, ", ")
}

// FormatDuration writes a duration without the zeros at its end: "10m", not
// "10m0s".
func FormatDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
