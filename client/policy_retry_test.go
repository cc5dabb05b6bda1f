package client_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rig"
)

func TestIdempotentCallIsAnsweredByTheSecondServerIfTheFirstHangs(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(s *scripted, n int, d amqp.Delivery) {
			if n == 2 {
				s.answer(d)
			}
		})
		c := r.Ready(withPolicy(reliability.Policy{Retry: exact(3)}))
		began := time.Now()
		reply := mustCall(r, c, "m", "x", client.Idempotent(), client.WithCallID("k"), client.WithTimeout(9*time.Second))
		rig.Took(r.T, began, 3100*time.Millisecond) // a third of the time, and the backoff
		if reply.Attempts != 2 || string(reply.Body) != "x" {
			r.T.Errorf("%+v", reply)
		}
		if at := publishedAt(r.Broker, "m", began); !slices.Equal(at, []time.Duration{0, 3100 * time.Millisecond}) {
			r.T.Errorf("published at %v", at)
		}
	})
}

func TestCallThatIsNotIdempotentIsWaitedForToItsEnd(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		script(r, "m", func(*scripted, int, amqp.Delivery) {})
		c := r.Ready(withPolicy(reliability.Policy{Retry: exact(5)}))
		began := time.Now()
		_, err := c.Call(r.T.Context(), "m", nil, client.WithTimeout(9*time.Second), client.WithAttempts(5))
		e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		rig.Took(r.T, began, 9*time.Second)
		if e.Attempts != 1 || len(requests(r.Broker, "m")) != 1 {
			r.T.Errorf("%+v", e)
		}
	})
}

func TestErrorsThatAreRepeatedAndThoseThatAreNot(t *testing.T) {
	type refusal = warren.Error
	const ms = time.Millisecond
	for name, test := range map[string]struct {
		err        refusal
		idempotent bool
		published  []time.Duration // one is all there is
		codes      []warren.Code
	}{
		"unavailable, not executed":            {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted}, published: []time.Duration{0, 100 * ms, 300 * ms}},
		"resource_exhausted, not executed":     {err: refusal{Code: warren.CodeResourceExhausted, Outcome: warren.NotExecuted}, published: []time.Duration{0, 100 * ms, 300 * ms}},
		"aborted, not executed":                {err: refusal{Code: warren.CodeAborted, Outcome: warren.NotExecuted}, published: []time.Duration{0, 100 * ms, 300 * ms}},
		"expired, not executed":                {err: refusal{Code: warren.CodeDeadlineExceeded, Reason: "expired", Outcome: warren.NotExecuted}, published: []time.Duration{0, 100 * ms, 300 * ms}},
		"unavailable, executed":                {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.Executed}, published: []time.Duration{0}},
		"unavailable, unknown":                 {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.Unknown}, published: []time.Duration{0}},
		"unavailable, executed, idempotent":    {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.Executed}, idempotent: true, published: []time.Duration{0, 100 * ms, 300 * ms}},
		"unavailable, unknown, idempotent":     {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.Unknown}, idempotent: true, published: []time.Duration{0, 100 * ms, 300 * ms}},
		"internal, not executed, idempotent":   {err: refusal{Code: warren.CodeInternal, Outcome: warren.NotExecuted}, idempotent: true, published: []time.Duration{0}},
		"not_found, executed, idempotent":      {err: refusal{Code: warren.CodeNotFound, Outcome: warren.Executed}, idempotent: true, published: []time.Duration{0}},
		"interrupted, idempotent":              {err: refusal{Code: warren.CodeUnavailable, Reason: warren.ReasonInterrupted, Outcome: warren.Unknown}, idempotent: true, published: []time.Duration{0}},
		"poisoned, idempotent":                 {err: refusal{Code: warren.CodeUnavailable, Reason: warren.ReasonPoisoned, Outcome: warren.Unknown}, idempotent: true, published: []time.Duration{0}},
		"a code that the policy names":         {err: refusal{Code: warren.CodeInternal, Outcome: warren.NotExecuted}, codes: []warren.Code{warren.CodeInternal}, published: []time.Duration{0, 100 * ms, 300 * ms}},
		"a code that the policy does not name": {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted}, codes: []warren.Code{warren.CodeInternal}, published: []time.Duration{0}},
		"retry-after that is longer":           {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, RetryAfter: 700 * ms}, published: []time.Duration{0, 700 * ms, 1400 * ms}},
		"retry-after that is shorter":          {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, RetryAfter: 150 * ms}, published: []time.Duration{0, 150 * ms, 350 * ms}},
		"retry-after that says stop":           {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, RetryAfter: -1}, published: []time.Duration{0}},
		"retry-after past the deadline":        {err: refusal{Code: warren.CodeUnavailable, Outcome: warren.NotExecuted, RetryAfter: 10 * time.Second}, published: []time.Duration{0}},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", func(s *scripted, _ int, d amqp.Delivery) { s.refuse(d, &test.err) })
				retry := exact(3)
				retry.Codes = test.codes
				c := r.Ready(withPolicy(reliability.Policy{Retry: retry, Idempotent: &test.idempotent}))
				began := time.Now()
				_, err := c.Call(r.T.Context(), "m", nil)
				e := rig.WantError(r.T, err, test.err.Code, test.err.Reason, test.err.Outcome)
				rig.Took(r.T, began, test.published[len(test.published)-1])
				if at := publishedAt(r.Broker, "m", began); !slices.Equal(at, test.published) || e.Attempts != len(at) || !e.Remote {
					r.T.Errorf("published at %v; error is %+v", at, e)
				}
				for i, ev := range requests(r.Broker, "m") {
					want := "warren/2c;tc2wfoqo0" // 2000-01-01; the first has the deadline in its expiration
					if i > 0 {
						want += fmt.Sprintf(";d7ps;n%d", i+1)
					}
					if m := ev.Message; m.CorrelationID != e.CallID || m.Type != want+";b" {
						r.T.Errorf("attempt %d is %s, %s", i+1, m.CorrelationID, m.Type)
					}
				}
				if st := c.Stats(); st.Republished != uint64(len(test.published)-1) || st.Hedged != 0 || st.Pending != 0 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestMethodThatNobodyServesIsNotTriedAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		if _, err := r.Peer().Channel.QueueDeclare("idle", true, false, false, false, nil); err != nil {
			r.T.Fatal(err)
		}
		c := r.Ready()
		for _, test := range []struct{ method, reason string }{
			{"missing", warren.ReasonNoRoute}, {"idle", warren.ReasonNoServer},
		} {
			began := time.Now()
			_, err := c.Call(r.T.Context(), test.method, nil, client.Idempotent())
			rig.WantError(r.T, err, warren.CodeUnavailable, test.reason, warren.NotExecuted)
			rig.Took(r.T, began, 0)
		}
		// Whether the queue exists, the publish tells those that wait for servers.
		_, err := c.Call(r.T.Context(), "missing", nil, client.Idempotent(), client.WaitForServer())
		if e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted); e.Attempts != 1 {
			r.T.Errorf("error is %+v", e)
		}
	})
}

func TestRetriesEndWithTheDeadlineAndTheAttemptsAllowed(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		// A server that refuses after a while, longer than any attempt's, or never.
		for i, pause := range []time.Duration{0, 10 * time.Millisecond, 400 * time.Millisecond, 1100 * time.Millisecond, time.Hour} {
			queue := fmt.Sprint("m", i)
			script(r, queue, func(s *scripted, _ int, d amqp.Delivery) {
				time.AfterFunc(pause, func() { s.refuse(d, refusal()) })
			})
		}
		c := r.Ready(withPolicy(reliability.Policy{Retry: reliability.RetryPolicy{First: new(50 * time.Millisecond)}}))
		for i := range 5 {
			for attempts := 1; attempts <= 5; attempts++ {
				for _, timeout := range []time.Duration{time.Millisecond, 90 * time.Millisecond, time.Second, 2500 * time.Millisecond, 10 * time.Second} {
					queue, began := fmt.Sprint("m", i), time.Now()
					ctx, cancel := context.WithTimeout(r.T.Context(), timeout)
					before := len(requests(r.Broker, queue))
					_, err := c.Call(ctx, queue, nil, client.Idempotent(), client.WithAttempts(attempts))
					cancel()
					e, _ := warren.AsError(err)
					if took := time.Since(began); took > timeout {
						r.T.Errorf("%v took %v", timeout, took)
					}
					time.Sleep(time.Minute) // what is wrong may come late
					at := publishedAt(r.Broker, queue, began)[before:]
					if e == nil || len(at) > attempts || e.Attempts != len(at) || at[len(at)-1] >= timeout {
						r.T.Fatalf("%d attempts in %v: published at %v, error is %+v", attempts, timeout, at, e)
					}
				}
			}
			// Do not let the next begin with the failures of this one.
			breakerOf(c, fmt.Sprint("m", i+1)).Force(time.Now(), reliability.ForcedClosed)
		}
	})
}

// What a server answers is told apart by attempt, however late or often it comes.
func TestAnswersBelongToTheirAttempts(t *testing.T) {
	stop := refusal().WithRetryAfter(-1)
	wrong := &warren.Error{Code: warren.CodeInvalidArgument, Outcome: warren.Executed}
	type step struct {
		after time.Duration // of the attempt's arrival
		err   *warren.Error // nil is a reply
		times int
	}
	for name, test := range map[string]struct {
		notIdempotent bool
		attempts      int      // 4 if it is 0
		steps         [][]step // by attempt
		took          time.Duration
		published     int
		want          *warren.Error // nil is a reply
	}{
		"late reply to the first, the second hangs": {
			steps: [][]step{{{after: 4 * time.Second}}}, took: 4 * time.Second, published: 2,
		},
		"late reply to the first, before the second goes out": {
			steps: [][]step{{{after: 3050 * time.Millisecond}}}, took: 3050 * time.Millisecond, published: 1,
		},
		"late refusal of the first, the second is answered": {
			steps: [][]step{{{after: 4 * time.Second, err: refusal()}}, {{after: 2 * time.Second}}}, took: 5100 * time.Millisecond, published: 2,
		},
		"late refusal of the first, before the second goes out": {
			attempts: 2, steps: [][]step{{{after: 3050 * time.Millisecond, err: refusal()}}, {{}}}, took: 3100 * time.Millisecond, published: 2,
		},
		"late answer that a repetition does not mend": {
			steps: [][]step{{{after: 4 * time.Second, err: wrong}}}, took: 4 * time.Second, published: 2, want: wrong,
		},
		"late stop": {
			steps: [][]step{{{after: 4 * time.Second, err: stop}}}, took: 4 * time.Second, published: 2,
			want: &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.Unknown}, // the second may be executed
		},
		"late stop before the second goes out": {
			steps: [][]step{{{after: 3050 * time.Millisecond, err: stop}}}, took: 3050 * time.Millisecond, published: 1, want: stop,
		},
		"refusal that comes twice at once": {
			notIdempotent: true, steps: [][]step{{{err: refusal(), times: 2}}, {{after: time.Second}}}, took: 1100 * time.Millisecond, published: 2,
		},
		"refusal that comes again while the second is executed": {
			notIdempotent: true, steps: [][]step{{{err: refusal()}, {after: 500 * time.Millisecond, err: refusal(), times: 3}}, {{after: time.Second}}},
			took: 1100 * time.Millisecond, published: 2,
		},
		"refusal of the second that comes again, and of the first": {
			notIdempotent: true, steps: [][]step{
				{{err: refusal()}, {after: 500 * time.Millisecond, err: refusal()}}, {{err: refusal(), times: 2}, {after: 500 * time.Millisecond, err: refusal()}},
				{{after: time.Second}},
			}, took: 1300 * time.Millisecond, published: 3,
		},
		"refusals of all": {
			notIdempotent: true, attempts: 2, steps: [][]step{{{err: refusal()}}, {{err: refusal()}}},
			took: 100 * time.Millisecond, published: 2, want: refusal(),
		},
		"the last is refused, the first unknown": {
			attempts: 2, steps: [][]step{{}, {{err: refusal()}}}, took: 3100 * time.Millisecond, published: 2,
			want: &warren.Error{Code: warren.CodeUnavailable, Outcome: warren.Unknown},
		},
		"the first was executed, the last refused": {
			attempts: 2, steps: [][]step{{{err: &warren.Error{Code: warren.CodeAborted, Outcome: warren.Executed}}}, {{err: refusal()}}},
			took: 100 * time.Millisecond, published: 2, want: &warren.Error{Code: warren.CodeAborted, Outcome: warren.Executed},
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", func(s *scripted, n int, d amqp.Delivery) {
					if n > len(test.steps) {
						return
					}
					for _, st := range test.steps[n-1] {
						time.AfterFunc(st.after, func() {
							for range max(st.times, 1) {
								if st.err != nil {
									s.refuse(d, st.err)
								} else {
									s.answer(d)
								}
							}
						})
					}
				})
				c := r.Ready(withPolicy(reliability.Policy{Retry: exact(cmp.Or(test.attempts, 4))}))
				var opts []client.CallOption
				if !test.notIdempotent {
					opts = []client.CallOption{client.Idempotent()}
				}
				began := time.Now()
				reply, err := c.Call(r.T.Context(), "m", nil, append(opts, client.WithTimeout(9*time.Second))...)
				rig.Took(r.T, began, test.took)
				got := 0
				if test.want == nil && err != nil {
					r.T.Errorf("error is %v", err)
				} else if test.want != nil {
					got = rig.WantError(r.T, err, test.want.Code, test.want.Reason, test.want.Outcome).Attempts
				} else {
					got = reply.Attempts
				}
				time.Sleep(time.Minute)
				if n := len(requests(r.Broker, "m")); n != test.published || got != n {
					r.T.Errorf("%d were published, and %d told", n, got)
				}
				if st := c.Stats(); st.Pending != 0 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

// A block that keeps a repetition in does not end the call, nor hold it up when
// the answer to the attempt that is out comes.
func TestRepetitionThatTheBrokerBlocksLeavesTheOtherAttemptToBeAnswered(t *testing.T) {
	// The one that is refused is repeated once the block is over.
	for want, answers := range map[int]*warren.Error{1: nil, 2: refusal()} {
		t.Run(fmt.Sprint(want), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				script(r, "m", func(s *scripted, n int, d amqp.Delivery) {
					if n > 1 {
						s.answer(d)
						return
					}
					time.AfterFunc(5*time.Second, func() {
						if answers != nil {
							s.refuse(d, answers)
							return
						}
						s.answer(d)
					})
				})
				c := r.Ready(withPolicy(reliability.Policy{Retry: exact(3)}))
				call := c.Go(r.T.Context(), "m", nil, client.Idempotent(), client.WithTimeout(12*time.Second))
				time.Sleep(3 * time.Second)
				block(r, c, 1500*time.Millisecond)
				reply, err := call.Result()
				if n := len(requests(r.Broker, "m")); err != nil || reply.Attempts != n || n != want {
					r.T.Errorf("%+v, %v", reply, err)
				}
			})
		})
	}
}
