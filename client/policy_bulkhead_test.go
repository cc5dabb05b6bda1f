package client_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rig"
)

func TestBulkheadKeepsASlowMethodFromTheRoomOfOthers(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("slow"), g.Handle)
		r.Serve(rig.Named("fast"), rig.Echo)
		c := r.Ready(withPolicy(reliability.Policy{Bulkhead: reliability.BulkheadPolicy{Calls: new(2)}}))
		places := c.Method("slow").Bulkhead
		full := func() {
			r.T.Helper()
			began, published := time.Now(), len(requests(r.Broker, "slow"))
			_, err := c.Call(r.T.Context(), "slow", nil, client.Idempotent())
			e := rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonQueueFull, warren.NotExecuted)
			rig.Took(r.T, began, 0)
			if e.Attempts != 0 || len(requests(r.Broker, "slow")) != published {
				r.T.Errorf("error is %+v", e)
			}
			mustCall(r, c, "fast", "x")
		}
		ctx, cancel := context.WithCancel(r.T.Context())
		first := c.Go(ctx, "slow", nil)
		second := c.Go(r.T.Context(), "slow", nil, client.WithTimeout(time.Second))
		synctest.Wait()
		full()
		cancel()
		if _, err := first.Result(); warren.CodeOf(err) != warren.CodeCanceled {
			r.T.Error(err)
		}
		third := c.Go(r.T.Context(), "slow", nil)
		synctest.Wait()
		full()
		if _, err := second.Result(); warren.CodeOf(err) != warren.CodeDeadlineExceeded {
			r.T.Error(err)
		}
		if n := places.InFlight(); n != 1 {
			r.T.Errorf("%d are in flight", n)
		}
		close(g.Release)
		if _, err := third.Result(); err != nil {
			r.T.Error(err)
		}
		_, err := c.Call(r.T.Context(), "slow", make([]byte, 2<<20))
		rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonRequestTooLarge, warren.NotExecuted)
		last := c.Go(r.T.Context(), "slow", []byte("x"))
		_ = c.Close()
		_, _ = last.Result()
		if n := places.InFlight(); n != 0 {
			r.T.Errorf("%d are in flight", n)
		}
	})
}

func TestPoliciesAreReplacedUnderCallsInFlight(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		for _, queue := range []string{"m", "sick"} {
			script(r, queue, func(s *scripted, n int, d amqp.Delivery) {
				if queue == "m" && n == 3 {
					s.answer(d)
				}
			})
		}
		l := &changes{}
		c := r.Ready(brittle(l))
		for range 4 {
			_, err := c.Call(r.T.Context(), "sick", nil)
			rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		}
		budget := c.Method("sick").Budget
		for range 25 {
			budget.Failure()
		}
		// In flight: it keeps its deadline, and what the policy is then does not
		// give it a second attempt.
		began := time.Now()
		old := c.Go(r.T.Context(), "m", nil, client.Idempotent())
		synctest.Wait()
		err := c.SetPolicies(reliability.Rules{Methods: map[string]reliability.Policy{"*": {
			Timeout: new(9 * time.Second), Retry: exact(4), Budget: reliability.BudgetPolicy{Tokens: new(40.0)},
			Bulkhead: reliability.BulkheadPolicy{Calls: new(1)}, Idempotent: new(true),
		}}})
		if err != nil {
			r.T.Fatal(err)
		}
		_, err = c.Call(r.T.Context(), "m", nil)
		rig.WantError(r.T, err, warren.CodeResourceExhausted, warren.ReasonQueueFull, warren.NotExecuted)
		_, err = c.Call(r.T.Context(), "sick", nil)
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonBreakerOpen, warren.NotExecuted)
		if n := budget.Tokens(); n != 30 {
			r.T.Errorf("%v tokens; want the same three quarters", n)
		}
		_, err = old.Result()
		if e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown); e.Attempts != 1 {
			r.T.Errorf("error is %+v", e)
		}
		rig.Took(r.T, began, time.Second)
		began = time.Now()
		if reply := mustCall(r, c, "m", ""); reply.Attempts != 2 {
			r.T.Errorf("%+v", reply)
		}
		rig.Took(r.T, began, 3100*time.Millisecond)
		l.want(r.T, "sick closed>open")
	})
}

// What is outer sees what is inner refuse, and not the other way round.
func TestOrderOfInterceptorsAndPolicies(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(s *scripted, _ int, d amqp.Delivery) { s.refuse(d, refusal()) })
		calls, attempts := 0, 0
		c := r.Ready(withPolicy(reliability.Policy{
			Retry: exact(3), Bulkhead: reliability.BulkheadPolicy{Calls: new(1)},
			Budget: reliability.BudgetPolicy{Tokens: new(100.0)},
		}), with(around(func(ctx context.Context, req *warren.Request, next warren.Handler) (*warren.Reply, error) {
			calls++
			reply, err := next(ctx, req)
			if e, ok := warren.AsError(err); ok {
				attempts += e.Attempts
			}
			return reply, err
		})))
		m := c.Method("m")
		call := func(reason string, tookTokens float64) {
			r.T.Helper()
			tokens, before := m.Budget.Tokens(), calls
			_, err := c.Call(r.T.Context(), "m", nil)
			if e, _ := warren.AsError(err); e.Reason != reason || tokens-m.Budget.Tokens() != tookTokens || calls != before+1 {
				r.T.Errorf("%v; %v tokens taken", err, tokens-m.Budget.Tokens())
			}
		}
		// Interceptors are outermost: once per call, not per attempt.
		call("", 3)
		if calls != 1 || attempts != 3 {
			r.T.Errorf("an interceptor saw %d calls of %d attempts", calls, attempts)
		}
		// The bulkhead comes before the breaker, and neither costs tokens.
		m.Breaker.Force(time.Now(), reliability.ForcedOpen)
		call(warren.ReasonBreakerOpen, 0)
		if err := m.Bulkhead.Acquire(); err != nil {
			r.T.Error(err)
		}
		call(warren.ReasonQueueFull, 0)
		m.Bulkhead.Release()
		m.Breaker.Release(time.Now())
		// The breaker is within the retries: it is asked for each attempt.
		time.AfterFunc(50*time.Millisecond, func() { m.Breaker.Force(time.Now(), reliability.ForcedOpen) })
		call(warren.ReasonBreakerOpen, 1)
		if m.Bulkhead.InFlight() != 0 {
			r.T.Error("a place is taken")
		}
	})
}
