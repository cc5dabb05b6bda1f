package check

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/chaos/history"
)

const (
	ms          = time.Millisecond
	allowed     = 500 * ms // of each call
	theProcess  = "client@1"
	otherClient = "client@2"
)

// start is when the runs of all histories began.
var start = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// generator makes a history in which nothing is broken. What a test changes about it has
// a name; around that, as much else as rapid likes.
type generator struct {
	t      *rapid.T
	mode   server.Mode
	now    time.Duration
	number uint64
	events []history.Event
	values map[string]string // of registers
	bank   map[string]int64
	made   int
}

func (s *generator) add(process string, at time.Duration, e history.Event) {
	e.Process, e.At, e.Wall = process, at, start.Add(at)
	s.events = append(s.events, e)
}

func (s *generator) pick(name string, n int) int { return rapid.IntRange(0, n-1).Draw(s.t, name) }

// digestFor is that of the answer to a call.
func digestFor(id string) string {
	return history.Digest(&warren.Reply{Body: []byte("reply to " + id)})
}

// begin makes a call and returns its number.
func (s *generator) begin(process, id string, op history.Op) uint64 {
	s.number++
	within := allowed
	if id == "an-0" {
		within = 20 * allowed
	}
	s.add(process, s.now, history.Event{
		Kind: history.KindCall, Client: "a", CallID: id, Number: s.number, Method: "work", Mode: s.mode.String(), Op: &op,
		Deadline: s.now + within, Poison: strings.HasPrefix(id, "po"), Unserved: strings.HasPrefix(id, "ns"),
		Refused: strings.HasPrefix(id, "rj"),
	})
	return s.number
}

// end ends it. The event has what it ended with.
func (s *generator) end(process, id string, number uint64, e history.Event) {
	e.Kind, e.Client, e.CallID, e.Number, e.Took = history.KindEnd, "a", id, number, 3*ms
	if e.OK {
		e.Echo, e.Digest = id, digestFor(id)
	}
	s.add(process, s.now, e)
}

func (s *generator) effect(id string, op history.Op, digest string) {
	s.add("server@3", s.now, history.Event{
		Kind: history.KindEffect, CallID: id, Method: "work", Attempt: 1, Op: &op, Digest: digest,
	})
}

func (s *generator) pass() { s.now += time.Duration(1+s.pick("pass", 40)) * ms }

var unknown = history.Event{Code: "deadline_exceeded"}

// call tells of one call from begin to end, and what it does in between.
func (s *generator) call(id string, op history.Op, ended history.Event, did bool) {
	n := s.begin(theProcess, id, op)
	s.pass()
	if did {
		digest := ""
		if ended.OK && id[:2] != "rp" {
			digest = digestFor(id)
		}
		s.effect(id, op, digest)
		if op.Name == history.OpTransfer {
			s.bank[op.Key] -= op.Amount
			s.bank[op.To] += op.Amount
		}
	}
	s.pass()
	s.end(theProcess, id, n, ended)
	s.pass()
}

func (s *generator) again(id string, op history.Op) {
	n := s.begin(theProcess, id, op)
	s.pass()
	s.end(theProcess, id, n, history.Event{OK: true, Replayed: true})
	s.pass()
}

func (s *generator) resolve(id, state string, outcome warren.Outcome) {
	e := history.Event{Kind: history.KindResolve, CallID: id, Method: "work", State: state, Outcome: outcome}
	if state == "completed" {
		e.Digest, e.Echo = digestFor(id), id
	}
	s.add(theProcess, s.now, e)
	s.pass()
}

// access is an operation on the register "r", as it goes with what the register
// holds. If its outcome is not known, it may have been carried out.
func (s *generator) access(id string, op history.Op, known bool) {
	op.Key = "r"
	held := s.values[op.Key]
	e, does := history.Event{OK: true}, op.Name != history.OpRead
	if op.Name != history.OpWrite {
		e.Value = held
	}
	if op.Name == history.OpCAS && held != op.Old {
		e.NoEffect, does = true, false
	}
	if !known {
		e, does = unknown, does && s.pick("carried out", 2) == 0
	}
	if does {
		s.values[op.Key] = op.New
	}
	s.call(id, op, e, does)
}

var (
	appends     = history.Op{Name: "append", Key: "list"}
	ok          = history.Event{OK: true}
	notExecuted = history.Event{Code: "unavailable", Reason: "no_route", Outcome: warren.NotExecuted}
)

// anyCall is one of which a test knows nothing.
func (s *generator) anyCall() {
	s.made++
	id := "xx-" + strconv.Itoa(s.made)
	switch s.pick("call", 9) {
	case 0:
		s.call(id, appends, notExecuted, false)
	case 1:
		s.call(id, appends, unknown, s.pick("carried out", 2) == 0)
	case 2:
		s.call(id, appends, unknown, true)
		s.resolve(id, "completed", warren.Executed)
		s.again(id, appends)
	case 3:
		s.call(id, appends, unknown, false)
		s.resolve(id, "in_progress", warren.Unknown)
		s.resolve(id, "canceled", warren.NotExecuted)
	case 4:
		s.call(id, history.Op{Name: "look", ReadOnly: true}, ok, false)
	case 5:
		s.call(id, history.Op{Name: history.OpTransfer, Key: "a", To: "b", Amount: int64(s.pick("amount", 100))}, ok, true)
	case 6:
		s.access(id, history.Op{Name: history.OpWrite, New: id}, s.pick("known", 3) > 0)
	case 7:
		old := s.values["r"]
		if s.pick("stale", 2) == 0 {
			old = "stale"
		}
		s.access(id, history.Op{Name: history.OpCAS, Old: old, New: id}, s.pick("known", 3) > 0)
	default:
		s.access(id, history.Op{Name: history.OpRead}, s.pick("known", 3) > 0)
	}
	if s.mode == server.AtLeastOnce && s.pick("runs again", 3) == 0 {
		// What was done is done again; the bank's books have it.
		for i := len(s.events) - 1; i >= 0 && s.events[i].CallID == id; i-- {
			if e := s.events[i]; e.Kind == history.KindEffect {
				s.events = append(s.events, e)
				if e.Op.Name == history.OpTransfer {
					s.bank[e.Op.Key] -= e.Op.Amount
					s.bank[e.Op.To] += e.Op.Amount
				}
				break
			}
		}
	}
}

func (s *generator) state(phase history.Phase, snapshot string) {
	for _, account := range []string{"a", "b"} {
		s.add("harness@4", s.now, history.Event{
			Kind: history.KindState, Key: account, Value: strconv.FormatInt(s.bank[account], 10), Phase: phase, CallID: snapshot,
		})
	}
}

func (s *generator) sample(phase history.Phase) {
	more := s.pick("more", 3)
	s.add("harness@4", s.now, history.Event{Kind: history.KindSample, Phase: phase, Sample: &history.Sample{
		Of: theProcess, Goroutines: 10 + more, Descriptors: 20 + more, Heap: int64(8+more) << 20,
	}})
}

// fault happens to a target while calls are made.
func (s *generator) fault(f history.Fault, meanwhile func()) {
	s.add("harness@4", s.now, history.Event{Kind: history.KindFault, Phase: history.PhaseBegin, Fault: &f})
	s.pass()
	meanwhile()
	s.add("harness@4", s.now, history.Event{Kind: history.KindFault, Phase: history.PhaseEnd, Fault: &f})
	s.pass()
}

// tell returns the events of a generator.
func tell(t *rapid.T, mode server.Mode) []history.Event {
	s := &generator{t: t, mode: mode, values: map[string]string{}, bank: map[string]int64{"a": 1000, "b": 500}}
	some := func() {
		for range s.pick("calls", 4) {
			s.anyCall()
		}
	}
	s.sample(history.PhaseBegin)
	s.state(history.PhaseBegin, "")
	some()
	s.call("ok-0", appends, ok, true)
	s.call("ne-0", appends, notExecuted, false)
	s.call("un-0", appends, unknown, true)
	some()
	s.call("re-0", appends, unknown, true)
	s.resolve("re-0", "completed", warren.Executed)
	s.call("rc-0", appends, unknown, false)
	s.resolve("rc-0", "canceled", warren.NotExecuted)
	s.call("rx-0", appends, unknown, true)
	s.resolve("rx-0", "canceled", warren.Unknown)
	s.call("rf-0", appends, unknown, false)
	s.resolve("rf-0", "failed", warren.NotExecuted)
	s.add("server@7", s.now, history.Event{Kind: history.KindNote, Note: history.NoteLastAttempt, CallID: "pk-0", Method: "work"})
	s.call("pk-0", appends, unknown, false)
	s.fault(history.Fault{Name: "kill-server", Target: "server", Class: history.Kills}, func() {
		some()
		s.call("ns-0", appends, notExecuted, false)
		s.call("rj-0", appends, notExecuted, false)
		s.call("an-0", appends, notExecuted, false)
	})
	s.fault(history.Fault{Name: "cut", Target: "clients"}, func() { s.call("ns-1", appends, unknown, false) })
	s.fault(history.Fault{Name: other, Target: "memory"}, some)
	s.call("rp-0", appends, ok, true)
	s.again("rp-0", appends)
	s.call("rr-0", appends, unknown, true)
	s.resolve("rr-0", "completed", warren.Executed)
	s.again("rr-0", appends)
	s.state(history.PhaseOnce, "snapshot")
	s.call("po-0", appends, unknown, true)
	s.call("ro-0", history.Op{Name: "look", ReadOnly: true}, ok, false)
	s.access("reg-1", history.Op{Name: history.OpWrite, New: "one"}, true)
	s.access("reg-2", history.Op{Name: history.OpCAS, Old: "one", New: "two"}, true)
	s.access("reg-3", history.Op{Name: history.OpCAS, Old: "one", New: "three"}, true)
	s.access("reg-4", history.Op{Name: history.OpRead}, true)
	some()

	// A client that stands still ends its call late; one that is killed never does.
	n := s.begin(theProcess, "fz-0", appends)
	s.fault(history.Fault{Name: "freeze-client", Target: "client", Class: history.Freezes}, func() { s.now += 2 * allowed })
	s.end(theProcess, "fz-0", n, unknown)
	s.begin(otherClient, "ki-0", appends)
	s.pass()
	s.add("harness@4", s.now, history.Event{
		Kind: history.KindFault, Phase: history.PhaseOnce,
		Fault: &history.Fault{Name: "kill-client", Target: otherClient, Class: history.Kills},
	})
	s.pass()
	some()
	s.call("ok-1", appends, ok, true)
	s.state(history.PhaseEnd, "")
	s.sample(history.PhaseEnd)
	s.add("harness@4", s.now, history.Event{
		Kind: history.KindSample, Phase: history.PhaseEnd, Sample: &history.Sample{Queue: "work"},
	})
	for _, id := range []string{"po-0", "pk-0"} {
		s.add("harness@4", s.now, history.Event{Kind: history.KindNote, Note: history.NoteParked, CallID: id, Method: "work"})
	}
	s.add("harness@4", s.now, history.Event{Kind: history.KindNote, Note: history.NoteDeadQueueRead, Method: "work"})
	return s.events
}

// index finds the nth event of that kind and call.
func index(events []history.Event, kind history.Kind, id string, nth int) int {
	for i, e := range events {
		if e.Kind == kind && e.CallID == id {
			if nth == 0 {
				return i
			}
			nth--
		}
	}
	panic(fmt.Sprintf("no %s of %s", kind, id))
}
