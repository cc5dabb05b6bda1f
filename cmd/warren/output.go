package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"math"
	"time"

	"github.com/urfave/cli/v3"
)

// output is where a command's results and remarks go.
type output struct {
	stdout, stderr io.Writer
	json, quiet    bool
}

func outputFlags() []cli.Flag {
	return []cli.Flag{
		&cli.BoolFlag{Name: "json", Usage: "print the result as JSON"},
		&cli.BoolFlag{Name: "quiet", Aliases: []string{"q"}, Usage: "say nothing on standard error but the error that ends the command"},
	}
}

func newOutput(cmd *cli.Command) *output {
	return &output{
		stdout: cmd.Root().Writer, stderr: cmd.Root().ErrWriter,
		json: cmd.Bool("json"), quiet: cmd.Bool("quiet"),
	}
}

// object prints one JSON object on one line.
func (o *output) object(v any) error {
	e := json.NewEncoder(o.stdout)
	e.SetEscapeHTML(false)
	return written(e.Encode(v))
}

func (o *output) printf(format string, args ...any) error {
	_, err := fmt.Fprintf(o.stdout, format, args...)
	return written(err)
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

// milliseconds rounds to a thousandth.
func milliseconds(d time.Duration) float64 {
	return math.Round(float64(d)/float64(time.Microsecond)) / 1000
}
