package client_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestCallEndsAtItsDeadlineToTheInstant(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("gate"), g.Handle)
		c, hasty := r.Client(), r.Client(withPolicy(reliability.Policy{Timeout: new(2 * time.Second)}))
		for name, test := range map[string]struct {
			c        *client.Client
			context  time.Duration // 0: none
			opts     []client.CallOption
			want     time.Duration
			attempts int
		}{
			"default":                    {c, 0, nil, 10 * time.Second, 1},
			"the client's":               {hasty, 0, nil, 2 * time.Second, 1},
			"the context's":              {c, time.Minute, nil, time.Minute, 1},
			"the call's":                 {hasty, 0, []client.CallOption{client.WithTimeout(3 * time.Minute)}, 3 * time.Minute, 1},
			"the call's, earlier":        {c, time.Minute, []client.CallOption{client.WithTimeout(time.Second)}, time.Second, 1},
			"the context's, earlier":     {c, time.Second, []client.CallOption{client.WithTimeout(time.Minute)}, time.Second, 1},
			"none of the call's":         {c, 0, []client.CallOption{client.WithTimeout(-1)}, 10 * time.Second, 1},
			"longer than the client's":   {hasty, time.Minute, nil, time.Minute, 1},
			"an idempotent call as well": {c, 0, []client.CallOption{client.Idempotent()}, 10 * time.Second, 3},
		} {
			ctx, cancel := r.T.Context(), context.CancelFunc(func() {})
			if test.context > 0 {
				ctx, cancel = context.WithTimeout(ctx, test.context)
			}
			began := time.Now()
			_, err := test.c.Call(ctx, "gate", nil, test.opts...)
			cancel()
			e, _ := warren.AsError(err)
			if took := time.Since(began); took != test.want || e == nil || e.Code != warren.CodeDeadlineExceeded ||
				e.Outcome != warren.Unknown || e.Attempts != max(test.attempts, 1) || !errors.Is(err, context.DeadlineExceeded) {
				r.T.Errorf("%s: %v after %v; want %v", name, err, took, test.want)
			}
			synctest.Wait()
			if st := test.c.Stats(); st.Pending != 0 || st.PendingBytes != 0 {
				r.T.Errorf("%s: %+v", name, st)
			}
		}
		if st := s.Stats(); st.Handled != 11 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestCallThatIsCancelledSaysWhyAndWhatMayHaveHappened(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		cause := errors.New("the user has left")
		ctx, cancel := context.WithCancelCause(r.T.Context())
		time.AfterFunc(3*time.Second, func() { cancel(cause) })
		began := time.Now()
		_, err := c.Call(ctx, "gate", nil)
		e := rig.WantError(r.T, err, warren.CodeCanceled, "", warren.Unknown)
		rig.Took(r.T, began, 3*time.Second)
		if !errors.Is(err, cause) || !errors.Is(err, context.Canceled) || e.Attempts != 1 || e.Method != "gate" {
			r.T.Errorf("error is %+v", e)
		}
		// The handler works on; what it says is late.
		close(g.Release)
		time.Sleep(time.Second)
		if st := c.Stats(); st.LateReplies != 1 {
			r.T.Errorf("%+v", st)
		}
		_, err = c.Call(ctx, "gate", nil)
		if e := rig.WantError(r.T, err, warren.CodeCanceled, "", warren.NotExecuted); !errors.Is(err, cause) || e.Attempts != 0 {
			r.T.Errorf("error is %+v", e)
		}
		if g.Runs.Load() != 1 {
			r.T.Error("a call was made under a context that had ended")
		}
	})
}

func TestCallWithoutAConnectionWaitsForOneUntilItsDeadline(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		r.Broker.Stop()
		c, patient := r.Client(), r.Client(wait)
		for name, c := range map[string]*client.Client{"asking first": c, "waiting": patient} {
			began := time.Now()
			_, err := c.Call(r.T.Context(), "echo", nil)
			e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
			rig.Took(r.T, began, 10*time.Second)
			if e.Attempts != 0 || !errors.Is(err, context.DeadlineExceeded) {
				r.T.Errorf("%s: error is %+v", name, e)
			}
			ctx, cancel := context.WithCancel(r.T.Context())
			time.AfterFunc(time.Second/2, cancel)
			_, err = c.Call(ctx, "echo", nil)
			rig.WantError(r.T, err, warren.CodeCanceled, "", warren.NotExecuted)
		}
		waiting := c.Go(r.T.Context(), "echo", []byte("x"))
		time.Sleep(5 * time.Second)
		r.Broker.Resume()
		if reply, err := waiting.Result(); err != nil || reply.Attempts != 1 {
			r.T.Errorf("%v, %v", reply, err)
		}
	})
}

// The number of calls that were taken back does not matter: nothing of them is
// written once there is a connection.
func TestCallsThatEndedWithoutAConnectionAreNotMadeLater(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		r.Broker.Stop()
		c := r.Client(wait)
		var calls []*client.Future
		for range 100 {
			calls = append(calls, c.Go(r.T.Context(), "echo", make([]byte, 1000)))
		}
		for _, call := range calls {
			_, err := call.Result()
			rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
		}
		r.Broker.Resume()
		mustCall(r, c, "echo", "x")
		if st := s.Stats(); st.Requests != 1 || len(requests(r.Broker, "echo")) != 1 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestDeadlineHoldsWhateverTheBrokerDoes(t *testing.T) {
	for name, fault := range map[string]amqptest.Rule{
		"it loses the request":     {When: publishesTo("gate"), Do: amqptest.Drop()},
		"it says no":               {When: publishesTo("gate"), Do: amqptest.Nack()},
		"it goes away":             {When: publishesTo("gate"), Do: amqptest.Restart(amqptest.LoseAll, time.Hour)},
		"it stops reading":         {When: publishesTo("gate"), Do: amqptest.StallReading(0)},
		"it forgets the client":    {When: publishesTo("gate"), Do: amqptest.HalfOpen()},
		"it closes the channel":    {When: publishesTo("gate"), Do: amqptest.CloseChannel(541, "internal error")},
		"it closes the connection": {When: publishesTo("gate"), Do: amqptest.CloseConnection(320, "go away")},
		"it loses the reply":       {When: amqptest.When{Method: "basic.deliver", Queue: "warren:*"}, Do: amqptest.Drop()},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				g := rig.NewGate()
				r.Serve(rig.Named("gate"), g.Handle)
				time.AfterFunc(time.Second, func() { close(g.Release) })
				c := r.Ready()
				if fault.Do.String() == amqptest.Restart(amqptest.LoseAll, time.Hour).String() {
					time.AfterFunc(30*time.Second, r.Broker.Resume)
				}
				began := time.Now()
				_, err := c.Call(r.T.Context(), "gate", nil)
				if err != nil && (warren.CodeOf(err) != warren.CodeDeadlineExceeded || time.Since(began) != 10*time.Second) {
					r.T.Errorf("%v after %v", err, time.Since(began))
				}
				if e, ok := warren.AsError(err); ok && (e.Outcome != warren.Unknown || e.Attempts != 1) {
					r.T.Errorf("error is %+v", e)
				}
			}, fault)
		})
	}
}
