package callstate_test

import (
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/policy"
)

// success is all that happens to a call that succeeds.
func success(call *callstate.Call, rules *policy.Policy, reply *warren.Reply, room []callstate.Effect) int {
	call.Begin(callstate.Config{}, rules.Begin(begun, begun.Add(rules.Timeout), nil, policy.Overrides{}))
	at := callstate.Moment{Now: begun}
	effects := call.Handle(at, callstate.Event{Kind: callstate.Admitted}, room[:0])
	call.Write(begun, effects[0].Attempt, "replies", 2)
	at.Now = begun.Add(time.Millisecond)
	return len(call.Handle(at, callstate.Event{Kind: callstate.Answered, Attempt: 1, Reply: reply}, room[:0]))
}

func TestSuccessAllocatesNothing(t *testing.T) {
	rules, call, reply, room := policy.Default(), &callstate.Call{}, &warren.Reply{}, make([]callstate.Effect, 4)
	if n := testing.AllocsPerRun(1000, func() {
		if success(call, &rules, reply, room) != 3 {
			t.Error("it does not judge, observe and finish")
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkSuccess(b *testing.B) {
	rules, call, reply, room := policy.Default(), &callstate.Call{}, &warren.Reply{}, make([]callstate.Effect, 4)
	b.ReportAllocs()
	for b.Loop() {
		success(call, &rules, reply, room)
	}
}
