package client_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestCloseEndsEveryCallInFlightOnce(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		r.Serve(rig.Named("gate"), g.Handle)
		c := r.Ready()
		call := c.Go(r.T.Context(), "gate", nil, client.WithCallID("k"))
		joined := c.Go(r.T.Context(), "gate", nil, client.WithCallID("k"))
		<-g.Entered
		r.Broker.Inject(amqptest.Rule{When: publishesTo("gate"), Do: amqptest.NeverConfirm()})
		notified := make(chan error, 1)
		go func() { notified <- c.Notify(context.Background(), "gate", nil) }()
		<-g.Entered
		synctest.Wait()
		began := time.Now()
		if err := c.Close(); err != nil {
			r.T.Error(err)
		}
		// Of the notification, which is not confirmed, it waits to hear for a while.
		if took := time.Since(began); took > 3*time.Second {
			r.T.Errorf("it took %v", took)
		}
		for _, f := range []*client.Future{call, joined} {
			_, err := f.Result()
			if e := rig.WantError(r.T, err, warren.CodeCanceled, warren.ReasonClientClosed, warren.Unknown); e.Attempts != 1 {
				r.T.Errorf("error is %+v", e)
			}
		}
		rig.WantError(r.T, <-notified, warren.CodeCanceled, warren.ReasonClientClosed, warren.Unknown)
		if st := c.Stats(); st.Pending != 0 || st.PendingBytes != 0 {
			r.T.Errorf("%+v", st)
		}
		close(g.Release)
	})
}

func TestClosedClientRefusesEverything(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		for range 2 {
			if err := c.Close(); err != nil {
				r.T.Error(err)
			}
		}
		_, asked := c.Call(r.T.Context(), "echo", nil)
		_, waited := c.Call(r.T.Context(), "echo", nil, client.WaitForServer())
		_, pinged := c.Ping(r.T.Context(), "echo")
		for name, err := range map[string]error{
			"call": asked, "call that waits": waited, "ping": pinged, "ready": c.Ready(r.T.Context()),
			"notification": c.Notify(r.T.Context(), "echo", nil),
		} {
			e, _ := warren.AsError(err)
			if e == nil || e.Code != warren.CodeCanceled || e.Reason != warren.ReasonClientClosed || e.Outcome != warren.NotExecuted {
				r.T.Errorf("%s: %v", name, err)
			}
		}
		synctest.Wait()
		if s.Stats().Requests != 0 {
			r.T.Error("a closed client has made a call")
		}
	})
}

func TestCloseWithoutAConnectionEndsCallsAsNotExecuted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Broker.Stop()
		c := r.Client()
		asking, waiting := c.Go(r.T.Context(), "echo", nil), c.Go(r.T.Context(), "echo", nil, client.WaitForServer())
		pinged := make(chan error, 1)
		go func() {
			_, err := c.Ping(context.Background(), "echo")
			pinged <- err
		}()
		ready := make(chan error, 1)
		go func() { ready <- c.Ready(context.Background()) }()
		synctest.Wait()
		began := time.Now()
		if err := c.Close(); err != nil {
			r.T.Error(err)
		}
		for _, call := range []*client.Future{asking, waiting} {
			_, err := call.Result()
			rig.WantError(r.T, err, warren.CodeCanceled, warren.ReasonClientClosed, warren.NotExecuted)
		}
		rig.WantError(r.T, <-pinged, warren.CodeCanceled, warren.ReasonClientClosed, warren.NotExecuted)
		rig.WantError(r.T, <-ready, warren.CodeCanceled, warren.ReasonClientClosed, warren.NotExecuted)
		rig.Took(r.T, began, 0)
	})
}

func TestCloseIsBoundedWhateverTheBrokerDoes(t *testing.T) {
	for name, fault := range map[string]amqptest.Rule{
		"it reads nothing":        {When: amqptest.When{Method: "basic.consume"}, Do: amqptest.StallReading(0)},
		"it deletes no queue":     {When: amqptest.When{Method: "queue.delete"}, Do: amqptest.Drop()},
		"it closes no channel":    {When: amqptest.When{Method: "channel.close", ConnName: "*consumes*"}, Do: amqptest.Drop(), Every: 1},
		"it closes no connection": {When: amqptest.When{Method: "connection.close"}, Do: amqptest.Drop(), Every: 1},
		"it confirms no channel":  {When: amqptest.When{Method: "confirm.select"}, Do: amqptest.Drop()},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				c := r.Client()
				synctest.Wait()
				began := time.Now()
				if err := c.Close(); err != nil {
					r.T.Error(err)
				}
				if took := time.Since(began); took > 5*time.Second {
					r.T.Errorf("it took %v", took)
				}
			}, fault)
		})
	}
}
