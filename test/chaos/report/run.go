package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// Run is a run and what was found of it.
type Run struct {
	Report *check.Report
	// Mode is the methods', in text; empty if they have several.
	Mode string
	// Seed is what makes the same faults again; 0 if there was none.
	Seed uint64
	// Kills is at which crash point processes died how often; "" is any other time.
	Kills map[string]int
	// Missing says of kinds of fault why there were none.
	Missing map[string]string
	// Command repeats the run; may be empty.
	Command string
	// Started is when it began; may be zero.
	Started time.Time
}

// counts lists them, the largest first.
func counts(m map[string]int) string {
	names := slices.SortedFunc(maps.Keys(m), func(a, b string) int {
		return cmp.Or(cmp.Compare(m[b], m[a]), cmp.Compare(a, b))
	})
	parts := make([]string, len(names))
	for i, name := range names {
		parts[i] = fmt.Sprintf("%d %s", m[name], name)
	}
	return strings.Join(parts, ", ")
}

// kills names those that were at no crash point.
func kills(m map[string]int) map[string]int {
	named := maps.Clone(m)
	if n, ok := named[""]; ok {
		delete(named, "")
		named["any_time"] = n
	}
	return named
}

// state is how an invariant fared, in a word.
func state(i check.Invariant) string {
	switch {
	case i.Broken > 0:
		return "BROKEN"
	case i.Undecided > 0:
		return "undecided"
	case i.Checked > 0:
		return "ok"
	case i.Required:
		return "MISSING"
	default:
		return "not checked"
	}
}

// bound is the invariant's upper bound, to three digits.
func bound(i check.Invariant) string {
	if i.Checked == 0 {
		return "-"
	}
	return fmt.Sprintf("%.3g", i.Upper)
}

// quantile returns the value that a share of q of them does not exceed, or 0.
func quantile(of []time.Duration, q float64) time.Duration {
	if len(of) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(of))[int(q*float64(len(of)-1))]
}

// takeovers tells how long after a kill calls were begun again.
func takeovers(after []time.Duration) string {
	within := func(q float64) time.Duration { return quantile(after, q).Round(time.Millisecond) }
	return fmt.Sprintf("%d, after a kill: median %v, 90 %% within %v, 99 %% within %v, at most %v",
		len(after), within(0.5), within(0.9), within(0.99), within(1))
}

// line tells of an event in one line, without its time and process.
func line(e history.Event) string {
	parts := []string{string(e.Kind)}
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	if e.Method != "" {
		add("%s", e.Method)
	}
	if op := e.Op; op != nil {
		add("%s", op.Name)
		for _, arg := range [][2]string{{"key", op.Key}, {"to", op.To}, {"old", op.Old}, {"new", op.New}} {
			if arg[1] != "" {
				add("%s=%q", arg[0], arg[1])
			}
		}
		if op.Amount != 0 {
			add("amount=%d", op.Amount)
		}
	}
	if e.Kind == history.KindCall && e.Deadline > 0 {
		add("deadline=%v", e.Deadline.Round(time.Microsecond))
	}
	switch {
	case e.State != "":
		add("%s, %v", e.State, e.Outcome)
	case e.OK:
		add("ok")
	case e.Kind == history.KindEnd || e.Kind == history.KindResolve:
		add("%s, %v", strings.Trim(e.Code+"/"+e.Reason, "/"), e.Outcome)
	}
	for _, flag := range []struct {
		name string
		set  bool
	}{{"replayed", e.Replayed}, {"no effect", e.NoEffect}, {"poison", e.Poison}} {
		if flag.set {
			add("%s", flag.name)
		}
	}
	for _, text := range [][2]string{
		{"digest", e.Digest}, {"echo", e.Echo}, {"key", e.Key}, {"value", e.Value}, {"note", e.Note}, {"owner", e.Owner}, {"text", e.Text},
	} {
		if text[1] != "" {
			add("%s=%.80q", text[0], text[1])
		}
	}
	if f := e.Fault; f != nil {
		add("%s %s %s", f.Name, f.Target, f.Detail)
	}
	if s := e.Sample; s != nil {
		add("%+v", *s)
	}
	if e.Phase != "" {
		add("(%s)", e.Phase)
	}
	return strings.Join(parts, " ")
}
