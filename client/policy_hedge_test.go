package client_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rig"
)

// hedging makes a second attempt after 200 ms.
func hedging(change ...func(*reliability.Policy)) func(*client.Config) {
	spec := reliability.Policy{
		Idempotent: new(true), Retry: exact(3), Hedge: reliability.HedgePolicy{Delay: new(200 * time.Millisecond)},
	}
	for _, f := range change {
		f(&spec)
	}
	return withPolicy(spec)
}

// answersAfter answers the n-th request after its pause, and others never.
func answersAfter(pauses ...time.Duration) func(*scripted, int, amqp.Delivery) {
	return func(s *scripted, n int, d amqp.Delivery) {
		if n <= len(pauses) {
			time.AfterFunc(pauses[n-1], func() { s.answer(d) })
		}
	}
}

func TestSlowAttemptGetsAnotherBesideItAndTheFirstAnswerWins(t *testing.T) {
	for name, test := range map[string]struct {
		pauses []time.Duration
		took   time.Duration
		hedged uint64
		late   uint64
	}{
		"fast enough":      {[]time.Duration{200*time.Millisecond - 1}, 200*time.Millisecond - 1, 0, 0},
		"the second wins":  {[]time.Duration{time.Second, 100 * time.Millisecond}, 300 * time.Millisecond, 1, 1},
		"the first wins":   {[]time.Duration{time.Second, 2 * time.Second}, time.Second, 1, 1},
		"both hang":        {[]time.Duration{time.Hour, time.Hour, 0}, 200*time.Millisecond + 3*time.Second + 100*time.Millisecond, 1, 0},
		"the second hangs": {[]time.Duration{2 * time.Second, time.Hour}, 2 * time.Second, 1, 0},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", answersAfter(test.pauses...))
				c := r.Ready(hedging())
				began := time.Now()
				reply := mustCall(r, c, "m", "x", client.WithTimeout(9*time.Second))
				rig.Took(r.T, began, test.took)
				time.Sleep(10 * time.Second)
				st := c.Stats()
				if st.Hedged != test.hedged || st.LateReplies != test.late || st.Pending != 0 || uint64(reply.Attempts) != st.Republished+1 {
					r.T.Errorf("%+v, %+v", reply, st)
				}
				if c.Method("m").Bulkhead.InFlight() != 0 {
					r.T.Error("it is still in flight")
				}
			})
		})
	}
}

func TestHedgeHasTheCallsIDAndTheNextNumber(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", answersAfter(time.Second, time.Second))
		mustCall(r, r.Ready(hedging()), "m", "x", client.WithCallID("k"))
		sent := requests(r.Broker, "m")
		if len(sent) != 2 || sent[1].Message.CorrelationID != "k" || sent[1].At.Sub(sent[0].At) != 200*time.Millisecond ||
			withoutNonce(sent[1].Message.Type) != "warren/2c;tc2wfoqo0;d7ps;n2" ||
			nonceOf(sent[0].Message.Type) != nonceOf(sent[1].Message.Type) {
			r.T.Errorf("published %v", sent)
		}
	})
}

func TestCallsThatAreNotHedged(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*reliability.Policy)
		opts   []client.CallOption
	}{
		"no attempt left":      {func(*reliability.Policy) {}, []client.CallOption{client.WithAttempts(1)}},
		"budget spent":         {func(s *reliability.Policy) { s.Budget = reliability.BudgetPolicy{Tokens: new(6.0)} }, nil},
		"off":                  {func(s *reliability.Policy) { s.Hedge = reliability.HedgePolicy{On: new(false)} }, nil},
		"no percentile as yet": {func(s *reliability.Policy) { s.Hedge = reliability.HedgePolicy{On: new(true)} }, nil},
		"past the deadline":    {func(*reliability.Policy) {}, []client.CallOption{client.WithTimeout(150 * time.Millisecond)}},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", answersAfter(time.Second))
				c := r.Ready(hedging(test.change))
				for range 3 * strings.Count(name, "budget") {
					c.Method("m").Budget.Failure()
				}
				_, _ = c.Call(r.T.Context(), "m", nil, test.opts...)
				if st := c.Stats(); st.Hedged != 0 || st.Republished != 0 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestMethodThatIsNotIdempotentCannotBeHedged(t *testing.T) {
	t.Parallel()
	cfg := client.Config{Broker: warren.Broker{URLs: []string{"amqp://localhost"}}}
	hedging(func(s *reliability.Policy) { s.Idempotent = nil })(&cfg)
	if _, err := client.New(cfg); err == nil || !strings.Contains(err.Error(), "not idempotent") {
		t.Errorf("error is %v", err)
	}
}

func TestHedgeFollowsThePercentileOfWhatWasAnswered(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(s *scripted, n int, d amqp.Delivery) {
			pause := 10 * time.Millisecond
			if n == 41 {
				pause = time.Hour
			}
			time.AfterFunc(pause, func() { s.answer(d) })
		})
		c := r.Ready(hedging(func(s *reliability.Policy) { s.Hedge = reliability.HedgePolicy{On: new(true)} }))
		for range 20 {
			mustCall(r, c, "m", "")
			// How soon the broker takes a notification says nothing of calls.
			if err := c.Notify(r.T.Context(), "m", nil); err != nil {
				r.T.Error(err)
			}
		}
		began := time.Now()
		mustCall(r, c, "m", "")
		if took := time.Since(began); took < 20*time.Millisecond || took > 22*time.Millisecond || c.Stats().Hedged != 1 {
			r.T.Errorf("it took %v; %+v", took, c.Stats())
		}
	})
}

func TestHedgesTakeFromTheBudget(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(s *scripted, _ int, d amqp.Delivery) {
			time.AfterFunc(time.Second, func() { s.answer(d) })
		})
		c := r.Ready(hedging(func(s *reliability.Policy) { s.Budget = reliability.BudgetPolicy{Tokens: new(10.0), Ratio: new(0.001)} }))
		for range 20 {
			mustCall(r, c, "m", "")
		}
		if st := c.Stats(); st.Hedged != 5 {
			r.T.Errorf("%+v", st)
		}
	})
}

// One of two attempts that fails leaves the other to answer.
func TestFailureOfOneOfTwoAttemptsIsNotTheCalls(t *testing.T) {
	for name, test := range map[string]struct {
		refused int
		took    time.Duration
	}{"the first": {1, 1200 * time.Millisecond}, "the second": {2, time.Second}} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", func(s *scripted, n int, d amqp.Delivery) {
					if n == test.refused {
						time.AfterFunc(500*time.Millisecond, func() { s.refuse(d, refusal()) })
						return
					}
					time.AfterFunc(time.Second, func() { s.answer(d) })
				})
				c := r.Ready(hedging(func(s *reliability.Policy) { s.Retry = exact(2) }))
				began := time.Now()
				mustCall(r, c, "m", "")
				rig.Took(r.T, began, test.took)
				if len(requests(r.Broker, "m")) != 2 {
					r.T.Error("not two attempts")
				}
			})
		})
	}
}

func TestHedgeThatIsRefusedOrBlockedLeavesTheFirstAlone(t *testing.T) {
	for name, prevent := range map[string]func(*rig.Rig, *client.Client){
		"by the breaker": func(_ *rig.Rig, c *client.Client) {
			breakerOf(c, "m").Force(time.Now(), reliability.ForcedOpen)
		},
		"by the broker's block": func(r *rig.Rig, c *client.Client) {
			block(r, c, 400*time.Millisecond)
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", answersAfter(time.Second))
				c := r.Ready(hedging())
				call := c.Go(r.T.Context(), "m", nil)
				time.Sleep(100 * time.Millisecond)
				prevent(r, c)
				reply, err := call.Result()
				if err != nil || reply.Attempts != 1 {
					r.T.Errorf("%+v, %v", reply, err)
				}
				if st := c.Stats(); st.Hedged != 0 || st.Republished != 0 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestLateRefusalOfAHedgedCallsAttemptsMakesItUnknownOnlyIfOneIs(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(s *scripted, _ int, d amqp.Delivery) {
			time.AfterFunc(500*time.Millisecond, func() { s.refuse(d, refusal()) })
		})
		c := r.Ready(hedging(func(s *reliability.Policy) { s.Retry = exact(2) }))
		began := time.Now()
		_, err := c.Call(r.T.Context(), "m", nil)
		if e := rig.WantError(r.T, err, warren.CodeUnavailable, "", warren.NotExecuted); e.Attempts != 2 {
			r.T.Errorf("%+v", e)
		}
		rig.Took(r.T, began, 700*time.Millisecond)
		if at := publishedAt(r.Broker, "m", began); !slices.Equal(at, []time.Duration{0, 200 * time.Millisecond}) {
			r.T.Errorf("published at %v", at)
		}
	})
}
