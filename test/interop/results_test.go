package interop

import (
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"text/tabwriter"
)

// printResults is set by `make test-interop`.
var printResults = flag.Bool("results", false, "print what each library was found to do, as a table")

// column is what a library was tested for.
type column string

const (
	asClient   column = "client"
	asServer   column = "server"
	inErrors   column = "errors"
	inBodies   column = "bodies"
	inLookUps  column = "look-up"
	inRepeats  column = "duplicates"
	onAmqptest column = "amqptest"
)

// columns are all, with their meanings.
var columns = []struct {
	column
	meaning string
}{
	{asClient, "is answered by warren serve"},
	{asServer, "answers warren call"},
	{inErrors, "is told of an error by a line of text and a type"},
	{inBodies, "carries UTF-8, and 900 KiB of any bytes"},
	{inLookUps, "asks users.email of warren serve, and answers it"},
	{inRepeats, "a server is killed between reply and ack, the next one replies again, and the caller sees one reply"},
	{onAmqptest, "calls itself over the broker for tests"},
}

// found holds the libraries' results. Tests may use it at the same time.
var found results

type results struct {
	mu    sync.Mutex
	cells map[cell]string
}

// cell is a library's name and a column.
type cell struct {
	library string
	column  column
}

// score notes in a library's columns, once the test has ended, whether it has
// passed. All tests of a cell must pass.
func score(t *testing.T, library string, in ...column) {
	t.Helper()
	t.Cleanup(func() {
		found.mu.Lock()
		defer found.mu.Unlock()
		if found.cells == nil {
			found.cells = map[cell]string{}
		}
		for _, c := range in {
			if at := (cell{library, c}); t.Failed() {
				found.cells[at] = "FAILED"
			} else if found.cells[at] == "" {
				found.cells[at] = "ok"
			}
		}
	})
}

// print writes the table, with what gets the libraries that are missing.
func (r *results) print(w io.Writer) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells []string) { _, _ = fmt.Fprintln(table, strings.Join(cells, "\t")) } // Flush tells of errors
	heads, legend := []string{"language", "library", "version"}, ""
	for _, c := range columns {
		heads = append(heads, string(c.column))
		legend += fmt.Sprintf("%s: %s\n", c.column, c.meaning)
	}
	legend += "-: not tested; the tests say why\n"
	row(heads)
	for _, l := range append([]*library{amqp091Go}, append(libraries(), amqpTools)...) {
		here, err := l.find()
		if err != nil {
			here.version = "missing"
			legend += l.missing(err).Error() + "\n"
		}
		cells := []string{l.language, l.name, here.version}
		for _, c := range columns {
			result := r.cells[cell{l.name, c.column}]
			if result == "" {
				result = "-"
			}
			cells = append(cells, result)
		}
		row(cells)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	_, err := io.WriteString(w, legend)
	return err
}
