package check

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// op is one operation of a register, from and to being in milliseconds.
type op struct {
	name     string
	arg, old string
	found    string
	from, to int
	how      string // "" is ok; "unknown", "not executed", "refused" (found another value), "open" (no end)
}

// registerHistory has each operation, with its effect, by a client of its own.
func registerHistory(ops ...op) []history.Event {
	s := &generator{mode: server.Transactional}
	for i, o := range ops {
		id := fmt.Sprintf("op-%d", i)
		operation := history.Op{Name: o.name, Key: "k/ä", Old: o.old, New: o.arg}
		s.now = time.Duration(o.from) * ms
		n := s.begin(theProcess, id, operation)
		s.now = time.Duration(o.to) * ms
		switch o.how {
		case "":
			s.end(theProcess, id, n, history.Event{OK: true, Value: o.found})
			if o.name != history.OpRead {
				s.effect(id, operation, "")
			}
		case "refused":
			s.end(theProcess, id, n, history.Event{OK: true, Value: o.found, NoEffect: true})
		case "unknown":
			s.end(theProcess, id, n, unknown)
		case "not executed":
			s.end(theProcess, id, n, notExecuted)
		}
	}
	return s.events
}

func TestRegisterIsJudged(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		want bool
		ops  []op
	}{
		{"empty at first", true, []op{{name: "read", from: 1, to: 2}}},
		{"reads what was written", true, []op{{name: "write", arg: "a", from: 1, to: 2}, {name: "read", found: "a", from: 3, to: 4}}},
		{"write is lost", false, []op{{name: "write", arg: "a", from: 1, to: 2}, {name: "read", from: 3, to: 4}}},
		{"either, at the same time", true, []op{
			{name: "write", arg: "a", from: 1, to: 9}, {name: "read", from: 2, to: 3}, {name: "read", found: "a", from: 4, to: 5},
		}},
		{"back again", false, []op{
			{name: "write", arg: "a", from: 1, to: 9}, {name: "read", found: "a", from: 2, to: 3}, {name: "read", from: 4, to: 5},
		}},
		{"unknown write is seen much later", true, []op{
			{name: "write", arg: "a", from: 1, to: 2, how: "unknown"}, {name: "read", from: 3, to: 4},
			{name: "read", found: "a", from: 5, to: 6},
		}},
		{"unknown write is seen twice", false, []op{
			{name: "write", arg: "a", from: 1, to: 2, how: "unknown"}, {name: "read", found: "a", from: 3, to: 4},
			{name: "read", from: 5, to: 6}, {name: "read", found: "a", from: 7, to: 8},
		}},
		{"not executed is seen", false, []op{
			{name: "write", arg: "a", from: 1, to: 2, how: "not executed"}, {name: "read", found: "a", from: 3, to: 4},
		}},
		{"unknown steps are all seen by their last", true, []op{
			{name: "cas", old: "", arg: "a", from: 1, to: 2, how: "unknown"}, {name: "cas", old: "a", arg: "b", from: 1, to: 2, how: "unknown"},
			{name: "write", arg: "never seen", from: 1, to: 2, how: "unknown"}, {name: "read", found: "b", from: 3, to: 4},
		}},
		{"unknown step is missing", false, []op{
			{name: "cas", old: "a", arg: "b", from: 1, to: 2, how: "unknown"}, {name: "read", found: "b", from: 3, to: 4},
		}},
		{"two have swapped the same", false, []op{
			{name: "cas", old: "", arg: "a", from: 1, to: 5}, {name: "cas", old: "", arg: "b", from: 1, to: 5},
		}},
		{"one has, and one is refused", true, []op{
			{name: "cas", old: "", arg: "a", from: 1, to: 5}, {name: "cas", old: "", arg: "b", found: "a", from: 1, to: 5, how: "refused"},
		}},
		{"refused without cause", false, []op{{name: "cas", old: "", arg: "a", found: "", from: 1, to: 5, how: "refused"}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			events := registerHistory(tt.ops...)
			folder := t.TempDir()
			r := judged(t, events, Options{Visualise: folder})
			i := r.Invariant(RegisterLinearizes)
			if i.OK() != tt.want || i.Checked != 1 {
				t.Fatalf("%+v", i)
			}
			if tt.want != (len(r.Visualisations) == 0) {
				t.Fatalf("written: %q", r.Visualisations)
			}
			if tt.want {
				return
			}
			if x := i.Examples[0]; len(x.Events) != len(events) {
				t.Errorf("the example has %d of %d events", len(x.Events), len(events))
			}
			page, err := os.ReadFile(r.Visualisations[0])
			if err != nil || !strings.Contains(string(page), "<html") || !strings.Contains(string(page), fmt.Sprintf("op-%d", len(tt.ops)-1)) {
				t.Errorf("the page does not show the operations: %v", err)
			}
			// A page that is there is not written over.
			if again := judged(t, events, Options{Visualise: folder}); slices.Equal(again.Visualisations, r.Visualisations) {
				t.Errorf("written again: %q", again.Visualisations)
			}
		})
	}
}

func TestCallsMadeAgainAreOneOperation(t *testing.T) {
	t.Parallel()
	write := history.Op{Name: history.OpWrite, Key: "k", New: "a"}
	s := &generator{mode: server.Transactional}
	told := func(id string, op history.Op, e history.Event) {
		n := s.begin(theProcess, id, op)
		s.now += ms
		s.end(theProcess, id, n, e)
		s.now += ms
	}
	told("w", write, unknown)
	s.effect("w", write, "")
	told("r1", history.Op{Name: history.OpRead, Key: "k"}, history.Event{OK: true, Value: "a"})
	told("w2", history.Op{Name: history.OpWrite, Key: "k", New: "b"}, history.Event{OK: true})
	s.effect("w2", write, "")
	// Were it carried out now, it would be seen.
	told("w", write, history.Event{OK: true, Replayed: true})
	told("r2", history.Op{Name: history.OpRead, Key: "k"}, history.Event{OK: true, Value: "b"})
	if r := judged(t, s.events, Options{}); r.Verdict != OK || r.Invariant(RegisterLinearizes).Checked != 1 {
		t.Errorf("%v", complaints(r))
	}
}

func TestResolvedWriteIsAnsweredOrNone(t *testing.T) {
	t.Parallel()
	for state, want := range map[string]bool{"completed": true, "canceled": false} {
		events := registerHistory(
			op{name: "write", arg: "a", from: 1, to: 2, how: "unknown"}, op{name: "read", found: "a", from: 5, to: 6},
		)
		resolve := history.Event{Kind: history.KindResolve, CallID: "op-0", State: state, At: 3 * ms, Digest: digestFor("op-0")}
		if state == "canceled" {
			resolve.Outcome = warren.NotExecuted
		}
		if got := judged(t, append(events, resolve), Options{}).Invariant(RegisterLinearizes).OK(); got != want {
			t.Errorf("%s: %v", state, got)
		}
	}
}

func TestRegisterThatIsNotDecidedInTimeIsNotOK(t *testing.T) {
	t.Parallel()
	// Swaps of all kinds at the same time, and a read of what none leaves.
	var ops []op
	for i := range 12 {
		for k := range 12 {
			ops = append(ops, op{
				name: "cas", old: fmt.Sprint("v", i), arg: fmt.Sprint("v", k), from: 1, to: 1000, how: "unknown",
			})
		}
	}
	ops = append(ops, op{name: "write", arg: "v0", from: 1, to: 2})
	for i := range 40 {
		ops = append(ops, op{name: "read", found: fmt.Sprint("v", i%12), from: 10 + i, to: 1000})
	}
	ops = append(ops, op{name: "read", found: "v0", from: 2000, to: 2001}, op{name: "read", found: "", from: 2002, to: 2003})
	r := judged(t, registerHistory(ops...), Options{Linearize: 50 * ms})
	if i := r.Invariant(RegisterLinearizes); i.Undecided != 1 || i.Checked != 0 || i.OK() || r.Verdict != Broken {
		t.Errorf("%+v", i)
	}
}

func TestClockStepMakesOperationsOfOthersNoMoreThanTheyAre(t *testing.T) {
	t.Parallel()
	events := registerHistory(op{name: "write", arg: "a", from: 1, to: 2}, op{name: "read", found: "", from: 3, to: 4})
	for i := range events {
		if events[i].CallID == "op-1" {
			events[i].Process = otherClient
		}
	}
	if judged(t, events, Options{}).Verdict != Broken {
		t.Fatal("a lost write is not noticed")
	}
	// The other process has seen the clock stepped: which came first is not known.
	step := history.Event{Kind: history.KindNote, At: ms, Wall: start.Add(5 * time.Second)}
	r := judged(t, append(events, step), Options{})
	if r.Verdict != OK || r.ClockSkew < 4*time.Second {
		t.Errorf("%v with a clock that was stepped by %v", complaints(r), r.ClockSkew)
	}
}
