package client_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/rig"
)

// impatient calls m, and waits for no more than d if that is not 0.
func impatient(r *rig.Rig, c *client.Client, d time.Duration, opts ...client.CallOption) error {
	ctx := r.T.Context()
	if d > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, d)
		defer cancel()
	}
	_, err := c.Call(ctx, "m", nil, opts...)
	return err
}

// A method is judged by calls that had the time that its policy gives, which is 10 s
// here, not by those of callers who wait for less.
func TestBreakerCountsOnlyTimeoutsOfAttemptsThatHadTheirTime(t *testing.T) {
	const forever = 0
	repeated := []client.CallOption{client.Idempotent(), client.WithAttempts(3)}
	for name, test := range map[string]struct {
		waits time.Duration
		opts  []client.CallOption
		count int // of what a call's attempts end by here
	}{
		"the policy's time":               {forever, nil, 1},
		"the policy's time, repeated":     {forever, repeated, 3},
		"the program's time":              {forever, []client.CallOption{client.WithTimeout(20 * time.Millisecond)}, 1},
		"more time than the policy's":     {forever, []client.CallOption{client.WithTimeout(time.Minute)}, 1},
		"a caller's short deadline":       {20 * time.Millisecond, nil, 0},
		"a caller's one, repeated":        {2500 * time.Millisecond, repeated, 0},
		"a deadline that shrank a little": {9500 * time.Millisecond, repeated, 3},
		"a deadline of one attempt":       {3400 * time.Millisecond, nil, 1},
		"less time than the program's":    {100 * time.Millisecond, []client.CallOption{client.WithTimeout(time.Second)}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var late atomic.Bool
				script(r, "m", func(s *scripted, _ int, d amqp.Delivery) {
					if late.Load() {
						s.refuse(d, &warren.Error{Code: warren.CodeDeadlineExceeded, Outcome: warren.Executed})
					}
				})
				opts := test.opts
				if len(opts) != len(repeated) {
					opts = append(opts, client.WithAttempts(1))
				}
				c := r.Ready(wait, withPolicy(reliability.Policy{
					Retry: exact(3), Breaker: reliability.BreakerPolicy{Volume: new(1000), Window: new(10 * time.Minute)},
				}))
				err := impatient(r, c, test.waits, opts...)
				rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
				if got := breakerOf(c, "m").Counts(time.Now()); got.Failures != test.count || got.Calls != test.count {
					r.T.Errorf("nothing came: %+v; want %d", got, test.count)
				}
				// The server can tell that the time was over, too.
				late.Store(true)
				before := breakerOf(c, "m").Counts(time.Now()).Failures
				err = impatient(r, c, test.waits, append(opts, client.WithAttempts(1))...)
				rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Executed)
				if got := breakerOf(c, "m").Counts(time.Now()).Failures - before; got != min(test.count, 1) {
					r.T.Errorf("the server told: %d; want %d", got, min(test.count, 1))
				}
			})
		})
	}
}

// One impatient caller neither opens a breaker for everybody nor keeps it from
// closing: the place of its probe is given back.
func TestImpatientCallersDoNotMoveABreaker(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var well atomic.Bool
		script(r, "m", func(s *scripted, _ int, d amqp.Delivery) {
			if well.Load() {
				time.Sleep(50 * time.Millisecond)
				s.answer(d)
			}
		})
		l := &changes{}
		c := r.Ready(brittle(l))
		for range 30 {
			rig.WantError(r.T, impatient(r, c, 20*time.Millisecond), warren.CodeDeadlineExceeded, "", warren.Unknown)
		}
		l.want(r.T)
		for range 4 {
			_, _ = c.Call(r.T.Context(), "m", nil)
		}
		l.want(r.T, "m closed>open")
		time.Sleep(5 * time.Second)
		well.Store(true)
		for range 3 {
			rig.WantError(r.T, impatient(r, c, 20*time.Millisecond), warren.CodeDeadlineExceeded, "", warren.Unknown)
		}
		l.want(r.T, "m closed>open", "m open>half_open")
		mustCall(r, c, "m", "")
		l.want(r.T, "m closed>open", "m open>half_open", "m half_open>closed")
	})
}
