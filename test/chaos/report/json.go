package report

import (
	"io"
	"time"

	"github.com/warren-rpc/warren/internal/printable"
	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// jsonReport is the contract with scripts: names do not change, others may come.
type jsonReport struct {
	Verdict        check.Verdict                `json:"verdict"`
	Calls          int                          `json:"calls"`
	Faults         map[string]int               `json:"faults"`
	Invariants     map[check.Name]jsonInvariant `json:"invariants"`
	Kills          map[string]int               `json:"kills,omitempty"`
	Missing        map[string]string            `json:"missing,omitempty"`
	Mode           string                       `json:"mode,omitempty"`
	Seed           uint64                       `json:"seed,omitempty"`
	Command        string                       `json:"command,omitempty"`
	Started        *time.Time                   `json:"started,omitempty"`
	DurationS      float64                      `json:"duration_s"`
	OK             int                          `json:"ok"`
	Errors         map[string]int               `json:"errors"`
	Effects        int                          `json:"effects"`
	Resolved       int                          `json:"resolved"`
	Events         int                          `json:"events"`
	RecoveryP50ms  float64                      `json:"recovery_p50_ms"`
	RecoveryMaxMs  float64                      `json:"recovery_max_ms"`
	Takeovers      int                          `json:"takeovers"`
	TakeoverP50ms  float64                      `json:"takeover_p50_ms"`
	TakeoverP99ms  float64                      `json:"takeover_p99_ms"`
	TakeoverMaxMs  float64                      `json:"takeover_max_ms"`
	ClockSkewMs    float64                      `json:"clock_skew_ms"`
	Visualisations []string                     `json:"visualisations,omitempty"`
}

type jsonInvariant struct {
	Checked   int           `json:"checked"`
	Broken    int           `json:"broken"`
	Undecided int           `json:"undecided"`
	Required  bool          `json:"required,omitempty"`
	Upper95   float64       `json:"upper_95"`
	Examples  []jsonExample `json:"examples,omitempty"`
}

type jsonExample struct {
	CallID string          `json:"call_id,omitempty"`
	What   string          `json:"what"`
	Events []history.Event `json:"events,omitempty"`
}

// JSON writes the report as one object on one line: verdict ("ok" or "broken"),
// calls, faults by name, and for each invariant checked, broken, undecided, the
// upper bound upper_95 and examples. Events are as package history has them.
func JSON(w io.Writer, run Run) error {
	r := run.Report
	out := jsonReport{
		Verdict: r.Verdict, Calls: r.Calls, Faults: orEmpty(r.Faults), Invariants: map[check.Name]jsonInvariant{},
		Kills: kills(run.Kills), Missing: run.Missing, Mode: run.Mode, Seed: run.Seed, Command: run.Command, DurationS: r.Duration.Seconds(), OK: r.Succeeded,
		Errors: orEmpty(r.Errors), Effects: r.Effects, Resolved: r.Resolved, Events: r.Events,
		RecoveryP50ms: milliseconds(quantile(r.Recovery, 0.5)), RecoveryMaxMs: milliseconds(quantile(r.Recovery, 1)),
		Takeovers: len(r.Takeovers), TakeoverP50ms: milliseconds(quantile(r.Takeovers, 0.5)),
		TakeoverP99ms: milliseconds(quantile(r.Takeovers, 0.99)), TakeoverMaxMs: milliseconds(quantile(r.Takeovers, 1)),
		ClockSkewMs: milliseconds(r.ClockSkew), Visualisations: r.Visualisations,
	}
	if !run.Started.IsZero() {
		out.Started = &run.Started
	}
	for _, i := range r.Invariants {
		ji := jsonInvariant{Checked: i.Checked, Broken: i.Broken, Undecided: i.Undecided, Required: i.Required, Upper95: i.Upper}
		for _, x := range i.Examples {
			ji.Examples = append(ji.Examples, jsonExample{x.CallID, x.What, x.Events})
		}
		out.Invariants[i.Name] = ji
	}
	line, err := printable.JSON(out)
	if err == nil {
		_, err = w.Write(append(line, '\n'))
	}
	return err
}

func orEmpty(m map[string]int) map[string]int {
	if m == nil {
		return map[string]int{}
	}
	return m
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
