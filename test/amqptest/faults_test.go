package amqptest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestRulesCountForThemselvesWhateverOthersDo(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{})
	first := b.Inject(Rule{When: publishes, Nth: 2, Do: Drop()})
	second := b.Inject(Rule{When: publishes, Nth: 2, Do: Delay(time.Second)})
	third := b.Inject(Rule{When: When{RoutingKey: "b"}, Do: Nack()})
	s := newSource(1)
	if dec := b.watch(publish(s, "a", "")); !dec.passes() {
		t.Errorf("the first is not let pass: %+v", dec)
	}
	dec := b.watch(publish(s, "b", ""))
	if !dec.drop || dec.delay != time.Second || dec.confirm != confirmNack {
		t.Errorf("not all rules met the second: %+v", dec)
	}
	if dec := b.watch(publish(s, "b", "")); !dec.passes() {
		t.Errorf("the third is not let pass: %+v", dec)
	}
	for _, f := range []*Fault{first, second, third} {
		if f.Fired() != 1 {
			t.Errorf("%v has met %d", f, f.Fired())
		}
	}
	want(t, "matches", []int{first.Matches(), second.Matches(), third.Matches()}, []int{3, 3, 2})
	want(t, "faults of the second", b.Events(When{RoutingKey: "b"})[0].Faults, []string{first.String(), second.String(), third.String()})
}

func TestActionsOnTheSameEventCombine(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		rules string
		want  func(dec *decision) bool
	}{
		{"basic.publish: delay 1s, delay 2s\nany: delay 3s", func(dec *decision) bool { return dec.delay == 6*time.Second }},
		{"any: duplicate 1\nany: duplicate 2", func(dec *decision) bool { return dec.copies == 3 }},
		{"any: reorder 1s\nany: reorder 3s\nany: reorder 2s", func(dec *decision) bool { return dec.hold == 3*time.Second }},
		{"any: nack\nany: never-confirm", func(dec *decision) bool { return dec.confirm == confirmNack }},
		{"any: never-confirm\nany: nack", func(dec *decision) bool { return dec.confirm == confirmNever }},
		{"any: return, never-confirm", func(dec *decision) bool { return dec.unroutable && dec.confirm == confirmNever }},
		{"any: stall 1s\nany: stall 2s", func(dec *decision) bool { return dec.stall == 2*time.Second }},
		{"any: stall 1s\nany: stall\nany: stall 2s", func(dec *decision) bool { return dec.stall < 0 }},
		{"any: close-channel 404 x\nany: close-channel 406 y", func(dec *decision) bool {
			return dec.closeChannel.code == 404 && dec.closeChannel.text == "x" && dec.closeConnection == nil
		}},
		{"any: close-connection 320 x\nany: close-connection 541 y", func(dec *decision) bool { return dec.closeConnection.code == 320 }},
		{"any: sever-before, sever-after, half-open", func(dec *decision) bool { return dec.severBefore && dec.severAfter && dec.halfOpen }},
		{"any: block, restart lose-all", func(dec *decision) bool { return len(dec.after) == 2 }},
	} {
		rules, err := ParseRules(test.rules)
		if err != nil {
			t.Fatal(err)
		}
		b := newRecorder(t, Options{Faults: rules})
		if dec := b.watch(publish(newSource(1), "a", "")); !test.want(&dec) {
			t.Errorf("%s: %+v", test.rules, dec)
		}
	}
}

// The order in which decisions on one event are carried out, seen from outside.
func TestWhatComesFirstMakesTheRestMoot(t *testing.T) {
	for _, test := range []struct {
		rules             string
		queued, confirmed string
		lost              bool
	}{
		{"basic.publish nth=2: drop, duplicate 3, nack", "[a c]", "[1 3]", false},
		{"basic.publish nth=2: sever-before, drop, close-connection 320 x", "[a]", "[-2]", true},
		{"basic.publish nth=2: nack, duplicate 1", "[a c]", "[1 -2 3]", false},
		{"basic.publish nth=2: duplicate 1, never-confirm", "[a b b c]", "[1 3]", false},
		{"basic.publish nth=2: return, duplicate 1", "[a c]", "[1 2 3]", false},
		{"basic.publish nth=2: drop, cancel-consumer q", "[a c]", "[1 3]", false},
		{"basic.publish nth=2: delay 1s, reorder 1s, nack", "[a c]", "[1 -2 3]", false},
	} {
		t.Run(test.rules, func(t *testing.T) {
			rules, err := ParseRules(test.rules)
			if err != nil {
				t.Fatal(err)
			}
			withSession(t, rules, func(s *session) {
				s.publish("a")
				first := s.confirmed()
				s.publish("b")
				if test.lost {
					s.isLost(0)
					want(s.t, "confirmed", s.confirmed(), test.confirmed)
				} else {
					s.publish("c")
					time.Sleep(10 * time.Second)
					tags := append(first, s.confirmed()...)
					slices.SortFunc(tags, func(a, b int) int { return max(a, -a) - max(b, -b) })
					want(s.t, "confirmed", tags, test.confirmed)
				}
				want(s.t, "queued", queued(s.t, s.b, "q"), test.queued)
			})
		})
	}
}

func TestRemovedRuleMeetsNothingMore(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{})
	f := b.Inject(Rule{When: publishes, Times: Always, Do: Drop()})
	frames := b.Inject(Rule{When: When{Method: "frame.body"}, Do: Drop()})
	s := newSource(1)
	if dec := b.watch(publish(s, "a", "")); !dec.drop {
		t.Error("it does not meet the first")
	}
	if err := f.Wait(t.Context()); err != nil {
		t.Error(err)
	}
	if !b.watchesFrames() {
		t.Error("frames are not watched")
	}
	waiting := make(chan error)
	go func() { waiting <- frames.Wait(t.Context()) }()
	for range 2 {
		f.Remove()
		frames.Remove()
	}
	if err := <-waiting; err == nil || !strings.Contains(err.Error(), "removed") {
		t.Errorf("error is %v", err)
	}
	if dec := b.watch(publish(s, "a", "")); !dec.passes() || f.Matches() != 1 {
		t.Errorf("it meets the second: %+v", dec)
	}
	if b.watchesFrames() {
		t.Error("frames are still watched")
	}
}

func TestFramesAreRecordedOnlyIfAFaultMetThem(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{Faults: []Rule{{When: When{Method: "frame.*"}, Nth: 2, Do: Drop()}}})
	s := newSource(1)
	for i := range 3 {
		dec := b.watchFrame(s.frame(FromBroker, codec.Frame{Type: codec.FrameBody, Channel: uint16(i), Payload: []byte("abc")}))
		if dec.drop != (i == 1) {
			t.Errorf("frame %d: %+v", i, dec)
		}
	}
	b.watch(s.heartbeat(FromClient))
	list := b.Events(When{Method: "frame.*"})
	if len(list) != 1 || list[0].Channel != 1 || list[0].Size != 11 || list[0].Method != "frame.body" {
		t.Errorf("recorded %v", list)
	}
}

func TestEventsNameTheQueueThatTheirMethodsDoNot(t *testing.T) {
	withSession(t, nil, func(s *session) {
		unnamed, err := s.ch.QueueDeclare("", false, true, true, false, nil)
		if err != nil {
			s.t.Fatal(err)
		}
		if err := s.ch.QueueBind("", "key", "amq.direct", false, nil); err != nil { // the queue declared last
			s.t.Fatal(err)
		}
		s.consume()
		s.publish("a")
		if _, _, err := s.ch.Get("", true); err != nil {
			s.t.Fatal(err)
		}
		if err := s.ch.Cancel("consumer", false); err != nil {
			s.t.Fatal(err)
		}
		for _, test := range []struct{ method, queue string }{
			{"basic.consume-ok", "q"},
			{"basic.deliver", "q"},
			{"basic.cancel", "q"},
			{"basic.cancel-ok", "q"},
			{"queue.bind", unnamed.Name},
			{"basic.get", unnamed.Name},
			{"basic.get-empty", unnamed.Name},
		} {
			list := s.b.Events(When{Method: test.method})
			if len(list) != 1 || list[0].Queue != test.queue {
				s.t.Errorf("%s: %v; want queue %s", test.method, list, test.queue)
			}
		}
		publish := s.b.Events(publishes)[0]
		if publish.User != "guest" || publish.VHost != "/" || publish.Conn != 1 || !publish.Mandatory || publish.Queue != "" {
			s.t.Errorf("publish: %+v", publish)
		}
	})
}

func TestSameRunMeetsTheSameEvents(t *testing.T) {
	plan := &Plan{Kinds: []string{"drop", "nack", "duplicate", "return", "never-confirm"}, Count: 8, Within: 20}
	var runs [2]string
	for i := range runs {
		t.Run(fmt.Sprint("run ", i), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := New(t, Options{Listen: noListener, Seed: 12, Plan: plan})
				s := dialSession(t, b)
				s.declare("q")
				for n := range 20 {
					s.publish(fmt.Sprint(n))
				}
				var trace strings.Builder
				for _, ev := range b.Events(When{}) {
					ev.At = time.Time{}
					fmt.Fprintln(&trace, ev)
				}
				runs[i] = trace.String()
			})
		})
	}
	if runs[0] != runs[1] || !strings.Contains(runs[0], "[basic.") {
		t.Errorf("the first run was\n%s\nand the second\n%s", runs[0], runs[1])
	}
}
