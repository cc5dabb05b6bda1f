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

// report writes the summaries of one size and number in flight.
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
		&s.CallsPerS, &s.P50us, &s.P99us, &s.ClientCPUus, &s.ServerCPUus, &s.ClientAllocs, &s.ServerAllocs,
		&s.WireBytes,
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

// reportTable heads the columns of ratios with "×": how many times the
// baseline's figure.
func reportTable(out io.Writer, summaries []summary) error {
	first := summaries[0]
	title := fmt.Sprintf("echo of %d bytes, %d in flight; CPU in µs, allocations and bytes per call", first.Size, first.Inflight)
	heads := []string{"variant", "calls/s", "p50 µs", "p99 µs", "CPU client", "server", "broker", "allocs client", "server", "bytes"}
	if slices.ContainsFunc(summaries, func(s summary) bool { return s.Ratio != nil }) {
		heads = append(heads, "calls/s ×", "p50 ×", "p99 ×", "CPU ×", "bytes ×", "against")
	}
	rows := [][]string{heads}
	for _, s := range summaries {
		broker := "-"
		if s.BrokerCPUus != nil {
			broker = fmt.Sprintf("%.0f", *s.BrokerCPUus)
		}
		cells := []string{s.Variant}
		for _, figure := range []float64{s.CallsPerS, s.P50us, s.P99us, s.ClientCPUus, s.ServerCPUus} {
			cells = append(cells, fmt.Sprintf("%.0f", figure))
		}
		cells = append(cells, broker, fmt.Sprintf("%.0f", s.ClientAllocs), fmt.Sprintf("%.0f", s.ServerAllocs), fmt.Sprintf("%.0f", s.WireBytes))
		if r := s.Ratio; r != nil {
			for _, figure := range []float64{r.CallsPerS, r.P50, r.P99, r.CPU, r.WireBytes} {
				cells = append(cells, fmt.Sprintf("%.2f", figure))
			}
			cells = append(cells, r.To)
		}
		rows = append(rows, cells)
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
	_, err := fmt.Fprintf(out, "%s\n%s\n", title, &text)
	return err
}

func roundTo(x, perUnit float64) float64 { return math.Round(x*perUnit) / perUnit }
