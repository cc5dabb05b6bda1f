package report

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// hostile is a name that would be markup if it were not shown as text.
const hostile = `<script src="http://example.org/x"></script>'"&`

// sample is a run of that many seconds with faults, of which one call has lost its
// effect.
func sample(t *testing.T, seconds int) Run {
	t.Helper()
	rnd := rand.New(rand.NewPCG(1, 2))
	var events []history.Event
	add := func(at time.Duration, e history.Event) {
		e.Process, e.At, e.Wall = "client@7", at, time.Unix(1_790_000_000, 0).Add(at).UTC()
		events = append(events, e)
	}
	number := uint64(0)
	for second := range seconds {
		down := second%20 > 14
		for i := range 5 + rnd.IntN(20) {
			number++
			id, at := fmt.Sprintf("call-%d", number), time.Duration(second)*time.Second+time.Duration(i)*10*time.Millisecond
			add(at, history.Event{
				Kind: history.KindCall, CallID: id, Number: number, Method: "work", Deadline: at + time.Second,
				Op: &history.Op{Name: "append", Key: "list", New: "x"},
			})
			e := history.Event{Kind: history.KindEnd, CallID: id, Number: number, OK: true, Took: time.Duration(1+rnd.IntN(40)) * time.Millisecond}
			if down {
				e.Took *= 20
				switch rnd.IntN(3) {
				case 0:
					e.OK, e.Code, e.Reason, e.Outcome = false, "unavailable", "no_route", warren.NotExecuted
				case 1:
					e.OK, e.Code = false, "deadline_exceeded"
				}
			}
			if e.OK {
				add(at, history.Event{Kind: history.KindEffect, CallID: id, Method: "work"})
			}
			add(at+time.Millisecond, e)
		}
		if second%20 == 14 {
			f := &history.Fault{Name: []string{"kill-server", "cut", "freeze-broker-node"}[second/20%3], Target: hostile, ID: fmt.Sprint(second)}
			add(time.Duration(second)*time.Second, history.Event{Kind: history.KindFault, Phase: history.PhaseBegin, Fault: f})
			add(time.Duration(second+4)*time.Second, history.Event{Kind: history.KindFault, Phase: history.PhaseEnd, Fault: f})
		}
	}
	add(0, history.Event{Kind: history.KindFault, Phase: history.PhaseOnce, Fault: &history.Fault{Name: "once"}})
	at := time.Duration(seconds) * time.Second
	add(at, history.Event{Kind: history.KindCall, CallID: hostile, Number: number + 1, Method: "work"})
	add(at, history.Event{Kind: history.KindEnd, CallID: hostile, Number: number + 1, OK: true, Took: time.Second})
	r, err := check.Check(history.Of(events...), check.Options{Mode: server.AtLeastOnce})
	if err != nil {
		t.Fatal(err)
	}
	return Run{
		Report: r, Mode: "at-least-once", Seed: 42, Command: "warren chaos --seed 42 --faults " + hostile,
		Started: time.Unix(1_790_000_000, 0).UTC(),
	}
}

func TestJSONIsTheContract(t *testing.T) {
	t.Parallel()
	run := sample(t, 60)
	var b bytes.Buffer
	if err := JSON(&b, run); err != nil {
		t.Fatal(err)
	}
	if strings.Count(b.String(), "\n") != 1 {
		t.Error("it is not one line")
	}
	var got struct {
		Verdict    string
		Calls      int
		Faults     map[string]int
		Seed       uint64
		Invariants map[string]struct {
			Checked, Broken *int
			Upper95         float64 `json:"upper_95"`
			Examples        []struct {
				CallID string `json:"call_id"`
				Events []history.Event
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if got.Verdict != "broken" || got.Calls != run.Report.Calls || got.Faults["cut"] != 1 || got.Faults["once"] != 1 || got.Seed != 42 {
		t.Errorf("%+v", got)
	}
	if len(got.Invariants) != len(run.Report.Invariants) {
		t.Errorf("%d invariants", len(got.Invariants))
	}
	for name, i := range got.Invariants {
		want := run.Report.Invariant(check.Name(name))
		if want == nil || i.Checked == nil || i.Broken == nil || *i.Checked != want.Checked || *i.Broken != want.Broken || i.Upper95 != want.Upper {
			t.Errorf("%s is %+v, want %+v", name, i, want)
		}
	}
	x := got.Invariants[string(check.SuccessHasEffect)].Examples
	if len(x) != 1 || x[0].CallID != hostile || len(x[0].Events) != 2 || x[0].Events[0].Kind != history.KindCall {
		t.Errorf("%+v", x)
	}

	b.Reset()
	if err := JSON(&b, Run{Report: &check.Report{Verdict: check.OK}}); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{`"verdict":"ok"`, `"calls":0`, `"faults":{}`, `"invariants":{}`, `"errors":{}`} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("%s has no %s", &b, part)
		}
	}
}

func TestTextSaysWhatBroke(t *testing.T) {
	t.Parallel()
	run := sample(t, 60)
	run.Report.Visualisations = []string{"/x/register-k.html"}
	run.Report.Takeovers = []time.Duration{3 * time.Second, time.Second, 2 * time.Second}
	var b strings.Builder
	if err := Text(&b, run); err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{
		"verdict: broken", "seed       42", "BROKEN", "not checked", "success_has_effect: ", "it has 0 effects",
		"call work", "ok", "1 cut", "register-k.html", "median",
		"3, after a kill: median 2s,", "at most 3s",
	} {
		if !strings.Contains(b.String(), part) {
			t.Errorf("no %q in\n%s", part, &b)
		}
	}
}

func TestEventsAreToldInOneLine(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		want string
		e    history.Event
	}{
		{`call m cas key="k" old="a" new="b" deadline=1s`, history.Event{
			Kind: history.KindCall, Method: "m", Op: &history.Op{Name: "cas", Key: "k", Old: "a", New: "b"}, Deadline: time.Second,
		}},
		{`end ok replayed no effect digest="d" echo="c" value="v\nw"`, history.Event{
			Kind: history.KindEnd, OK: true, Replayed: true, NoEffect: true, Digest: "d", Echo: "c", Value: "v\nw",
		}},
		{`end aborted/interrupted, unknown text="t"`, history.Event{Kind: history.KindEnd, Code: "aborted", Reason: "interrupted", Text: "t"}},
		{`note note="takeover" owner="o"`, history.Event{Kind: history.KindNote, Note: history.NoteTakeover, Owner: "o"}},
		{`end aborted, executed`, history.Event{Kind: history.KindEnd, Code: "aborted", Outcome: warren.Executed}},
		{`resolve canceled, not_executed`, history.Event{Kind: history.KindResolve, State: "canceled", Outcome: warren.NotExecuted}},
		{`fault cut proxy rst (begin)`, history.Event{
			Kind: history.KindFault, Phase: history.PhaseBegin, Fault: &history.Fault{Name: "cut", Target: "proxy", Detail: "rst"},
		}},
		{`effect m transfer key="a" to="b" amount=5`, history.Event{
			Kind: history.KindEffect, Method: "m", Op: &history.Op{Name: "transfer", Key: "a", To: "b", Amount: 5},
		}},
	} {
		if got := line(tt.e); got != tt.want {
			t.Errorf("got  %s\nwant %s", got, tt.want)
		}
	}
}

func TestStateTellsHowAnInvariantFared(t *testing.T) {
	t.Parallel()
	var got []string
	for _, i := range []check.Invariant{
		{Broken: 1, Checked: 1}, {Undecided: 1, Checked: 1}, {Checked: 1, Upper: 0.95}, {Required: true}, {},
	} {
		got = append(got, state(i), bound(i))
	}
	want := []string{"BROKEN", "0", "undecided", "0", "ok", "0.95", "MISSING", "-", "not checked", "-"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
}

func TestFailedWriteIsAnError(t *testing.T) {
	t.Parallel()
	run := sample(t, 20)
	closed, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	if Text(closed, run) == nil || JSON(closed, run) == nil || HTML(closed, run) == nil {
		t.Error("a report is lost without an error")
	}
}
