package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"text/tabwriter"
)

// report writes the summaries of one workload.
func report(o Options, summaries []summary) error {
	if o.JSON {
		return reportJSON(o.Out, summaries)
	}
	return reportTable(o.Out, summaries)
}

func reportJSON(out io.Writer, summaries []summary) error {
	lines := json.NewEncoder(out)
	for _, s := range summaries {
		if err := lines.Encode(s.rounded()); err != nil {
			return err
		}
	}
	return nil
}

// rounded drops the digits that mean nothing.
func (s summary) rounded() summary {
	for _, figure := range []*float64{
		&s.CallsPerS, &s.P50us, &s.P90us, &s.P99us, &s.P999us, &s.MaxUs,
		&s.ClientCPUus, &s.ServerCPUus, &s.ClientAllocs, &s.ServerAllocs, &s.WireBytes,
	} {
		*figure = roundTo(*figure, 10)
	}
	if s.BrokerCPUus != nil {
		broker := roundTo(*s.BrokerCPUus, 10)
		s.BrokerCPUus = &broker
	}
	if s.Ratio != nil {
		r := *s.Ratio
		for _, figure := range []*float64{&r.CallsPerS, &r.P50, &r.P99, &r.CPU, &r.WireBytes} {
			*figure = roundTo(*figure, 1000)
		}
		s.Ratio = &r
	}
	return s
}

func roundTo(x, perUnit float64) float64 { return math.Round(x*perUnit) / perUnit }

// column is one of the table. A figure is not known where it returns nil.
type column struct {
	head   string
	digits int
	figure func(summary) *float64
}

// tableColumns returns those for calls that follow one another, or for calls at a
// rate, whose latencies are what counts. A head with "×" is of ratios: how many
// times the baseline's figure.
func tableColumns(rate, ratios bool) []column {
	figure := func(head string, of func(*summary) *float64) column {
		return column{head, 0, func(s summary) *float64 { return of(&s) }}
	}
	calls := figure("calls/s", func(s *summary) *float64 { return &s.CallsPerS })
	p50 := figure("p50 µs", func(s *summary) *float64 { return &s.P50us })
	p99 := figure("p99 µs", func(s *summary) *float64 { return &s.P99us })
	columns := []column{calls, p50, p99}
	if rate {
		columns = []column{
			calls, p50,
			figure("p90 µs", func(s *summary) *float64 { return &s.P90us }),
			p99,
			figure("p99.9 µs", func(s *summary) *float64 { return &s.P999us }),
			figure("max µs", func(s *summary) *float64 { return &s.MaxUs }),
		}
	}
	columns = append(columns,
		figure("CPU client", func(s *summary) *float64 { return &s.ClientCPUus }),
		figure("server", func(s *summary) *float64 { return &s.ServerCPUus }),
		figure("broker", func(s *summary) *float64 { return s.BrokerCPUus }),
	)
	if !rate {
		columns = append(columns,
			figure("allocs client", func(s *summary) *float64 { return &s.ClientAllocs }),
			figure("server", func(s *summary) *float64 { return &s.ServerAllocs }),
			figure("bytes", func(s *summary) *float64 { return &s.WireBytes }),
		)
	}
	if !ratios {
		return columns
	}
	times := func(head string, of func(*ratio) *float64) column {
		return column{head, 2, func(s summary) *float64 {
			if s.Ratio == nil {
				return nil
			}
			return of(s.Ratio)
		}}
	}
	if !rate {
		columns = append(columns, times("calls/s ×", func(r *ratio) *float64 { return &r.CallsPerS }))
	}
	columns = append(columns,
		times("p50 ×", func(r *ratio) *float64 { return &r.P50 }),
		times("p99 ×", func(r *ratio) *float64 { return &r.P99 }),
		times("CPU ×", func(r *ratio) *float64 { return &r.CPU }),
	)
	if !rate {
		columns = append(columns, times("bytes ×", func(r *ratio) *float64 { return &r.WireBytes }))
	}
	return columns
}

func reportTable(out io.Writer, summaries []summary) error {
	w := summaries[0].workload
	ratios := slices.ContainsFunc(summaries, func(s summary) bool { return s.Ratio != nil })
	columns := tableColumns(w.Rate > 0, ratios)

	heads := []string{"variant"}
	for _, c := range columns {
		heads = append(heads, c.head)
	}
	if ratios {
		heads = append(heads, "against")
	}
	rows := [][]string{heads}
	var missed []string
	for _, s := range summaries {
		cells := []string{s.Variant}
		for _, c := range columns {
			cells = append(cells, c.cell(s))
		}
		if s.Ratio != nil {
			cells = append(cells, s.Ratio.To)
		}
		rows = append(rows, cells)
		if s.Reached != nil && !*s.Reached {
			missed = append(missed, s.Variant)
		}
	}

	var text strings.Builder
	table := tabwriter.NewWriter(&text, 0, 0, 2, ' ', tabwriter.AlignRight)
	for _, cells := range rows {
		if _, err := io.WriteString(table, strings.Join(cells, "\t")+"\t\n"); err != nil {
			return err
		}
	}
	if err := table.Flush(); err != nil {
		return err
	}
	if len(missed) > 0 {
		text.WriteString("the rate was not reached by " + strings.Join(missed, ", ") + "\n")
	}
	_, err := fmt.Fprintf(out, "echo of %v; CPU in µs, allocations and bytes per call\n%s\n", w, &text)
	return err
}

func (c column) cell(s summary) string {
	figure := c.figure(s)
	if figure == nil {
		return "-"
	}
	return fmt.Sprintf("%.*f", c.digits, *figure)
}
