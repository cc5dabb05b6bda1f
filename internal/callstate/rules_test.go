package callstate_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/callstate"
	"github.com/warren-rpc/warren/internal/policy"
)

// Whatever happens, in whatever order: a call ends once, claims no more than is proven,
// and makes no more attempts than it may. Every order of so many events is tried.
func TestEveryOrderOfEventsKeepsTheRules(t *testing.T) {
	t.Parallel()
	depth := 6
	if testing.Short() {
		depth = 5
	}
	for _, s := range []scene{
		{attempts: 1},
		{attempts: 2},
		{attempts: 2, idempotent: true},
		{attempts: 2, idempotent: true, hedge: true},
		{attempts: 2, idempotent: true, oneWay: true},
		{attempts: 1, failNacked: true},
		{attempts: 1, newer: true},
		{attempts: 2, idempotent: true, hedge: true, newer: true},
	} {
		t.Run(fmt.Sprintf("%+v", s), func(t *testing.T) {
			t.Parallel()
			s.budget = policy.BudgetPolicy{Off: true, Tokens: 100, Ratio: 0.1}
			t.Logf("%d orders", explore(t, s, nil, depth))
		})
	}
}

// explore makes each of the moves that may follow those of the path, and all that may
// follow them.
func explore(t *testing.T, s scene, path []int, depth int) int {
	w := newWorld(t, s)
	for _, i := range path {
		w.step(w.moves()[i])
	}
	if depth == 0 {
		return 1
	}
	orders := 0
	for i := range w.moves() {
		orders += explore(t, s, append(slices.Clip(path), i), depth-1)
	}
	return max(orders, 1)
}

// The same at random: longer, of any policy, with callers who join and replies that
// cannot come in.
func TestAnyEventsKeepTheRules(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		s := scene{
			attempts: rapid.IntRange(1, 5).Draw(r, "attempts"), idempotent: rapid.Bool().Draw(r, "idempotent"),
			oneWay: rapid.Bool().Draw(r, "one way"), failNacked: rapid.Bool().Draw(r, "fail nacked"),
			hedge: rapid.Bool().Draw(r, "hedge"), newer: rapid.Bool().Draw(r, "newer"),
			budget: policy.BudgetPolicy{Tokens: float64(rapid.IntRange(1, 10).Draw(r, "tokens")), Ratio: 0.1},
		}
		w := newWorld(t, s)
		for range rapid.IntRange(1, 60).Draw(r, "events") {
			moves := append(w.moves(),
				move{name: "time passes", do: func() { w.now = w.now.Add(time.Duration(rapid.IntRange(1, 2000).Draw(r, "ms")) * time.Millisecond) }},
				move{name: "cut", do: func() { w.at.Cut = true }},
				move{name: "back", do: func() { w.at = callstate.Replies{Back: w.now} }},
			)
			if !w.call.Ended() {
				moves = append(moves, move{name: "join", do: func() {
					if !w.call.Join() {
						w.fail("nobody may join")
					}
					w.waiters++
				}})
			}
			w.step(moves[rapid.IntRange(0, len(moves)-1).Draw(r, "move")])
		}
		for !w.call.Ended() {
			w.step(move{name: "deadline", do: func() {
				w.now = later(w.now, w.deadline)
				w.leave(warren.CodeDeadlineExceeded)
			}})
		}
	})
}
