package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/warren-rpc/warren/internal/printable"
)

// Text writes the report for a terminal.
func Text(w io.Writer, run Run) error {
	r := run.Report
	var b strings.Builder
	fmt.Fprintf(&b, "verdict: %s\n\n", r.Verdict)
	table := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) {
		_, _ = fmt.Fprintf(table, "%s\t%s\n", name, printable.Sprintf(format, args...)) // into memory
	}
	if run.Mode != "" {
		row("mode", "%s", run.Mode)
	}
	if run.Seed != 0 {
		row("seed", "%d", run.Seed)
	}
	if run.Command != "" {
		row("again", "%s", run.Command)
	}
	row("duration", "%v", r.Duration.Round(time.Millisecond))
	row("calls", "%d, of which %d succeeded", r.Calls, r.Succeeded)
	if len(r.Errors) > 0 {
		row("errors", "%s", counts(r.Errors))
	}
	row("effects", "%d", r.Effects)
	row("resolved", "%d", r.Resolved)
	if len(r.Faults) > 0 {
		row("faults", "%s", counts(r.Faults))
	}
	if len(run.Kills) > 0 {
		row("killed at", "%s", counts(kills(run.Kills)))
	}
	for _, name := range slices.Sorted(maps.Keys(run.Missing)) {
		row("missing", "%s: %s", name, run.Missing[name])
	}
	if len(r.Recovery) > 0 {
		row("recovery", "median %v, at most %v", quantile(r.Recovery, 0.5).Round(time.Millisecond), quantile(r.Recovery, 1).Round(time.Millisecond))
	}
	if len(r.Takeovers) > 0 {
		row("takeovers", "%s", takeovers(r.Takeovers))
	}
	if r.ClockSkew > time.Millisecond {
		row("clock", "stepped by %v", r.ClockSkew.Round(time.Microsecond))
	}
	if err := table.Flush(); err != nil {
		return err
	}

	b.WriteByte('\n')
	table = tabwriter.NewWriter(&b, 0, 0, 2, ' ', tabwriter.AlignRight)
	_, _ = fmt.Fprint(table, "invariant\tchecked\tbroken\tundecided\tat most (95 %)\t\t\n")
	for _, i := range r.Invariants {
		_, _ = fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%s\t%s\t\n", i.Name, i.Checked, i.Broken, i.Undecided, bound(i), state(i))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for _, i := range r.Invariants {
		if len(i.Examples) == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n%s: %s\n", i.Name, i.Promise)
		for _, x := range i.Examples {
			b.WriteString(printable.Sprintf("\n  %s\n", strings.TrimLeft(x.CallID+": "+x.What, ": ")))
			for _, e := range x.Events {
				b.WriteString(printable.Sprintf("    %12.6fs  %-16s %s\n", e.At.Seconds(), e.Process, line(e)))
			}
		}
	}
	for _, path := range r.Visualisations {
		b.WriteString(printable.Sprintf("\nnot linearizable, see %s\n", path))
	}
	_, err := io.WriteString(printable.Writer{To: w}, b.String())
	return err
}
