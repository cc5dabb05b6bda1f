package main

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/warren-rpc/warren/reliability/simulate"
)

// simulationTable is the result in words and figures.
func simulationTable(r *simulate.Result, s *simulate.Scenario) string {
	rows := [][2]string{
		{"calls", fmt.Sprintf("%s; %s succeeded (%s)", thousands(r.Calls), thousands(r.Successes), percentage(r.SuccessRate))},
	}
	if len(r.Errors) > 0 {
		rows = append(rows, [2]string{"errors", errorsByNumber(r.Errors)})
	}
	l := r.Latency
	rows = append(rows,
		[2]string{"latency", fmt.Sprintf("p50 %s, p95 %s, p99 %s, longest %s, of those that succeeded",
			spanOf(l.P50MS), spanOf(l.P95MS), spanOf(l.P99MS), spanOf(l.MaxMS))},
		[2]string{"attempts", fmt.Sprintf("%s: %.3f for each call; %s retries, %s of them hedges",
			thousands(r.Attempts), r.Amplification, thousands(r.Retries), thousands(r.Hedges))},
		[2]string{"servers", fmt.Sprintf("%s handled; %s answers too late; %s expired in the queue",
			thousands(r.Executions), thousands(r.Late), thousands(r.Dropped))},
		[2]string{"breakers", breakers(r, s.Clients)},
	)
	if rec := r.Recovery; rec != nil {
		rows = append(rows, [2]string{"recovery", recovery(rec)})
	}
	var b strings.Builder
	b.WriteString(headline(r, s) + "\n\n")
	for _, row := range rows {
		fmt.Fprintf(&b, "%-9s %s\n", row[0], row[1])
	}
	return b.String()
}

// headline is the scenario in one line.
func headline(r *simulate.Result, s *simulate.Scenario) string {
	text := fmt.Sprintf("%s: %d clients, %s calls/s for %v", r.Method, s.Clients, figure(s.Rate), s.Duration)
	if s.Outage.Length > 0 {
		text += fmt.Sprintf("; outage (%s) of %v at %v", s.Outage.Kind, s.Outage.Length, s.Outage.Start)
	}
	if s.Errors.Ratio > 0 {
		text += fmt.Sprintf("; %s %v (%v)", percentage(s.Errors.Ratio), s.Errors.Code, s.Errors.Outcome)
	}
	return text
}

func errorsByNumber(errors map[string]int) string {
	names := slices.SortedFunc(maps.Keys(errors), func(a, b string) int {
		return cmp.Or(errors[b]-errors[a], strings.Compare(a, b))
	})
	for i, name := range names {
		names[i] = name + " " + thousands(errors[name])
	}
	return strings.Join(names, ", ")
}

func breakers(r *simulate.Result, clients int) string {
	if len(r.Changes) == 0 {
		return "none opened"
	}
	first, last := r.Changes[0], r.Changes[len(r.Changes)-1]
	text := fmt.Sprintf("%d of %d opened, %s times in all; the first at %s", r.OpenedBy, clients, thousands(r.Opened), spanOf(first.AtMS))
	end := r.Seconds[len(r.Seconds)-1]
	if n := end.BreakersOpen + end.BreakersHalfOpen; n > 0 {
		return text + fmt.Sprintf("; %d had not closed at the end", n)
	}
	return text + fmt.Sprintf("; the last closed at %s", spanOf(last.AtMS))
}

func recovery(rec *simulate.Recovery) string {
	after := "calls do not succeed as before"
	if rec.AfterS >= 0 {
		after = fmt.Sprintf("calls that begin %.1fs after the outage succeed as before", rec.AfterS)
	}
	return fmt.Sprintf("%s; %.2f times the usual attempts in the first second (%s retries), %.2f times in the worst",
		after, rec.FirstSecondRatio, thousands(rec.FirstSecondRetries), rec.PeakRatio)
}

// plotWidth is how many values a line of the plot has at most.
const plotWidth = 80

// simulationPlot draws each series as one line of blocks.
func simulationPlot(r *simulate.Result, s *simulate.Scenario) string {
	p := newSeries(r, s, plotWidth)
	most := max(slices.Max(p.attempts), slices.Max(p.calls))
	var b strings.Builder
	fmt.Fprintf(&b, "%-9s %s one block is %d s\n", "seconds", axis(len(p.calls), p.seconds), p.seconds)
	if p.outageTo > 0 {
		fmt.Fprintf(&b, "%-9s %s\n", "outage", band(len(p.calls), p.outageFrom, p.outageTo))
	}
	line := func(name string, values []float64, most float64, unit string) {
		fmt.Fprintf(&b, "%-9s %s %s\n", name, blocks(values, most), unit)
	}
	line("calls", p.calls, most, "up to "+figure(slices.Max(p.calls))+" per second")
	line("attempts", p.attempts, most, "up to "+figure(slices.Max(p.attempts))+" per second")
	line("success", p.succeeded, 1, "of the calls that end")
	if p.anyOpen {
		line("breakers", p.open, float64(s.Clients), fmt.Sprintf("up to %s of %d open", figure(slices.Max(p.open)), s.Clients))
	}
	if p.anyQueued {
		line("queue", p.queued, slices.Max(p.queued), "up to "+figure(slices.Max(p.queued))+" waiting")
	}
	return b.String()
}

// blocks draws values from 0 to most, one character each. What is not 0 is
// seen.
func blocks(values []float64, most float64) string {
	levels := []rune(" ▁▂▃▄▅▆▇█")
	var b strings.Builder
	for _, v := range values {
		switch {
		case math.IsNaN(v):
			b.WriteByte(' ')
		case v <= 0 || most <= 0:
			b.WriteRune('·')
		default:
			b.WriteRune(levels[min(max(int(math.Round(v/most*8)), 1), 8)])
		}
	}
	return b.String()
}

// axis labels every tenth value for which there is room.
func axis(values, seconds int) string {
	text := []byte(strings.Repeat(" ", values))
	for i := 0; i < values; i += 10 {
		if label := strconv.Itoa(i * seconds); i+len(label) <= values {
			copy(text[i:], label)
		}
	}
	return string(text)
}

// band marks what lies between two of the values.
func band(values int, from, to float64) string {
	var b strings.Builder
	for i := range values {
		if x := float64(i); x+1 > from && x < to {
			b.WriteRune('━')
		} else {
			b.WriteByte(' ')
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// figure has no more digits than are read.
func figure(x float64) string {
	if x >= 100 {
		return thousands(int(math.Round(x)))
	}
	return strconv.FormatFloat(x, 'g', 3, 64)
}

func percentage(part float64) string { return fmt.Sprintf("%.2f %%", 100*part) }

// spanOf writes milliseconds as a person would.
func spanOf(ms float64) string {
	switch {
	case ms < 10:
		return fmt.Sprintf("%.1fms", ms)
	case ms < 1000:
		return fmt.Sprintf("%.0fms", ms)
	default:
		return fmt.Sprintf("%.2fs", ms/1000)
	}
}
