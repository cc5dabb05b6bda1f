// Package configfile reads files that people write, in YAML, of which JSON is a
// part: it keeps the place of everything, so that whatever is wrong is told on one
// line with its file, its line and its field. What the fields mean is the business
// of the packages that use it.
package configfile

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/warren-rpc/warren/internal/setting"
)

// MaxSize is how many bytes a file may have.
const MaxSize = 1 << 20

// Finding is something wrong with a file, and where.
type Finding struct {
	File   string        `json:"file"`
	Line   int           `json:"line"`   // from 1
	Column int           `json:"column"` // from 1
	Level  setting.Level `json:"level"`
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
func (f Finding) Diagnostic() string { return f.position() + string(f.Level) + ": " + f.text() }

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

// Refusal sorts the findings by their places, and returns an [*Error] with those
// that are errors, nil if there are none.
func Refusal(findings []Finding) error {
	slices.SortStableFunc(findings, func(a, b Finding) int {
		if a.Line != b.Line {
			return a.Line - b.Line
		}
		return a.Column - b.Column
	})
	var refused []Finding
	for _, found := range findings {
		if found.Level == setting.LevelError {
			refused = append(refused, found)
		}
	}
	if len(refused) == 0 {
		return nil
	}
	return &Error{Findings: refused}
}

// Read returns the content of a file, of which it reads one byte more than
// [MaxSize] at most, without the mark that some editors put before UTF-8.
func Read(path string) ([]byte, error) {
	f, err := os.Open(path) //nolint:gosec // the path is the caller's, to read what it likes
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return ReadFrom(f)
}

// ReadFrom is Read of what is open already.
func ReadFrom(r io.Reader) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxSize+1))
	return bytes.TrimPrefix(data, []byte("\ufeff")), err
}
