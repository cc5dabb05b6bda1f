package callstate_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/policy"
)

// What follows from what: the table of the package's documentation, by example. The
// policy's timeout is 10 s, an attempt's a third of it, and waits are not drawn.
func TestWhatFollowsFromWhat(t *testing.T) {
	t.Parallel()
	once := scene{attempts: 1}
	thrice := scene{attempts: 3}
	idempotent := scene{attempts: 3, idempotent: true}
	hedged := scene{attempts: 3, idempotent: true, hedge: true}
	for _, test := range []struct {
		name  string
		scene scene
		moves string
		does  string        // after the first publish
		wakes time.Duration // since the beginning; 0 is never
	}{
		{"a reply", thrice, "reply 1", "judge 1 success, observe 0s, finish", 0},
		{"a reply after the deadline's end", thrice, "deadline, reply 1", "finish deadline_exceeded/ unknown, judge 1 failure", 0},
		{"an attempt that may be repeated has its own time", idempotent, "", "", 3333333333},
		{"an attempt that may not be repeated has all of it", thrice, "", "", 0},
		{"no answer in time", idempotent, "timer, timer, admitted", "judge 1 failure, ask, publish 2", 0},
		{"a reply while the next attempt waits", idempotent, "timer, reply 1", "judge 1 failure, observe 3.333333333s, finish", 0},
		{"an election", idempotent, "nacked 1, timer, admitted, write 2, nacked 2",
			"judge 1 ignored, ask, publish 2, judge 2 ignored", 750 * time.Millisecond},
		{"a refusal that is not waited out", once, "nacked 1, deadline", "judge 1 failure, finish deadline_exceeded/nacked unknown", 0},
		{"a refusal that ends the call", scene{attempts: 1, failNacked: true}, "nacked 1",
			"judge 1 failure, finish unavailable/nacked unknown", 0},
		{"a publish that was lost", idempotent, "lost 1", "judge 1 ignored", 100 * time.Millisecond},
		{"a publish that was lost, of what may not be repeated", thrice, "lost 1, reply 1", "judge 1 ignored, observe 0s, finish", 0},
		{"a server that says later", thrice, "later 1, timer, admitted, write 2, reply 2",
			"judge 1 ignored, ask, publish 2, judge 2 success, observe 100ms, finish", 0},
		{"a server that says no more", thrice, "no more 1", "judge 1 ignored, finish resource_exhausted/ not_executed", 0},
		{"an error of the handler", thrice, "failed 1", "judge 1 ignored, finish unavailable/ executed", 0},
		{"an error of the handler, repeated", idempotent, "failed 1, timer, denied",
			"judge 1 ignored, ask, finish unavailable/ executed", 0},
		{"an attempt that was executed, and one that the block keeps", idempotent, "failed 1, timer, admitted, blocked 2, deadline",
			"judge 1 ignored, ask, publish 2, judge 2 ignored, finish unavailable/ executed", 0},
		{"all the attempts", thrice, "later 1, timer, admitted, write 2, later 2, timer, admitted, write 3, later 3",
			"judge 1 ignored, ask, publish 2, judge 2 ignored, ask, publish 3, judge 3 ignored, finish unavailable/ not_executed", 0},
		{"a hedge", hedged, "timer, admitted, write 2, reply 2",
			"ask, publish 2, judge 2 success, observe 1s, judge 1 ignored, finish", 0},
		{"a hedge that the breaker denies", hedged, "timer, denied", "ask", 3333333333},
		{"a hedge whose first attempt is answered later", hedged, "timer, admitted, write 2, later 1", "ask, publish 2, judge 1 ignored",
			4333333333},
		{"a hedge whose first attempt fails for good", hedged, "timer, admitted, write 2, not found 1",
			"ask, publish 2, judge 1 answered, judge 2 ignored, finish not_found/ executed", 0},
		{"no hedge of an attempt that has failed", hedged, "lost 1", "judge 1 ignored", 100 * time.Millisecond},
		{"a hedge whose first attempt is lost", hedged, "timer, admitted, write 2, lost 1", "ask, publish 2, judge 1 ignored", 4333333333},
		{"a hedge of which both are lost", hedged, "timer, admitted, write 2, lost 1, lost 2",
			"ask, publish 2, judge 1 ignored, judge 2 ignored", 1100 * time.Millisecond},
		{"a hedge that was denied is not waited for", hedged, "timer, denied, lost 1", "ask, judge 1 ignored", 1100 * time.Millisecond},
		{"a hedge that is blocked is not waited for", hedged, "timer, admitted, blocked 2, lost 1",
			"ask, publish 2, judge 2 ignored, judge 1 ignored", 1100 * time.Millisecond},
		{"no hedge of what may not be repeated", scene{attempts: 3, hedge: true}, "", "", 0},
		{"no hedge beyond the attempts", scene{attempts: 1, idempotent: true, hedge: true}, "", "", 0},
		{"an attempt was executed, and nothing is known of the last", scene{attempts: 2, idempotent: true},
			"failed 1, timer, admitted, write 2, too late 2",
			"judge 1 ignored, ask, publish 2, judge 2 failure, finish deadline_exceeded/ executed", 0},
		{"the reply queue is lost", idempotent, "reply queue lost", "", 100 * time.Millisecond},
		{"the reply queue of what may not be repeated is lost", thrice, "reply queue lost",
			"finish unavailable/reply_queue_lost unknown, judge 1 ignored", 0},
		{"the reply queue is lost while a hedge is queued", hedged, "timer, admitted, reply queue lost", "ask, publish 2", 0},
		{"the reply queue of a call that gets no reply", scene{attempts: 3, idempotent: true, oneWay: true}, "reply queue lost, confirmed 1",
			"judge 1 success, finish", 0},
		{"an attempt was executed, and the user may not publish any more", idempotent,
			"failed 1, timer, admitted, write 2, not permitted 2",
			"judge 1 ignored, ask, publish 2, finish permission_denied/not_permitted executed, judge 2 ignored", 0},
		{"a server that does not read it", scene{attempts: 1, newer: true}, "not read: not_executed, admitted, write 2, reply 2",
			"judge 1 ignored, ask, publish 2, judge 2 success, observe 0s, finish", 0},
		{"a server that does not read what may have been executed", scene{attempts: 3, newer: true}, "not read: unknown",
			"judge 1 ignored, finish invalid_argument/bad_request unknown", 0},
		{"the same, of what may be repeated", scene{attempts: 1, idempotent: true, newer: true},
			"not read: unknown, admitted, write 2, later 2", "judge 1 ignored, ask, publish 2, judge 2 ignored, finish unavailable/ unknown", 0},
		{"a server that does not read the first, and a hedge", scene{attempts: 2, idempotent: true, hedge: true, newer: true},
			"timer, admitted, write 2, not read: not_executed, not read: not_executed, admitted, write 3, reply 3",
			"ask, publish 2, judge 1 ignored, judge 2 ignored, ask, publish 3, judge 3 success, observe 1s, finish", 0},
		{"a refusal that may be a second copy of the first", scene{attempts: 2, idempotent: true, hedge: true, newer: true},
			"timer, admitted, write 2, not read: not_executed, not read: not_executed, admitted, write 3, no more 3",
			"ask, publish 2, judge 1 ignored, judge 2 ignored, ask, publish 3, judge 3 ignored, finish resource_exhausted/ unknown", 0},
		{"no queue of that name", idempotent, "returned 1", "finish unavailable/no_route not_executed, judge 1 failure", 0},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.scene.budget = policy.BudgetPolicy{Tokens: 100, Ratio: 0.1}
			w := newWorld(t, test.scene)
			w.follow("admitted")
			w.follow("write 1")
			w.did = nil
			if test.moves != "" {
				for name := range strings.SplitSeq(test.moves, ", ") {
					w.follow(name)
				}
			}
			if did := strings.Join(w.did, ", "); did != test.does {
				t.Errorf("it does %q; want %q", did, test.does)
			}
			if wakes := w.call.Wake(); wakes.IsZero() != (test.wakes == 0) || test.wakes > 0 && wakes.Sub(begun) != test.wakes {
				t.Errorf("it wakes at %v; want %v", wakes.Sub(begun), test.wakes)
			}
		})
	}
}

// follow makes the move of that name.
func (w *world) follow(name string) {
	w.t.Helper()
	moves := w.moves()
	i := slices.IndexFunc(moves, func(m move) bool { return m.String() == name })
	if i < 0 {
		w.fail("%s cannot happen; but %v", name, moves)
	}
	w.step(moves[i])
}

func TestBudgetKeepsRepetitionsAndHedgesBack(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		scene scene
		moves []string
		does  string
	}{
		"repetition": {scene{attempts: 3}, []string{"admitted", "write 1", "later 1"},
			"publish 1, judge 1 ignored, finish unavailable/budget_exhausted not_executed"},
		"time": {scene{attempts: 3, idempotent: true}, []string{"admitted", "write 1", "timer", "deadline"},
			"publish 1, judge 1 failure, finish deadline_exceeded/budget_exhausted unknown"},
		"hedge": {scene{attempts: 3, idempotent: true, hedge: true}, []string{"admitted", "write 1", "timer", "reply 1"},
			"publish 1, judge 1 success, observe 1s, finish"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test.scene.budget = policy.BudgetPolicy{Tokens: 1, Ratio: 0.1} // the first failure takes it
			w := newWorld(t, test.scene)
			for _, name := range test.moves {
				w.follow(name)
			}
			if did := strings.Join(w.did, ", "); did != test.does {
				t.Errorf("it does %q; want %q", did, test.does)
			}
		})
	}
}

func TestCallEndsWithTheLastOfItsCallers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, scene{attempts: 3})
	w.follow("admitted")
	w.follow("write 1")
	if !w.call.Join() {
		t.Fatal("nobody may join")
	}
	w.waiters++
	w.follow("canceled") // leave checks what each is told
	w.follow("deadline")
	if w.call.Join() {
		t.Error("somebody joins a call that all have left")
	}
}

// Until then others may learn how long the method takes.
func TestHedgeWaitsAsLongAsIsKnownWhenTheFirstAttemptIsWritten(t *testing.T) {
	t.Parallel()
	rules, latency, call := policy.Default(), &policy.Latency{}, &callstate.Call{}
	rules.Idempotent, rules.Hedge.On = true, true
	call.Begin(callstate.Config{Hedge: rules.Hedge, Latency: latency}, rules.Begin(begun, begun.Add(rules.Timeout), nil, policy.Overrides{}))
	effects := call.Handle(callstate.Moment{Now: begun}, callstate.Event{Kind: callstate.Admitted}, nil)
	for range 100 {
		latency.Observe(20 * time.Millisecond)
	}
	want, _ := latency.P95()
	call.Write(begun, effects[0].Attempt, "replies", 2)
	if wake := call.Wake(); wake.Sub(begun) != want || want == 0 {
		t.Errorf("it wakes after %v; want %v", wake.Sub(begun), want)
	}
}
