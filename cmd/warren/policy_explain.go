package main

import (
	"context"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/urfave/cli/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/reliability/policyfile"
)

const policyExplainDescription = `Prints the policy of METHOD: each value, and the pattern of FILE that it comes from;
then when the attempts of a call start and end.

Examples:
   warren policy explain policy.yaml orders.getAll
   warren policy explain --json policy.yaml orders.getAll | jq .timeline`

func policyExplainCommand() *cli.Command {
	return &cli.Command{
		Name:        "explain",
		Usage:       "show a method's policy, where it comes from, and when its attempts are made",
		ArgsUsage:   "FILE METHOD",
		Description: policyExplainDescription,
		Flags:       outputFlags(),
		Action:      policyExplain,
	}
}

// policyExplanation is what `warren policy explain --json` prints.
type policyExplanation struct {
	Method   string          `json:"method"`
	Settings []policySetting `json:"settings"`
	Timeline []policyAttempt `json:"timeline"`
}

type policySetting struct {
	policy.Setting
	Line int `json:"line,omitempty"` // 0 of a default
}

// policyAttempt is one attempt, counted from the call's beginning; hedges are in
// the settings alone.
type policyAttempt struct {
	Attempt    int              `json:"attempt"`
	When       policy.Condition `json:"when"`
	EarliestMS float64          `json:"earliest_ms"`
	LatestMS   float64          `json:"latest_ms"`
	EndMS      float64          `json:"end_ms"`
}

func policyExplain(_ context.Context, cmd *cli.Command) error {
	out := newOutput(cmd)
	args, err := arguments(cmd, 2, 2)
	if err != nil {
		return err
	}
	if err := warren.CheckMethod(args[1]); err != nil {
		return usageError(cmd, "%v", err)
	}
	file, table, err := loadPolicies(cmd, args[0])
	if err != nil {
		return err
	}
	e := explanation(file, table, args[1])
	if out.json {
		return out.object(e)
	}
	return out.text(e.table() + "\n" + timeline(table.Policy(args[1])))
}

func explanation(file *policyfile.File, table *policy.Table, method string) policyExplanation {
	e := policyExplanation{Method: method}
	for _, s := range table.Explain(method) {
		setting := policySetting{Setting: s}
		if setting.Line = file.LineOf(s.From, s.Field); setting.Line == 0 {
			// Said by the values below it.
			part, _, _ := strings.Cut(s.Field, ".")
			setting.Line = file.LineOf(s.From, part)
		}
		e.Settings = append(e.Settings, setting)
	}
	for _, s := range table.Policy(method).Timeline() {
		e.Timeline = append(e.Timeline, policyAttempt{
			Attempt: s.Attempt, When: s.When, EarliestMS: milliseconds(s.Earliest), LatestMS: milliseconds(s.Latest),
			EndMS: milliseconds(s.End),
		})
	}
	return e
}

// table has a line for each value: "retry.attempts  4  orders.place (line 43)".
func (e policyExplanation) table() string {
	zero := map[string]string{}
	for _, f := range policy.Fields() {
		zero[f.Name] = f.Zero
	}
	rows := make([][3]string, 0, len(e.Settings))
	for _, s := range e.Settings {
		row := [3]string{s.Field, s.Value, s.From}
		if (s.Value == "0s" || s.Value == "0") && zero[s.Field] != "" {
			row[1] += ": " + zero[s.Field]
		}
		if s.Line > 0 {
			row[2] += fmt.Sprintf(" (line %d)", s.Line)
		}
		rows = append(rows, row)
	}
	return columns(rows)
}

// columns aligns all but the last of each row.
func columns(rows [][3]string) string {
	var widths [2]int
	for _, row := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(row[i]))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		line := fmt.Sprintf("%-*s  %-*s  %s", widths[0], row[0], widths[1], row[1], row[2])
		b.WriteString(strings.TrimRight(line, " ") + "\n")
	}
	return b.String()
}

// timeline says when the attempts are made of a call that is not answered.
func timeline(p *policy.Policy) string {
	var rows [][3]string
	for _, s := range p.Timeline() {
		rows = append(rows, timelineRow(s))
		if s.Attempt == 1 && p.Hedge.On {
			starts := "after the 95th percentile"
			if p.Hedge.Delay > 0 {
				starts = "starts " + instant(p.Hedge.Delay)
			}
			rows = append(rows, [3]string{"hedge", starts, "as attempt 2, if attempt 1 is still waited for; those after it then come sooner"})
		}
	}
	text := fmt.Sprintf("A call with %s, if nothing is answered:\n", instant(p.Timeout))
	if !p.Idempotent {
		text = fmt.Sprintf("A call with %s; the method is not idempotent:\n", instant(p.Timeout))
	}
	return text + columns(rows)
}

func timelineRow(s policy.Span) [3]string {
	row := [3]string{
		fmt.Sprintf("attempt %d", s.Attempt), "starts " + interval(s.Earliest, s.Latest), "ends by " + instant(s.End),
	}
	switch s.When {
	case policy.InVain:
	case policy.Early:
		row[2] += ", only if one before it fails before its time is up"
	case policy.Proven:
		row[2] += ", only if those before it are proven not to have been executed"
	case policy.Never:
		row[1], row[2] = "never starts", ""
	}
	return row
}

func interval(from, to time.Duration) string {
	if from == to {
		return instant(from)
	}
	return instant(from) + "–" + instant(to)
}

// instant writes seconds with two decimals up to a minute, which is what a
// timeline is read by, and minutes beyond.
func instant(d time.Duration) string {
	switch {
	case d < time.Second && d%(10*time.Millisecond) != 0:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.2fs", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}
