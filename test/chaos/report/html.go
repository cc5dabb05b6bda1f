package report

import (
	_ "embed" // of the page
	"html/template"
	"io"
	"path/filepath"
	"time"

	"github.com/warren-rpc/warren/internal/printable"
	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
)

//go:embed page.html
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"counts": counts, "state": state, "bound": bound, "line": line, "round": round, "takeovers": takeovers,
	"seconds": func(e history.Event) float64 { return e.At.Seconds() },
	"base":    filepath.Base,
}).Parse(pageText))

// page is what the template shows.
type page struct {
	Run
	Faults, Outcomes, Latency chart
	Median, Longest           time.Duration
	Killed                    map[string]int
	Examples                  []check.Invariant // those with examples
}

// HTML writes the report as one page that loads nothing: the verdict, a timeline of
// faults, outcomes and latency, the invariants, and the examples of what broke. What
// the history holds is shown as text, whatever it is.
func HTML(w io.Writer, run Run) error {
	r := run.Report
	seconds := r.Timeline.Seconds
	// Charts are as long as the run, and as the last second that has figures.
	a := axis{max(r.Duration, time.Duration(len(seconds))*time.Second, time.Second)}
	p := page{
		Run: run, Faults: faultChart(a, r.Timeline.Faults), Outcomes: outcomeChart(a, seconds), Latency: latencyChart(a, seconds),
		Median: quantile(r.Recovery, 0.5), Longest: quantile(r.Recovery, 1),
		Killed: kills(run.Kills),
	}
	for _, i := range r.Invariants {
		if len(i.Examples) > 0 {
			p.Examples = append(p.Examples, i)
		}
	}
	return pageTemplate.Execute(printable.Writer{To: w}, p)
}
