package main

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren/internal/printable"
)

// output is where a command's results and remarks go. Much of what it prints was
// written by others: what is not printable is shown as an escape, see package
// printable, and what looks like a password is hidden on standard error.
type output struct {
	stdout, stderr *screen
	json, quiet    bool
}

func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON, an error too"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say nothing on standard error but the error that ends the command"},
	}
}

func newOutput(cmd *cli.Command) *output {
	return &output{
		stdout: screenOf(cmd.Root().Writer), stderr: screenOf(cmd.Root().ErrWriter),
		json: cmd.Bool("json"), quiet: cmd.Bool("quiet"),
	}
}

// screen is a standard stream of the tool: only what a terminal shows, and does not
// obey, goes through it. What is put into raw goes out as it is.
type screen struct {
	raw    io.Writer
	hide   func(string) string // what must not be shown
	result bool                // a result has been printed
}

// screenOf makes a screen of a stream that is none.
func screenOf(w io.Writer) *screen {
	if s, ok := w.(*screen); ok {
		return s
	}
	return &screen{raw: w, hide: func(text string) string { return text }}
}

// Write implements io.Writer.
func (s *screen) Write(p []byte) (int, error) {
	if _, err := io.WriteString(s.raw, printable.Lines(s.hide(string(p)))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// object prints the result, or what there is of one after an error, as one JSON
// object on one line.
func (o *output) object(v any) error {
	o.stdout.result = true
	return o.event(v)
}

// event prints a JSON object which is not the end of the command.
func (o *output) event(v any) error { return written(writeObject(o.stdout.raw, v)) }

func writeObject(w io.Writer, v any) error {
	line, err := printable.JSON(v)
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	return err
}

// printf prints on standard output. The format is the tool's own, and so are the
// colours of arguments that are painted; no other argument can print a control, or
// end the line.
func (o *output) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(o.stdout.raw, format, shownArgs(args)...)
	return written(err)
}

// text prints lines.
func (o *output) text(lines string) error {
	_, err := io.WriteString(o.stdout, lines)
	return written(err)
}

func shownArgs(args []any) []any {
	shown := make([]any, len(args))
	for i, arg := range args {
		if _, ok := arg.(painted); !ok {
			arg = printable.Arg{Value: arg}
		}
		shown[i] = arg
	}
	return shown
}

func written(err error) error {
	if err != nil {
		return exit(exitInternal, "cannot write the result: %w", err)
	}
	return nil
}

// note prints a remark on standard error.
func (o *output) note(format string, args ...any) {
	if !o.quiet {
		_, _ = fmt.Fprintf(o.stderr, "warren: %s\n", oneLine(fmt.Sprintf(format, args...)))
	}
}

// logger writes to standard error.
func (o *output) logger() *slog.Logger {
	if o.quiet {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(o.stderr, nil))
}

// lineEnds are those of joined errors, and of pgx's lists.
var lineEnds = strings.NewReplacer("\nwarren: ", "; ", ":\n\t", ": ", "\n\t", "; ", "\n", "; ")

// oneLine joins the lines of joined errors.
func oneLine(text string) string { return printable.Text(lineEnds.Replace(strings.TrimSpace(text))) }

// sheet is a table as text. What is in a cell stays in it.
type sheet struct {
	b strings.Builder
	w *tabwriter.Writer
}

func newSheet(head ...any) *sheet {
	s := &sheet{}
	s.w = tabwriter.NewWriter(&s.b, 0, 0, 2, ' ', 0)
	if len(head) > 0 {
		s.row(head...)
	}
	return s
}

func (s *sheet) row(cells ...any) {
	shown := make([]string, len(cells))
	for i, cell := range cells {
		shown[i] = printable.Text(fmt.Sprint(cell))
	}
	_, _ = fmt.Fprintln(s.w, strings.Join(shown, "\t")) // into memory
}

// field is a row of a name and a value, if there is one.
func (s *sheet) field(name, format string, args ...any) {
	if value := fmt.Sprintf(format, args...); value != "" {
		s.row(name, value)
	}
}

func (s *sheet) String() string {
	_ = s.w.Flush() // into memory
	return s.b.String()
}

// milliseconds rounds to a thousandth.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
