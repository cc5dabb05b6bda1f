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
// Names are those of [reliability.Policy], in snake_case. Durations have a unit. The
// parts budget, breaker and hedge are on, off, or a mapping, which means on. Anchors
// and aliases may be used, merge keys (<<) not: what patterns share belongs to a
// shorter pattern. docs/schema/policy.schema.json in Warren's repository is the
// JSON Schema.
package policyfile

import (
	"fmt"
	"io"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/reliability"
)

// MaxSize is how many bytes a file may have.
const MaxSize = configfile.MaxSize

// File is what a file says.
type File struct {
	// Name is as it was given.
	Name string
	// Rules are empty if there are errors among the findings.
	Rules reliability.Rules
	// Findings are ordered by line.
	Findings []Finding

	places configfile.Places
}

// Finding is something wrong with a file, and where: File, Line and Column (from
// 1), Level, the Path of the value, such as methods.orders.*.retry.attempts, and a
// Message. String tells it on one line; Diagnostic as compilers do, with the level.
type Finding = configfile.Finding

// Error tells why a file was refused, by Findings: at least one, and all of them
// errors. Its text is the first one, and how many more there are, on one line.
type Error = configfile.Error

// Load reads and checks a file. The error is an [*Error] if the file could be
// read; the File is then returned too, for its findings.
func Load(path string) (*File, error) {
	data, err := read(path)
	if err != nil {
		return nil, err
	}
	return parse(path, data)
}

// Read reads and checks what r holds, such as standard input. Findings are told with
// name. The error is as that of [Load].
func Read(name string, r io.Reader) (*File, error) {
	data, err := configfile.ReadFrom(r)
	if err != nil {
		return nil, fmt.Errorf("policyfile: %w", err)
	}
	return parse(name, data)
}

func read(path string) ([]byte, error) {
	data, err := configfile.Read(path)
	if err != nil {
		return nil, fmt.Errorf("policyfile: %w", err)
	}
	return data, nil
}

// Parse checks the content of a file of that name, which findings are told
// with. The error is an [*Error] with those that are errors; without one, the
// findings are warnings, and a client takes the rules.
func Parse(name string, data []byte) (reliability.Rules, []Finding, error) {
	f, err := parse(name, data)
	return f.Rules, f.Findings, err
}

func parse(name string, data []byte) (*File, error) {
	d := newDecoder(name, data)
	d.decode()
	for _, found := range reliability.Check(d.rules) {
		path := configfile.Join("methods", found.Pattern)
		if found.Field != "" {
			path = configfile.Join(path, found.Field)
		}
		d.Add(d.Places.Locate(found.Pattern, found.Field), found.Level, path, "%s", found.Message)
	}
	err := configfile.Refusal(d.Findings)
	f := &File{Name: name, Findings: d.Findings, places: d.Places}
	if err == nil {
		f.Rules = d.rules
	}
	return f, err
}

// LineOf returns the line on which a pattern says a field, such as
// "retry.attempts", or on which the pattern stands if field is empty; 0 if there is
// none.
func (f *File) LineOf(pattern, field string) int {
	return f.places[configfile.Place{Entry: pattern, Field: field}].Line
}
