package client_test

import (
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// asked is a client's question whether a queue has a consumer: the only passive
// declare of a method's queue that a client makes.
func asked(queue string) amqptest.When {
	return amqptest.When{Method: "queue.declare", Queue: queue, ConnName: "*warren client, consumes*"}
}

func TestCallOfAMissingQueueIsNoRouteAtOnce(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Client()
		for name, test := range map[string]struct {
			opts     []client.CallOption
			attempts int
		}{
			"asked before":        {nil, 0},
			"told by the publish": {[]client.CallOption{client.WaitForServer()}, 1},
		} {
			_, err := c.Call(r.T.Context(), "nobody.home", nil, test.opts...)
			e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
			if e.Method != "nobody.home" || e.CallID == "" || e.Remote || e.Attempts != test.attempts {
				r.T.Errorf("%s: error is %+v", name, e)
			}
		}
		if _, err := c.Ping(r.T.Context(), "nobody.home"); err == nil {
			r.T.Error("a ping without a queue succeeded")
		} else {
			rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
		}
	})
}

func TestCallOfAMethodThatNobodyServesFailsFastOrWaits(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		fast, patient := r.Client(), r.Client(wait)
		began := time.Now()
		_, err := fast.Call(r.T.Context(), "echo", nil)
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoServer, warren.NotExecuted)
		_, err = patient.Call(r.T.Context(), "echo", nil, client.FailWithoutServer())
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoServer, warren.NotExecuted)
		rig.Took(r.T, began, 0)
		if n := len(requests(r.Broker, "echo")); n != 0 {
			r.T.Errorf("%d requests were published", n)
		}
		_, err = patient.Call(r.T.Context(), "echo", nil, client.WithTimeout(time.Minute))
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		rig.Took(r.T, began, time.Minute)

		waiting := fast.Go(r.T.Context(), "echo", []byte("late"), client.WaitForServer())
		time.Sleep(5 * time.Second)
		r.Serve(rig.Named("echo"), rig.Echo)
		if reply, err := waiting.Result(); err != nil || string(reply.Body) != "late" {
			r.T.Errorf("%v, %v", reply, err)
		}
		mustCall(r, fast, "echo", "again under fail-fast")
	})
}

func TestServersAreAskedForBeforeTheFirstCallAndThenInTheBackground(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client()
		call := func(after time.Duration, questions int) {
			r.T.Helper()
			time.Sleep(after)
			mustCall(r, c, "echo", "x")
			synctest.Wait()
			if n := r.Broker.Count(asked("echo")); n != questions {
				r.T.Errorf("%d questions; want %d", n, questions)
			}
		}
		call(0, 1)
		call(0, 1)
		call(time.Second-time.Nanosecond, 1)
		call(time.Nanosecond, 2)
		call(time.Minute, 3)
		// In the background: the call does not wait for the answer.
		time.Sleep(2 * time.Second)
		r.Broker.Inject(amqptest.Rule{When: asked("echo"), Do: amqptest.Delay(500 * time.Millisecond)})
		began := time.Now()
		_, err := c.Call(r.T.Context(), "echo", nil)
		if took := time.Since(began); err != nil || took >= 500*time.Millisecond {
			r.T.Errorf("%v after %v", err, took)
		}
	})
}

func TestServerThatWentIsMissedAfterASecondAndOneThatCameFoundAtOnce(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client()
		mustCall(r, c, "echo", "x")
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		// Taken for alive: it waits. Its successor asks, and the one after knows.
		short := client.WithTimeout(time.Second)
		_, err := c.Call(r.T.Context(), "echo", nil, short)
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		_, err = c.Call(r.T.Context(), "echo", nil, short)
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
		questions := r.Broker.Count(asked("echo"))
		_, err = c.Call(r.T.Context(), "echo", nil)
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoServer, warren.NotExecuted)
		if n := r.Broker.Count(asked("echo")) - questions; n != 1 {
			r.T.Errorf("%d questions; the answer of a second ago is too old", n)
		}
		// No server is believed for 100 ms.
		r.Serve(rig.Named("echo"), rig.Echo)
		time.Sleep(100*time.Millisecond - time.Nanosecond)
		_, err = c.Call(r.T.Context(), "echo", nil)
		rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoServer, warren.NotExecuted)
		time.Sleep(time.Nanosecond)
		mustCall(r, c, "echo", "x")
	})
}

func TestCallGoesAheadIfTheBrokerDoesNotTellWhoServes(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		began := time.Now()
		mustCall(r, c, "echo", "x")
		rig.Took(r.T, began, time.Second)
	}, amqptest.Rule{When: asked("echo"), Do: amqptest.Drop()})
}

func TestMethodWhoseQueueIsExclusiveIsCalledAllTheSame(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p := r.Peer()
		arrived := p.Consume(declareExclusive(r, p, "own"))
		call := r.Client().Go(r.T.Context(), "own", nil)
		req := <-arrived
		p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: req.CorrelationId})
		if _, err := call.Result(); err != nil {
			r.T.Error(err)
		}
	})
}

func declareExclusive(r *rig.Rig, p *rig.Peer, name string) string {
	r.T.Helper()
	if _, err := p.Channel.QueueDeclare(name, false, true, true, false, nil); err != nil {
		r.T.Fatal(err)
	}
	return name
}

func TestPingCountsConsumers(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		c := r.Client()
		for want := 1; want <= 2; want++ {
			r.Serve(rig.Named("echo"), rig.Echo)
			if n, err := c.Ping(r.T.Context(), "echo"); err != nil || n != want {
				r.T.Errorf("%d, %v; want %d", n, err, want)
			}
		}
		_, err := c.Ping(r.T.Context(), "no/method")
		rig.WantError(r.T, err, warren.CodeInvalidArgument, warren.ReasonBadRequest, warren.NotExecuted)
		r.Broker.Inject(amqptest.Rule{When: asked("echo"), Do: amqptest.Drop()})
		began := time.Now()
		_, err = c.Ping(r.T.Context(), "echo")
		rig.WantError(r.T, err, warren.CodeDeadlineExceeded, "", warren.NotExecuted)
		rig.Took(r.T, began, 10*time.Second)
	})
}

func TestMethodWhoseQueueExpiredIsNoRoute(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(server.Method{Name: "brief", Queue: server.Queue{Expires: 10 * time.Second}}, rig.Echo)
		c := r.Client()
		mustCall(r, c, "brief", "x")
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(11 * time.Second)
		// Taken for alive, the call is published and comes back.
		_, err := c.Call(r.T.Context(), "brief", nil)
		e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted)
		if e.Attempts != 1 || c.Stats().Returned != 1 {
			r.T.Errorf("error is %+v", e)
		}
		// That is remembered: the next one asks first.
		_, err = c.Call(r.T.Context(), "brief", nil)
		if e := rig.WantError(r.T, err, warren.CodeUnavailable, warren.ReasonNoRoute, warren.NotExecuted); e.Attempts != 0 {
			r.T.Errorf("error is %+v", e)
		}
	})
}
