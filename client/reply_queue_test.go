package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestReplyQueueIsDurableExpiresAndIsDeletedWithTheClient(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Ready(func(cfg *client.Config) { cfg.ReplyQueue.Expires = time.Hour })
		q := r.Queue(replyQueue(r))
		if q.Type != "classic" || !q.Durable || q.Exclusive || q.AutoDelete || q.Consumers != 1 || q.Arguments["x-expires"] != int64(3_600_000) {
			r.T.Errorf("%+v", q)
		}
		if err := c.Close(); err != nil {
			r.T.Error(err)
		}
		if left := replyQueues(r.Broker); len(left) != 0 {
			r.T.Errorf("left are %v", left)
		}
	})
}

func TestReplyQueueOfAClientThatIsGoneExpires(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Ready()
		q := r.Queue(replyQueue(r))
		if q.Arguments["x-expires"] != int64(600_000) {
			r.T.Errorf("%+v", q)
		}
		r.Broker.Stop()
		_ = c.Close() // there is nobody to delete it
		r.Broker.Resume()
		time.Sleep(10*time.Minute - time.Second)
		if len(replyQueues(r.Broker)) != 1 {
			r.T.Error("it has expired too early")
		}
		time.Sleep(2 * time.Second)
		if len(replyQueues(r.Broker)) != 0 {
			r.T.Error("it has not expired")
		}
	})
}

func TestReplyWaitsForAClientThatIsCutOff(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready()
		queue := replyQueue(r)
		call := c.Go(r.T.Context(), "gate", []byte("x"))
		<-g.Entered
		// The client cannot come back before the reply is there.
		r.Broker.Inject(amqptest.Rule{
			When: amqptest.When{Method: "connection.open", ConnName: "*client, consumes*"}, Do: amqptest.Delay(3 * time.Second),
		})
		for _, conn := range r.Broker.Connections() {
			if conn.Name == "client.test (warren client, consumes)" {
				conn.Sever()
			}
		}
		close(g.Release)
		time.Sleep(2 * time.Second)
		if q := r.Queue(queue); q.Ready != 1 || q.Consumers != 0 || s.Stats().Unrouted != 0 {
			r.T.Errorf("%+v", q)
		}
		if reply, err := call.Result(); err != nil || string(reply.Body) != "x" {
			r.T.Errorf("%v, %v", reply, err)
		}
		if st := c.Stats(); g.Runs.Load() != 1 || st.Reconnects != 1 || replyQueue(r) != queue {
			r.T.Errorf("%d runs, %+v", g.Runs.Load(), st)
		}
	})
}

func TestReplyQueueThatIsGoneEndsCallsAsUnknownAndIsReplaced(t *testing.T) {
	for name, test := range map[string]struct {
		exclusive bool
		lose      func(r *rig.Rig)
	}{
		"deleted": {false, func(r *rig.Rig) { _ = r.Broker.DeleteQueue("/", replyQueue(r)) }},
		"gone while the client was": {false, func(r *rig.Rig) {
			queue := replyQueue(r)
			r.Broker.Stop()
			_ = r.Broker.DeleteQueue("/", queue)
			r.Broker.Resume()
		}},
		"gone with the exclusive": {true, func(r *rig.Rig) { r.Broker.Sever() }},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				g := rig.NewGate()
				r.Serve(rig.Named("gate"), g.Handle)
				c := r.Ready(func(cfg *client.Config) { cfg.ReplyQueue.Exclusive = test.exclusive })
				queue := replyQueue(r)
				if q := r.Queue(queue); q.Exclusive != test.exclusive || q.Durable == test.exclusive {
					r.T.Errorf("%+v", q)
				}
				mustBegin := func(opts ...client.CallOption) *client.Future {
					call := c.Go(r.T.Context(), "gate", []byte("x"), append(opts, client.WithTimeout(time.Minute))...)
					<-g.Entered
					return call
				}
				once, again := mustBegin(), mustBegin(client.Idempotent())
				synctest.Wait()
				began := time.Now()
				test.lose(r)
				_, err := once.Result()
				e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonReplyQueueLost, warren.Unknown)
				if took := time.Since(began); took > time.Second || e.Attempts != 1 {
					r.T.Errorf("%+v after %v", e, took)
				}
				time.Sleep(5 * time.Second)
				close(g.Release)
				reply, err := again.Result()
				if err != nil || reply.Attempts != 2 || replyQueue(r) == queue {
					r.T.Errorf("%+v, %v", reply, err)
				}
				mustCall(r, c, "gate", "later")
			})
		})
	}
}

func TestReplyConsumerThatIsCancelledIsResumedWithoutALoss(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready()
		queue := replyQueue(r)
		call := c.Go(r.T.Context(), "gate", nil)
		<-g.Entered
		if n := r.Broker.CancelConsumers("/", queue); n != 1 {
			r.T.Errorf("%d consumers", n)
		}
		close(g.Release)
		if _, err := call.Result(); err != nil || replyQueue(r) != queue {
			r.T.Error(err)
		}
	})
}

func TestDoubleReplyIsDropped(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client()
		mustCall(r, c, "echo", "x")
		synctest.Wait()
		if st := c.Stats(); st.Replies != 1 || st.LateReplies != 1 {
			r.T.Errorf("%+v", st)
		}
	}, amqptest.Rule{When: amqptest.When{Method: "basic.publish", RoutingKey: "warren:*"}, Do: amqptest.Duplicate(1)})
}
