package check

import (
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

var modes = []server.Mode{server.AtLeastOnce, server.AtMostOnce, server.Transactional}

func judged(t rapid.TB, events []history.Event, o Options) *Report {
	t.Helper()
	r, err := Check(history.Of(events...), o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// complaints names the invariants that are not well.
func complaints(r *Report) (names []Name) {
	for _, i := range r.Invariants {
		if !i.OK() {
			names = append(names, i.Name)
		}
	}
	return names
}

func TestHistoryInWhichNothingIsBrokenIsOK(t *testing.T) {
	t.Parallel()
	for _, mode := range modes {
		t.Run(mode.String(), func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				o := Options{}
				for _, p := range promises {
					switch p.name {
					case BegunOnce:
						if mode != server.AtMostOnce {
							continue
						}
					case UnknownAtMostOne, RegisterLinearizes:
						if !once(mode) {
							continue
						}
					default:
					}
					o.Require = append(o.Require, p.name)
				}
				r := judged(t, tell(t, mode), o)
				if r.Verdict != OK {
					for _, i := range r.Invariants {
						if !i.OK() {
							t.Errorf("%s: %d checked, %+v", i.Name, i.Checked, i.Examples)
						}
					}
				}
				if i := r.Invariant(RegisterLinearizes); !once(mode) && i.Checked > 0 {
					t.Error("a register is judged that may be written twice")
				}
			})
		})
	}
}

// mutants break one invariant each. Those of onceOnly do in the modes alone that
// promise that nothing is done twice.
var mutants = []struct {
	name   string
	breaks Name
	only   []server.Mode // nil: all
	mutate func(events []history.Event) []history.Event
}{
	{"success has lost its effect", SuccessHasEffect, nil, without(history.KindEffect, "ok-0", 0)},
	{"success has two effects", SuccessHasEffect, modes[1:], twice(history.KindEffect, "ok-0")},
	{"read has an effect", SuccessHasEffect, nil, effectOf("ro-0")},
	{"failed compare-and-set has an effect", SuccessHasEffect, modes[1:], effectOf("reg-3")},
	{"not executed, with an effect", NotExecutedHasNone, nil, effectOf("ne-0")},
	{"unknown with two effects", UnknownAtMostOne, modes[1:], twice(history.KindEffect, "un-0")},
	{"killed with two effects", UnknownAtMostOne, modes[1:], all(effectOf("ki-0"), effectOf("ki-0"))},
	{"nobody serves it, and it is not told", UnservedIsTold, nil, changed(history.KindEnd, "ns-0", 0, func(e *history.Event) { e.Outcome = warren.Unknown })},
	{"nobody serves it, and only a server was cut off", UnservedIsTold, nil, faultChanged("cut", func(f *history.Fault) { f.Target = "server" })},
	{"the broker refuses it, and it waits", RefusedIsTold, nil, changed(history.KindEnd, "rj-0", 0, func(e *history.Event) {
		e.Code, e.Reason, e.Outcome = "deadline_exceeded", "", warren.Unknown
	})},
	{"nobody can say what became of it", OutcomeIsTold, nil, added(history.Event{Kind: history.KindNote, Note: history.NoteUntold, CallID: "un-0"})},
	{"a call is begun again, whose server has died", BegunOnce, modes[1:2], added(history.Event{
		Kind: history.KindNote, Note: history.NoteTakeover, CallID: "un-0", Process: "server@9", At: 1,
	})},
	{"another store's server has an effect", OneMemory, nil, added(history.Event{
		Kind: history.KindEffect, CallID: "ki-0", Method: "work", Process: Intruder + "@9", At: 1,
	})},
	{"nothing is heard of a call", Answered, nil, changed(history.KindEnd, "an-0", 0, func(e *history.Event) {
		e.Code, e.Reason, e.Outcome = "deadline_exceeded", "", warren.Unknown
	})},
	{"completed without effect", ResolveAgrees, nil, without(history.KindEffect, "re-0", 0)},
	{"canceled with an effect", ResolveAgrees, nil, effectOf("rc-0")},
	{"canceled, and an effect later", ResolveAgrees, modes[2:], changed(history.KindEffect, "rx-0", 0, func(e *history.Event) {
		e.At += time.Hour
		e.Wall = e.Wall.Add(time.Hour)
	})},
	{"canceled, and succeeded", ResolveAgrees, nil, added(history.Event{
		Kind: history.KindResolve, CallID: "ok-0", State: "canceled", At: 1, Process: theProcess,
	})},
	{"failed and not executed, with an effect", ResolveAgrees, nil, effectOf("rf-0")},
	{"resolved to nothing known", ResolveAgrees, nil, changed(history.KindResolve, "re-0", 0, func(e *history.Event) { e.State = "gone" })},
	{"effect without a call", EffectHasCall, nil, effectOf("nobody")},
	{"effect of another method", EffectHasCall, nil, changed(history.KindEffect, "un-0", 0, func(e *history.Event) { e.Method = "other" })},
	{"reply to another call", ReplyBelongs, nil, changed(history.KindEnd, "ok-0", 0, func(e *history.Event) { e.Echo = "ok-1" })},
	{"resolved with another call's reply", ReplyBelongs, nil, changed(history.KindResolve, "re-0", 0, func(e *history.Event) { e.Echo = "ok-1" })},
	{"reply that was not given", ReplyBelongs, nil, changed(history.KindEffect, "ok-0", 0, func(e *history.Event) { e.Digest = digestFor("else") })},
	{"replay differs", ReplayIdentical, modes[1:], changed(history.KindEnd, "rp-0", 1, func(e *history.Event) { e.Digest = digestFor("else") })},
	{"replay differs from what was resolved", ReplayIdentical, nil, changed(history.KindEnd, "rr-0", 1, func(e *history.Event) { e.Digest = digestFor("else") })},
	{"end is missing", EndsOnce, nil, without(history.KindEnd, "un-0", 0)},
	{"two ends", EndsOnce, nil, twice(history.KindEnd, "ne-0")},
	{"end without a call", EndsOnce, nil, without(history.KindCall, "ne-0", 0)},
	{"two calls of one number", EndsOnce, nil, twice(history.KindCall, "ok-0")},
	{"killed client's call that another kill was for", EndsOnce, nil, faultChanged("kill-client", func(f *history.Fault) { f.Target = "client@22" })},
	{"end after the deadline", EndsInTime, nil, changed(history.KindEnd, "ok-1", 0, func(e *history.Event) {
		e.At += allowed + 100*ms
		e.Wall = e.Wall.Add(allowed + 100*ms)
	})},
	{"end after the deadline, nobody being frozen", EndsInTime, nil, faultChanged("freeze-client", func(f *history.Fault) { f.Class = "" })},
	{"end after the deadline, another being frozen", EndsInTime, nil, faultChanged("freeze-client", func(f *history.Fault) { f.Target = "server" })},
	{"queue holds a message", QueuesDrained, nil, sampleChanged("work", func(s *history.Sample) { s.Depth = 1 })},
	{"innocent is parked", InnocentsNotParked, nil, added(history.Event{Kind: history.KindNote, Note: history.NoteParked, CallID: "ok-0"})},
	{"innocent is parked after a last attempt that a poison ended", InnocentsNotParked, nil, added(history.Event{
		Kind: history.KindNote, Note: history.NotePoison, CallID: "po-0", Process: "server@7", At: 1,
	})},
	{"innocent is parked after a last attempt whose server died by itself", InnocentsNotParked, nil, faultChanged("kill-server", func(f *history.Fault) {
		f.Class = ""
	})},
	{"innocent is parked, and its last attempt came after the last kill", InnocentsNotParked, nil, changed(history.KindNote, "pk-0", 0, func(e *history.Event) {
		e.At += time.Hour
		e.Wall = e.Wall.Add(time.Hour)
	})},
	{"goroutines are left", GoroutinesBack, nil, sampleChanged(theProcess, func(s *history.Sample) { s.Goroutines += 5 })},
	{"descriptors are left", DescriptorsBack, nil, sampleChanged(theProcess, func(s *history.Sample) { s.Descriptors += 5 })},
	{"heap is left", HeapBack, nil, sampleChanged(theProcess, func(s *history.Sample) { s.Heap += 50 << 20 })},
	{"no success after a fault", Recovers, nil, added(
		history.Event{Kind: history.KindFault, Phase: history.PhaseBegin, At: time.Hour, Fault: &history.Fault{Name: "cut"}},
		history.Event{Kind: history.KindFault, Phase: history.PhaseEnd, At: time.Hour + 1, Fault: &history.Fault{Name: "cut"}},
		history.Event{Kind: history.KindCall, CallID: "late", Number: 1, At: time.Hour + 2, Process: "late@1", Deadline: time.Hour + 3},
		history.Event{Kind: history.KindEnd, CallID: "late", Number: 1, At: time.Hour + 3, Process: "late@1", Code: "deadline_exceeded"},
		history.Event{Kind: history.KindNote, At: 2 * time.Hour},
	)},
	{"stale read", RegisterLinearizes, modes[1:], changed(history.KindEnd, "reg-4", 0, func(e *history.Event) { e.Value = "one" })},
	{"read of what was never written", RegisterLinearizes, modes[1:], changed(history.KindEnd, "reg-4", 0, func(e *history.Event) { e.Value = "never" })},
	{"write is lost", RegisterLinearizes, modes[1:], changed(history.KindEnd, "reg-2", 0, func(e *history.Event) { e.Value = "before" })},
	{"balance is not explained", BankBalance, nil, all(balance("a", 1), balance("b", -1))},
	{"sum differs on the way", BankSum, nil, changed(history.KindState, "snapshot", 0, func(e *history.Event) { e.Value += "0" })},
}

func TestEachBreachIsFoundAndNoOther(t *testing.T) {
	t.Parallel()
	for _, m := range mutants {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			rapid.Check(t, func(t *rapid.T) {
				only := m.only
				if only == nil {
					only = modes
				}
				events := m.mutate(tell(t, rapid.SampledFrom(only).Draw(t, "mode")))
				rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "order"), 0)).Shuffle(len(events), func(i, k int) { // as files may be
					events[i], events[k] = events[k], events[i]
				})
				r := judged(t, events, Options{})
				if got := complaints(r); r.Verdict != Broken || !slices.Equal(got, []Name{m.breaks}) {
					t.Fatalf("the verdict is %s, for %q", r.Verdict, got)
				}
				i := r.Invariant(m.breaks)
				if i.Broken == 0 || len(i.Examples) == 0 || i.Upper <= 0 {
					t.Fatalf("%+v", i)
				}
				for _, x := range i.Examples {
					if !slices.IsSortedFunc(x.Events, func(a, b history.Event) int { return int(a.At - b.At) }) || x.What == "" {
						t.Errorf("example %+v", x)
					}
					if x.CallID != "" && len(x.Events) == 0 {
						t.Errorf("example %s has no events", x.CallID)
					}
				}
			})
		})
	}
}

func TestNobodyAnswersForACopyOfARequest(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		events := tell(t, rapid.SampledFrom(modes).Draw(t, "mode"))
		events = all(effectOf("ne-0"), added(history.Event{Kind: history.KindNote, Note: history.NoteCopied, CallID: "ne-0", At: 1}))(events)
		if r := judged(t, events, Options{}); r.Verdict != OK {
			t.Errorf("%v", complaints(r))
		}
	})
}

func TestEveryInvariantHasAMutant(t *testing.T) {
	t.Parallel()
	broken := map[Name]bool{}
	for _, m := range mutants {
		broken[m.breaks] = true
	}
	for _, p := range promises {
		if !broken[p.name] {
			t.Errorf("nothing breaks %s", p.name)
		}
	}
}

func TestReportCounts(t *testing.T) {
	t.Parallel()
	s := &generator{values: map[string]string{}, bank: map[string]int64{}}
	call := func(id string, e history.Event, did bool) {
		n := s.begin(theProcess, id, appends)
		if did {
			s.effect(id, appends, "")
		}
		s.now += 10 * ms
		s.end(theProcess, id, n, e)
	}
	call("a", ok, true)
	call("b", notExecuted, false)
	s.now += 2 * time.Second
	call("c", history.Event{Code: "internal", Outcome: warren.Executed}, false)
	call("d", unknown, false)
	r := judged(t, s.events, Options{})
	if r.Verdict != OK || r.Calls != 4 || r.Succeeded != 1 || r.Effects != 1 || r.Events != 9 || r.ClockSkew != 0 {
		t.Errorf("%+v", r)
	}
	if len(r.Errors) != 3 || r.Errors["unavailable/no_route"] != 1 || r.Errors["internal"] != 1 || r.Errors["deadline_exceeded"] != 1 {
		t.Errorf("errors %v", r.Errors)
	}
	seconds := r.Timeline.Seconds
	if len(seconds) != 3 || seconds[0].Ended() != 2 || seconds[1].Ended() != 0 || seconds[2].Executed != 1 ||
		seconds[2].Unknown != 1 || seconds[0].NotExecuted != 1 || seconds[0].P99 != 3*ms {
		t.Errorf("timeline %+v", seconds)
	}
}

func TestNothingIsNoGoodRun(t *testing.T) {
	t.Parallel()
	if r := judged(t, nil, Options{}); r.Verdict != Broken {
		t.Error("a run without calls is ok")
	}
	s := &generator{}
	s.end(theProcess, "a", s.begin(theProcess, "a", appends), notExecuted)
	if r := judged(t, s.events, Options{}); r.Verdict != OK {
		t.Errorf("%v", complaints(r))
	}
	r := judged(t, s.events, Options{Require: []Name{Recovers, EndsOnce}})
	if got := complaints(r); r.Verdict != Broken || !slices.Equal(got, []Name{Recovers}) {
		t.Errorf("the verdict is %s, for %q", r.Verdict, got)
	}
}

func TestHistoryThatCannotBeReadIsAnError(t *testing.T) {
	t.Parallel()
	torn := errors.New("torn")
	_, err := Check(func(yield func(history.Event, error) bool) { yield(history.Event{}, torn) }, Options{})
	if !errors.Is(err, torn) {
		t.Errorf("got %v", err)
	}
	for _, e := range []history.Event{
		{Kind: "what"}, {Kind: history.KindFault}, {Kind: history.KindSample}, {Kind: history.KindCall, Mode: "what"},
		{Kind: history.KindState, Value: "much"},
	} {
		if _, err := Check(history.Of(e), Options{}); err == nil || !strings.HasPrefix(err.Error(), "check: ") {
			t.Errorf("%+v: %v", e, err)
		}
	}
}

func TestExamplesAreBounded(t *testing.T) {
	t.Parallel()
	s := &generator{}
	for range 30 {
		n := s.begin(theProcess, "one", appends)
		for range 3 {
			s.end(theProcess, "one", n, notExecuted)
		}
	}
	for n, want := range map[int]int{0: 10, 3: 3, -1: 0} {
		i := judged(t, s.events, Options{Examples: n}).Invariant(EndsOnce)
		if i.Broken != 30 || len(i.Examples) != want {
			t.Errorf("%d examples of %d, want %d", len(i.Examples), i.Broken, want)
		}
		for _, x := range i.Examples {
			if len(x.Events) != maxEvents || !strings.Contains(x.What, "50 of 120") {
				t.Errorf("%d events: %s", len(x.Events), x.What)
			}
		}
	}
}
