package check

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/chaos/history"
)

func TestRecoveryIsJudged(t *testing.T) {
	t.Parallel()
	cut := &history.Fault{Name: "cut", Target: "proxy"}
	other := &history.Fault{Name: "broker-kill"}
	at := func(seconds float64) time.Duration { return time.Duration(seconds * float64(time.Second)) }
	fault := func(f *history.Fault, p history.Phase, seconds float64) history.Event {
		return history.Event{Kind: history.KindFault, Phase: p, Fault: f, At: at(seconds)}
	}
	success := func(seconds float64) history.Event {
		return history.Event{Kind: history.KindEnd, OK: true, At: at(seconds)}
	}
	last := history.Event{Kind: history.KindNote, At: at(100)}
	for _, tt := range []struct {
		name            string
		checked, broken int
		took            []time.Duration
		events          []history.Event
	}{
		{"in time", 1, 0, []time.Duration{at(9)}, []history.Event{fault(cut, "begin", 1), fault(cut, "end", 2), success(11), last}},
		{"at once", 1, 0, []time.Duration{0}, []history.Event{fault(cut, "once", 2), success(2), last}},
		{"too late", 1, 1, nil, []history.Event{fault(cut, "begin", 1), fault(cut, "end", 2), success(12.5), last}},
		{"never", 1, 1, nil, []history.Event{success(1.5), fault(cut, "begin", 1), fault(cut, "end", 2), last}},
		{"it lasts", 0, 0, nil, []history.Event{fault(cut, "begin", 1), last}},
		{"the run is over", 0, 0, nil, []history.Event{fault(cut, "begin", 1), fault(cut, "end", 95), last}},
		{"the next fault has it", 1, 1, nil, []history.Event{
			fault(cut, "begin", 1), fault(cut, "end", 2), fault(other, "begin", 8), fault(other, "end", 20), success(31), last,
		}},
		{"another lasts", 0, 0, nil, []history.Event{
			fault(other, "begin", 0.5), fault(cut, "begin", 1), fault(cut, "end", 2), last,
		}},
		{"two of a kind", 2, 0, []time.Duration{at(2), at(1)}, []history.Event{
			fault(cut, "begin", 1), fault(cut, "end", 2), success(4), fault(cut, "begin", 5), fault(cut, "end", 6), success(7), last,
		}},
		{"nobody calls", 0, 0, nil, []history.Event{fault(cut, "begin", 50), fault(cut, "end", 51), last}},
		{"success that came before", 1, 1, nil, []history.Event{success(1.9), fault(cut, "once", 2), last}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			events := tt.events
			for second := range 40 {
				events = append(events, history.Event{Kind: history.KindCall, CallID: "x", At: at(float64(second))})
			}
			r := judged(t, events, Options{})
			i := r.Invariant(Recovers)
			if i.Checked != tt.checked || i.Broken != tt.broken || len(r.Recovery) != len(tt.took) {
				t.Fatalf("%d checked, %d broken, %v", i.Checked, i.Broken, r.Recovery)
			}
			for n, took := range tt.took {
				if r.Recovery[n] != took {
					t.Errorf("it took %v", r.Recovery)
				}
			}
			if tt.broken > 0 && len(i.Examples[0].Events) == 0 {
				t.Error("the example has no events")
			}
			total := 0
			for _, n := range r.Faults {
				total += n
			}
			if total != len(r.Timeline.Faults) || total == 0 {
				t.Errorf("%v, and %d spans", r.Faults, len(r.Timeline.Faults))
			}
		})
	}
}

func TestFreezesThatOverlapCountOnce(t *testing.T) {
	t.Parallel()
	f := newFaults()
	for _, span := range [][2]time.Duration{{5, 8}, {1, 6}, {2, 3}, {20, 30}} {
		id := span[0].String()
		for n, phase := range []history.Phase{history.PhaseBegin, history.PhaseEnd} {
			f.take(&history.Event{Phase: phase, At: span[n], Fault: &history.Fault{
				Name: "freeze", ID: id, Target: "client", Class: history.Freezes,
			}})
		}
	}
	f.settle(40)
	for _, tt := range []struct{ from, to, want time.Duration }{
		{0, 10, 7}, {0, 100, 17}, {4, 7, 3}, {9, 15, 0}, {25, 26, 1},
	} {
		if got := f.frozen("client@5", tt.from, tt.to); got != tt.want {
			t.Errorf("%d to %d: %d, want %d", tt.from, tt.to, got, tt.want)
		}
	}
	if f.frozen("server@5", 0, 100) != 0 {
		t.Error("another process stood still")
	}
}

func TestAccountsThatWereNotReadAreNotExplained(t *testing.T) {
	t.Parallel()
	state := func(key string, phase history.Phase, value string) history.Event {
		return history.Event{Kind: history.KindState, Key: key, Phase: phase, Value: value}
	}
	r := judged(t, []history.Event{state("a", "begin", "5"), state("a", "end", "5"), state("b", "begin", "5")}, Options{})
	if i, s := r.Invariant(BankBalance), r.Invariant(BankSum); i.Undecided != 1 || i.Checked != 1 || s.Undecided != 1 || s.Checked != 0 {
		t.Errorf("%+v, %+v", i, s)
	}
}
