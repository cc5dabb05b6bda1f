package client_test

import (
	"errors"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rig"
)

// tight is a budget of four tokens: it has room for one failure, not for two.
func tight(attempts int) reliability.Policy {
	return reliability.Policy{
		Retry: exact(attempts), Budget: reliability.BudgetPolicy{Tokens: new(4.0), Ratio: new(0.5)},
		Breaker: reliability.BreakerPolicy{Off: new(true)},
	}
}

func TestBudgetEndsRetriesAndSuccessesRefillIt(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		refuseNext := 0
		for _, queue := range []string{"m", "other"} {
			script(r, queue, func(s *scripted, _ int, d amqp.Delivery) {
				if string(d.Body) == "fail" || refuseNext > 0 {
					refuseNext--
					s.refuse(d, refusal())
					return
				}
				s.answer(d)
			})
		}
		c := r.Ready(withPolicy(tight(2)))
		budget := c.Method("m").Budget
		fails := func(reason string, attempts int, tokens float64) {
			r.T.Helper()
			began := time.Now()
			_, err := c.Call(r.T.Context(), "m", []byte("fail"))
			e := rig.WantError(r.T, err, warren.CodeUnavailable, reason, warren.NotExecuted)
			rig.Took(r.T, began, time.Duration(attempts-1)*100*time.Millisecond)
			if e.Attempts != attempts || budget.Tokens() != tokens {
				r.T.Errorf("%v tokens; error is %+v", budget.Tokens(), e)
			}
			if reason == "" {
				return
			}
			var cause *warren.Error
			if !errors.As(e.Cause, &cause) || cause.Code != warren.CodeUnavailable || !cause.Remote || cause.CallID != e.CallID {
				r.T.Errorf("the cause is %+v", e.Cause)
			}
		}
		fails("", 2, 2)
		fails(warren.ReasonBudgetExhausted, 1, 1)
		fails(warren.ReasonBudgetExhausted, 1, 0)
		// Another method has a budget of its own.
		refuseNext = 1
		if reply := mustCall(r, c, "other", ""); reply.Attempts != 2 {
			r.T.Errorf("%+v", reply)
		}
		refuseNext = 0
		for range 6 {
			mustCall(r, c, "m", "")
		}
		fails(warren.ReasonBudgetExhausted, 1, 2) // of 3: half is not enough
		mustCall(r, c, "m", "")
		mustCall(r, c, "m", "")
		mustCall(r, c, "m", "")
		fails("", 2, 1.5) // of 3.5
		for range 20 {
			mustCall(r, c, "m", "")
		}
		if budget.Tokens() != 4 {
			r.T.Errorf("%v tokens", budget.Tokens())
		}
		fails("", 2, 2)
	})
}

func TestAttemptThatTheBudgetKeepsAloneIsWaitedForToTheDeadline(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(s *scripted, n int, d amqp.Delivery) {
			if n == 4 {
				time.AfterFunc(5*time.Second, func() { s.answer(d) })
			}
		})
		c := r.Ready(withPolicy(tight(2)))
		call := func() (*warren.Reply, error) {
			return c.Call(r.T.Context(), "m", nil, client.Idempotent(), client.WithTimeout(9*time.Second))
		}
		for _, want := range []struct {
			attempts int
			reason   string
		}{{2, ""}, {1, warren.ReasonBudgetExhausted}} {
			began := time.Now()
			_, err := call()
			if e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, want.reason, warren.Unknown); e.Attempts != want.attempts {
				r.T.Errorf("%+v", e)
			}
			rig.Took(r.T, began, 9*time.Second)
		}
		began := time.Now()
		if reply, err := call(); err != nil || reply.Attempts != 1 {
			r.T.Errorf("%+v, %v", reply, err)
		}
		rig.Took(r.T, began, 5*time.Second)
	})
}

func TestLoadStaysBoundedWhileAllFails(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(s *scripted, _ int, d amqp.Delivery) { s.refuse(d, refusal()) })
		c := r.Ready(withPolicy(reliability.Policy{Breaker: reliability.BreakerPolicy{Off: new(true)}}))
		const calls = 300
		for range calls {
			if _, err := c.Call(r.T.Context(), "m", nil); err == nil {
				r.T.Fatal("it was answered")
			}
		}
		// Half of the tokens are spent, the last of them on a failure that is not repeated.
		if n := c.Stats().Republished; n > 50 || n < 30 {
			r.T.Errorf("%d repetitions", n)
		}
	})
}
