package client_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// election has the broker refuse what is published to a queue until it ends, as a
// cluster does whose queue elects a leader.
func election(r *rig.Rig, queue string, length time.Duration) {
	began := time.Now()
	when := publishesTo(queue)
	when.Event = func(*amqptest.Event) bool { return time.Since(began) < length }
	r.Broker.Inject(amqptest.Rule{When: when, Do: amqptest.Nack(), Times: amqptest.Always})
}

// Neither attempts, nor budget, nor breaker may be spent on an election: those of a
// new client, all of whose calls meet it, if it is short; and later if it is long.
func TestElectionCostsNoCall(t *testing.T) {
	for _, test := range []struct {
		length time.Duration
		before int // calls that succeed before it
	}{{100 * time.Millisecond, 0}, {800 * time.Millisecond, 0}, {3 * time.Second, 300}} {
		t.Run(test.length.String(), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("echo"), rig.Echo)
				c := r.Ready(withPolicy(reliability.Policy{Idempotent: new(true)}))
				for range test.before {
					mustCall(r, c, "echo", "")
				}
				election(r, "echo", test.length)
				const calls = 100
				var failed atomic.Int64
				var working sync.WaitGroup
				for n := range calls {
					working.Go(func() {
						time.Sleep(time.Duration(n) * 20 * time.Millisecond)
						began := time.Now()
						_, err := c.Call(r.T.Context(), "echo", nil, client.WithTimeout(30*time.Second))
						if took := time.Since(began); err != nil || took > 2*test.length+3*time.Second {
							failed.Add(1)
							r.T.Logf("call %d ended after %v: %v", n, took, err)
						}
					})
				}
				working.Wait()
				if n := failed.Load(); n > 0 {
					r.T.Errorf("%d calls of %d failed or took too long", n, calls)
				}
				if st := c.Stats(); st.Nacked == 0 || st.Republished > 5*calls {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestWhatTheBrokerRefusesIsRepeatedAtAPaceAndWithinBounds(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready(withPolicy(reliability.Policy{Retry: exact(3), Breaker: reliability.BreakerPolicy{Off: new(true)}}))
		began := time.Now()
		_, err := c.Call(r.T.Context(), "echo", nil, client.Idempotent(), client.WithTimeout(time.Minute))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNacked, warren.Unknown)
		var waits []time.Duration
		at := publishedAt(r.Broker, "echo", began)
		for n := range at[1:] {
			waits = append(waits, (at[n+1] - at[n]).Round(time.Millisecond))
		}
		// Ten refusals that do not count, and the three attempts.
		want := "[250ms 500ms 1s 2s 2s 2s 2s 2s 2s 2s 100ms 200ms]"
		if got := fmt.Sprint(waits); got != want {
			r.T.Errorf("published again after %v; want %v", got, want)
		}
		// There is no room for the second refusal's wait: it counts as an attempt, and
		// so do those after it.
		before := len(requests(r.Broker, "echo"))
		_, err = c.Call(r.T.Context(), "echo", nil, client.Idempotent(), client.WithTimeout(600*time.Millisecond))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNacked, warren.Unknown)
		if n := len(requests(r.Broker, "echo")) - before; n != 4 {
			r.T.Errorf("%d publishes", n)
		}
	}, amqptest.Rule{When: publishesTo("echo"), Do: amqptest.Nack(), Times: amqptest.Always})
}

// The attempt in the send queue will name the new reply queue, and what follows from it is
// not decided by the loss of the old one.
func TestAttemptThatWasInLineWhenTheReplyQueueWasLostIsRepeated(t *testing.T) {
	for name, fault := range map[string]amqptest.Action{
		"after a nack": amqptest.Nack(), "after a loss": amqptest.SeverBefore(), "after its time": amqptest.Drop(),
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("echo"), rig.Echo)
				c := r.Ready()
				old := replyQueue(r)
				r.Broker.Inject(amqptest.Rule{When: publishesTo("echo"), Do: amqptest.SeverBefore()})
				r.Broker.Inject(amqptest.Rule{When: publishesTo("echo"), Nth: 2, Do: fault})
				r.Broker.Inject(amqptest.Rule{
					When: amqptest.When{Method: "connection.open", ConnName: "*client, publishes*"}, Do: amqptest.Delay(2 * time.Second),
				})
				call := c.Go(r.T.Context(), "echo", []byte("x"), client.Idempotent(), client.WithTimeout(9*time.Second))
				time.Sleep(time.Second) // the second attempt is queued
				if err := r.Broker.DeleteQueue("/", old); err != nil {
					r.T.Fatal(err)
				}
				if reply, err := call.Result(); err != nil || reply.Attempts != 3 {
					r.T.Errorf("%+v, %v", reply, err)
				}
				if replyQueue(r) == old {
					r.T.Error("the reply queue is the old one")
				}
			})
		})
	}
}
