package client_test

import (
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestIdempotentCallIsPublishedAgainWithItsIDAndDeadline(t *testing.T) {
	for name, fault := range map[string]amqptest.Action{
		"lost with the connection, before":   amqptest.SeverBefore(),
		"lost with the connection, after":    amqptest.SeverAfter(),
		"lost with the channel":              amqptest.CloseChannel(541, "internal error"),
		"lost when the broker went":          amqptest.CloseConnection(320, "shutdown"),
		"nacked":                             amqptest.Nack(),
		"lost when the broker was restarted": amqptest.Restart(amqptest.LoseMessages, 0),
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("echo"), rig.Echo)
				c := r.Ready()
				began := time.Now()
				reply := mustCall(r, c, "echo", "x", client.Idempotent(), client.WithCallID("k"), client.WithTimeout(5*time.Second))
				if took := time.Since(began); took > 3*time.Second {
					r.T.Errorf("it took %v", took)
				}
				time.Sleep(time.Second)
				// A first attempt that arrived may be what was answered.
				arrives := fault.String() == "sever-after" || strings.HasPrefix(fault.String(), "restart")
				sent := requests(r.Broker, "echo")
				if n := len(sent); reply.Attempts != n || n > 2 || n < 2 && !arrives {
					r.T.Fatalf("%d attempts and %d publishes", reply.Attempts, n)
				}
				if len(sent) < 2 {
					return
				}
				first, second := sent[0].Message, sent[1].Message
				if first.CorrelationID != "k" || second.CorrelationID != "k" || string(second.Body) != "x" ||
					withoutNonce(first.Type) != "warren/2c;tc2wfoqo0" || first.Expiration != "5000" ||
					withoutNonce(second.Type) != "warren/2c;tc2wfoqo0;d3uw;n2" || nonceOf(first.Type) != nonceOf(second.Type) || second.Expiration > first.Expiration {
					r.T.Errorf("published %+v and %+v", first, second)
				}
				if st := c.Stats(); st.Republished != 1 || st.Nacked+st.Lost != 1 || st.Pending != 0 {
					r.T.Errorf("%+v", st)
				}
			}, amqptest.Rule{When: publishesTo("echo"), Do: fault})
		})
	}
}

func TestCallThatIsNotIdempotentIsNotPublishedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		fault  amqptest.Action
		reason string
	}{
		"lost":   {amqptest.SeverBefore(), warren.ReasonConnectionLost},
		"nacked": {amqptest.Nack(), warren.ReasonNacked},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("echo"), rig.Echo)
				c := r.Ready()
				began := time.Now()
				_, err := c.Call(r.T.Context(), "echo", nil, client.WithAttempts(5))
				e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, test.reason, warren.Unknown)
				rig.Took(r.T, began, 10*time.Second)
				if e.Attempts != 1 || len(requests(r.Broker, "echo")) != 1 || c.Stats().Republished != 0 {
					r.T.Errorf("error is %+v", e)
				}
				mustCall(r, c, "echo", "others are not held up")
			}, amqptest.Rule{When: publishesTo("echo"), Do: test.fault})
		})
	}
}

// Nobody waits for a deadline who has said that a refusal will do.
func TestRefusedCallThatIsNotRepeatedEndsAtOnceByItsPolicy(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready(withPolicy(reliability.Policy{Retry: reliability.RetryPolicy{FailNacked: new(true)}}))
		began := time.Now()
		_, err := c.Call(r.T.Context(), "echo", nil)
		e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNacked, warren.Unknown)
		rig.Took(r.T, began, 0)
		if e.Attempts != 1 {
			r.T.Errorf("error is %+v", e)
		}
		// One that may be repeated is, as ever, and then ends as well.
		_, err = c.Call(r.T.Context(), "echo", nil, client.Idempotent(), client.WithTimeout(time.Minute))
		e = rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNacked, warren.Unknown)
		if e.Attempts != 13 || time.Since(began) > 45*time.Second {
			r.T.Errorf("error is %+v after %v", e, time.Since(began))
		}
	}, amqptest.Rule{When: publishesTo("echo"), Do: amqptest.Nack(), Times: amqptest.Always})
}

func TestCallWhosePublishArrivedIsAnsweredThoughItsConnectionWasLost(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready()
		call := c.Go(r.T.Context(), "gate", []byte("x"))
		<-g.Entered
		close(g.Release)
		reply, err := call.Result()
		if err != nil || string(reply.Body) != "x" || reply.Attempts != 1 || g.Runs.Load() != 1 {
			r.T.Errorf("%+v, %v after %d runs", reply, err, g.Runs.Load())
		}
	}, amqptest.Rule{When: publishesTo("gate"), Do: amqptest.SeverAfter()})
}

func TestPublishesOfACallAreBounded(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		const refusals = 10 // that do not count
		for want, opts := range map[int][]client.CallOption{
			refusals + 3: {client.Idempotent()},
			1:            {client.Idempotent(), client.WithAttempts(0)},
			refusals + 2: {client.Idempotent(), client.WithAttempts(2)},
			refusals + 5: {client.Idempotent(), client.WithAttempts(100)},
		} {
			_, err := c.Call(r.T.Context(), "echo", nil, append(opts, client.WithTimeout(time.Minute))...)
			if e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNacked, warren.Unknown); e.Attempts != want {
				r.T.Errorf("error is %+v; want %d attempts", e, want)
			}
		}
		twice := r.Client(withPolicy(reliability.Policy{Retry: reliability.RetryPolicy{Attempts: new(2)}}))
		_, err := twice.Call(r.T.Context(), "echo", nil, client.Idempotent(), client.WithTimeout(time.Minute))
		if e := rig.WantError(r.T, err, warren.CodeDeadlineExceeded, warren.ReasonNacked, warren.Unknown); e.Attempts != refusals+2 {
			r.T.Errorf("error is %+v", e)
		}
	}, amqptest.Rule{When: publishesTo("echo"), Do: amqptest.Nack(), Times: amqptest.Always})
}

func TestAttemptThatCameBackDoesNotMakeUpForOneOfUnknownFate(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		_, err := r.Ready().Call(r.T.Context(), "echo", nil, client.Idempotent())
		// The broker may have enqueued what it did not confirm.
		if e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.Unknown); e.Attempts != 2 {
			r.T.Errorf("error is %+v", e)
		}
	},
		amqptest.Rule{When: publishesTo("echo"), Do: amqptest.Nack()},
		amqptest.Rule{When: publishesTo("echo"), Nth: 2, Do: amqptest.Return()})
}

// The publish and the reply queue are lost at once: that is one reason to publish
// the call again, not two.
func TestCallIsPublishedAgainOnceForOneLoss(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready(func(cfg *client.Config) { cfg.ReplyQueue.Exclusive = true })
		call := c.Go(r.T.Context(), "gate", nil, client.Idempotent())
		<-g.Entered
		// The repetition must not go out before there is another reply queue.
		r.Broker.Inject(amqptest.Rule{
			When: amqptest.When{Method: "connection.open", ConnName: "*client, publishes*"}, Do: amqptest.Delay(3 * time.Second),
		})
		r.Broker.Sever()
		time.Sleep(5 * time.Second)
		close(g.Release)
		if reply, err := call.Result(); err != nil || reply.Attempts != 2 {
			r.T.Errorf("%+v, %v", reply, err)
		}
		if st := c.Stats(); st.Republished != 1 || st.Lost != 1 {
			r.T.Errorf("%+v", st)
		}
	}, amqptest.Rule{When: publishesTo("gate"), Do: amqptest.NeverConfirm()})
}

// A request that went out before would carry the name of a queue that is gone.
func TestRequestWaitsForTheReplyQueueThatDiedWithItsConnection(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready(func(cfg *client.Config) { cfg.ReplyQueue.Exclusive = true })
		r.Broker.Inject(amqptest.Rule{
			When: amqptest.When{Method: "connection.open", ConnName: "*client, consumes*"}, Do: amqptest.Delay(3 * time.Second),
		})
		r.Broker.Sever()
		time.Sleep(time.Second)
		reply, err := c.Call(r.T.Context(), "echo", []byte("x"), client.WaitForServer())
		if err != nil || string(reply.Body) != "x" || reply.Attempts != 1 {
			r.T.Errorf("%+v, %v", reply, err)
		}
	})
}

func TestUserWhoMayNotPublishIsToldSoAtOnce(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		if err := r.Broker.AddUser("mute", amqptest.User{Password: "p", Configure: ".*", Read: ".*"}); err != nil {
			r.T.Fatal(err)
		}
		c := r.Client(func(cfg *client.Config) { cfg.Broker.URLs[0] = r.Broker.URLAs("mute", "p", "/") })
		for _, opts := range [][]client.CallOption{nil, {client.Idempotent()}} {
			began := time.Now()
			_, err := c.Call(r.T.Context(), "echo", nil, opts...)
			rig.WantError(r.T, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
			if took := time.Since(began); took > time.Second {
				r.T.Errorf("it took %v", took)
			}
		}
		err := c.Notify(r.T.Context(), "echo", nil)
		rig.WantError(r.T, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
	})
}

// What is wrong with a channel that swallows what is published must not be the end of
// calls that come later.
func TestChannelThatConfirmsNothingIsReplaced(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		mustCall(r, c, "echo", "x")
		first := r.Broker.Events(publishesTo("echo"))[0]
		when := publishesTo("echo")
		when.Conn, when.Channel = first.Conn, first.Channel
		r.Broker.Inject(amqptest.Rule{When: when, Do: amqptest.Drop(), Times: amqptest.Always})
		_, err := c.Call(r.T.Context(), "echo", nil, client.WithTimeout(10*time.Second))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		mustCall(r, c, "echo", "x")
	})
}
