package main

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
)

// demoResult is what became of the demo's calls.
type demoResult struct {
	tallySums

	effectSums

	over    string // what kind of broker
	servers int
	kills   []kill
	took    []time.Duration // of the calls that were answered, sorted
	memory  *demoMemory     // nil: the servers had none
}

func newDemoResult(o demoOptions, t *tally, k *killer, memory *demoMemory, e effectSums) *demoResult {
	r := &demoResult{over: o.over(), servers: o.servers, kills: k.kills(), memory: memory, effectSums: e}
	r.tallySums, r.took, _ = t.look(o.calls)
	slices.Sort(r.took)
	return r
}

// broken reports whether a promise was.
func (r *demoResult) broken() bool {
	return r.lost > 0 || r.mismatched > 0 || r.memory != nil && (r.repeated > 0 || r.unexecuted() > 0)
}

// unexecuted is how many calls at least were answered and not executed.
func (r *demoResult) unexecuted() int { return max(0, len(r.took)-r.executed) }

// verdict is what breaks promises.
func (r *demoResult) verdict() string {
	text := fmt.Sprintf("%d calls lost, %d replies mismatched", r.lost, r.mismatched)
	if r.memory != nil {
		text += fmt.Sprintf(", %d executed more than once, %d answered and not executed", r.repeated, r.unexecuted())
	}
	return text
}

// demoJSON is what `warren demo --json` prints.
type demoJSON struct {
	Calls            int            `json:"calls"`
	OK               int            `json:"ok"`
	Errors           map[string]int `json:"errors"`
	Kills            int            `json:"kills"`
	Lost             int            `json:"lost"`
	Mismatched       int            `json:"mismatched"`
	DuplicateEffects int            `json:"duplicate_effects"`
	Store            string         `json:"store,omitempty"`
	Executed         *int           `json:"executed,omitempty"` // calls; with a store
	P50MS            float64        `json:"p50_ms"`
	P95MS            float64        `json:"p95_ms"`
	P99MS            float64        `json:"p99_ms"`
}

func (r *demoResult) json() demoJSON {
	j := demoJSON{
		Calls: r.begun, OK: len(r.took), Errors: r.errors, Kills: len(r.kills), Lost: r.lost, Mismatched: r.mismatched,
		DuplicateEffects: r.repeated, P50MS: milliseconds(quantile(r.took, 0.50)),
		P95MS: milliseconds(quantile(r.took, 0.95)), P99MS: milliseconds(quantile(r.took, 0.99)),
	}
	if r.memory != nil {
		j.Store, j.Executed = r.memory.name, &r.executed
	}
	if j.Errors == nil {
		j.Errors = map[string]int{}
	}
	return j
}

// text is the summary that a person reads.
func (r *demoResult) text() string {
	var b strings.Builder
	row := func(name string, n int, remark string) {
		if remark != "" {
			remark = "   " + remark
		}
		_, _ = fmt.Fprintf(&b, "  %-24s%8s%s\n", name, thousands(n), remark)
	}
	memory, repeated := "", "at-least-once without a store"
	if r.memory != nil {
		memory, repeated = " with one memory in "+r.memory.name, r.memory.remark
	}
	_, _ = fmt.Fprintf(&b, "%s by one client over %s to %s%s\n\n", count(r.begun, "call"), r.over, count(r.servers, "server"), memory)
	row("answered", len(r.took), "each with the result of its own request")
	row("typed errors", sum(r.errors), listCounts(r.errors))
	row("lost", r.lost, "neither a reply nor an error in time")
	row("mismatched", r.mismatched, "answered with another call's result")
	row("servers killed", len(r.kills), pointsOf(r.kills))
	row("executed more than once", r.repeated, repeated)
	if n := len(r.took); n > 0 {
		_, _ = fmt.Fprintf(&b, "\n  latency   p50 %s   p95 %s   p99 %s   slowest %s\n",
			short(quantile(r.took, 0.50)), short(quantile(r.took, 0.95)), short(quantile(r.took, 0.99)), short(r.took[n-1]))
	}
	verdict := "Every call was answered, or failed with a typed error, in time; every reply was its own call's."
	switch {
	case r.broken():
		verdict = "BROKEN: " + r.verdict() + "."
	case r.memory != nil:
		verdict += "\nEvery call that was answered was executed, and none twice."
	}
	_, _ = fmt.Fprintf(&b, "\n%s\n", verdict)
	return b.String()
}

func sum(counts map[string]int) int {
	total := 0
	for _, n := range counts {
		total += n
	}
	return total
}

// listCounts is "a 2, b 1", sorted by name.
func listCounts(counts map[string]int) string {
	parts := make([]string, 0, len(counts))
	for name, n := range counts {
		parts = append(parts, fmt.Sprintf("%s %d", name, n))
	}
	slices.Sort(parts)
	return strings.Join(parts, ", ")
}

// quantile of sorted durations, by nearest rank; 0 if there are none.
func quantile(sorted []time.Duration, q float64) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	rank := int(math.Ceil(q * float64(len(sorted))))
	return sorted[max(rank, 1)-1]
}

// short prints a duration with three digits at most before its unit.
func short(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	default:
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
}

// count is "1 call" or "2 calls".
func count(n int, what string) string {
	if n != 1 {
		what += "s"
	}
	return thousands(n) + " " + what
}

// thousands is "12,345".
func thousands(n int) string {
	digits := strconv.Itoa(n)
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
