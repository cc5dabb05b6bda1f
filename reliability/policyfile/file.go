// Package policyfile reads the policies of package reliability from files in
// YAML, of which JSON is a part, and reads them again when they change.
//
// A file has one key, methods, and below it patterns with what is said of them:
//
//	methods:
//	  "*":
//	    timeout: 5s
//	  orders.*:
//	    idempotent: true
//	    retry: {attempts: 4, first: 50ms}
//	    hedge: off
//
// Names are those of [reliability.Fields]. Durations have a unit. The parts
// budget, breaker and hedge are on, off, or a mapping, which means on. Anchors
// and aliases may be used, merge keys (<<) not: what patterns share belongs to a
// shorter pattern. docs/schema/policy.schema.json in Warren's repository is the
// JSON Schema.
package policyfile

import (
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/warren-rpc/warren/reliability"
)

// MaxSize is how many bytes a file may have.
const MaxSize = 1 << 20

// File is what a file says.
type File struct {
	// Name is as it was given.
	Name string
	// Rules are empty if there are errors among the findings.
	Rules reliability.Rules
	// Findings are ordered by line.
	Findings []Finding

	places map[place]position
}

// Finding is something wrong with a file, and where.
type Finding struct {
	File   string            `json:"file"`
	Line   int               `json:"line"`   // from 1
	Column int               `json:"column"` // from 1
	Level  reliability.Level `json:"level"`
	// Path is that of the value, such as methods.orders.*.retry.attempts, or empty
	// if it is about the file.
	Path    string `json:"path"`
	Message string `json:"message"`
}

// String returns the finding on one line, without its level:
// "policy.yaml:12:5: methods.orders.*.retry.attempts: is 9; it must be from 1 to 5".
func (f Finding) String() string { return f.position() + f.text() }

// Diagnostic returns the finding as compilers tell theirs, with its level:
// "policy.yaml:12:5: error: …".
func (f Finding) Diagnostic() string { return f.position() + f.Level.String() + ": " + f.text() }

func (f Finding) position() string { return fmt.Sprintf("%s:%d:%d: ", f.File, f.Line, f.Column) }

func (f Finding) text() string {
	if f.Path == "" {
		return f.Message
	}
	return f.Path + ": " + f.Message
}

// Error tells why a file was refused.
type Error struct {
	Findings []Finding // at least one, all errors
}

// Error is the first finding, and how many more there are, on one line.
func (e *Error) Error() string {
	text := e.Findings[0].String()
	if n := len(e.Findings) - 1; n > 0 {
		text += fmt.Sprintf(" (and %d more)", n)
	}
	return text
}

// Load reads and checks a file. The error is an [*Error] if the file could be
// read; the File is then returned too, for its findings.
func Load(path string) (*File, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the caller's, to read what it likes
	if err != nil {
		return nil, fmt.Errorf("policyfile: %w", err)
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
	if err != nil {
		return nil, fmt.Errorf("policyfile: %w", err)
	}
	return data, nil
}

// Parse checks the content of a file of that name, which findings are told
// with. The error is an [*Error] with those that are errors; without one, the
// findings are warnings, and [reliability.NewTable] takes the rules.
func Parse(name string, data []byte) (reliability.Rules, []Finding, error) {
	f, err := parse(name, data)
	return f.Rules, f.Findings, err
}

func parse(name string, data []byte) (*File, error) {
	d := &decoder{file: name, data: data, places: map[place]position{}}
	rules := d.decode()
	for _, found := range reliability.Check(rules) {
		path := join("methods", found.Pattern)
		if found.Field != "" {
			path = join(path, found.Field)
		}
		d.add(d.locate(found.Pattern, found.Field), found.Level, path, "%s", found.Message)
	}
	slices.SortStableFunc(d.findings, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	f := &File{Name: name, Findings: d.findings, places: d.places}
	if refused := f.errors(); len(refused) > 0 {
		return f, &Error{Findings: refused}
	}
	f.Rules = rules
	return f, nil
}

func (f *File) errors() []Finding {
	var list []Finding
	for _, found := range f.Findings {
		if found.Level == reliability.LevelError {
			list = append(list, found)
		}
	}
	return list
}

// LineOf returns the line on which a pattern says a field, a name that
// [reliability.Fields] lists, or on which the pattern stands if field is empty;
// 0 if there is none.
func (f *File) LineOf(pattern, field string) int { return f.places[place{pattern, field}].line }

// place is what has a position: a field of a pattern, or the pattern itself.
type place struct{ pattern, field string }

type position struct{ line, column int }
