package client_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// wantRefused demands that everything ends at once with the broker's reason, and that
// nothing of it is sent.
func wantRefused(r *rig.Rig, c *client.Client, says string) {
	r.T.Helper()
	for what, f := range map[string]func() error{
		"Ready": func() error { return c.Ready(r.T.Context()) },
		"Call": func() error {
			_, err := c.Call(r.T.Context(), "echo", nil, client.WaitForServer(), client.Idempotent())
			return err
		},
		"Notify": func() error { return c.Notify(r.T.Context(), "echo", nil) },
		"Ping": func() error {
			_, err := c.Ping(r.T.Context(), "echo")
			return err
		},
	} {
		began := time.Now()
		e := rig.WantError(r.T, f(), warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
		if took := time.Since(began); took > 0 || !strings.Contains(e.Message, says) || e.Attempts != 0 {
			r.T.Errorf("%s: %+v after %v; want %q at once", what, e, took, says)
		}
	}
}

func TestClientThatIsRefusedSaysSoAtOnce(t *testing.T) {
	declares := amqptest.When{Method: "queue.declare", Queue: "warren:*", Direction: amqptest.FromClient}
	for name, test := range map[string]struct {
		user string
		do   amqptest.Action
		says string
	}{
		"wrong password":                       {"guest:wrong", amqptest.Action{}, "ACCESS_REFUSED - Login was refused"},
		"reply queue not permitted":            {"guest:guest", amqptest.CloseChannel(403, "access to queue refused"), "access to queue refused"},
		"one queue too many":                   {"guest:guest", amqptest.CloseChannel(406, "queue limit in vhost '/' (0) is reached"), "queue limit"},
		"connection ends over the declaration": {"guest:guest", amqptest.CloseConnection(541, "such queues are off"), "such queues are off"},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("echo"), rig.Echo)
				if test.user == "guest:guest" {
					r.Broker.Inject(amqptest.Rule{When: declares, Do: test.do, Times: amqptest.Always})
				}
				log := &rig.Log{}
				c := r.Client(func(cfg *client.Config) {
					cfg.Logger = log.Logger()
					cfg.Broker.URLs[0] = strings.Replace(cfg.Broker.URLs[0], "guest:guest", test.user, 1)
				})
				// These wait already when it is found out.
				began := time.Now()
				ctx, cancel := context.WithTimeout(r.T.Context(), time.Hour)
				defer cancel()
				call := c.Go(ctx, "echo", nil, client.WaitForServer())
				notified := make(chan error, 1)
				go func() { notified <- c.Notify(ctx, "echo", nil) }()
				_, err := call.Result()
				for _, err := range []error{err, <-notified} {
					e := rig.WantError(r.T, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
					if !strings.Contains(e.Message, test.says) {
						r.T.Errorf("%v", &e)
					}
				}
				if took := time.Since(began); took > 5*time.Second {
					r.T.Errorf("it took %v", took)
				}
				wantRefused(r, c, test.says)
				time.Sleep(10 * time.Minute)
				wantRefused(r, c, test.says)
				if n := strings.Count(log.String(), "\n"); n > 60 {
					r.T.Errorf("%d lines are in the log of ten minutes:\n%s", n, log)
				}
			})
		})
	}
}

// The broker bounds the queues, and a reply queue is one.
func TestClientIsToldOfTheBrokersLimitOfQueues(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, amqptest.Options{Listen: "none", MaxQueues: 1})
		r.Serve(rig.Named("echo"), rig.Echo)
		err := r.Client().Ready(t.Context())
		e := rig.WantError(t, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
		if !strings.Contains(e.Message, "queue limit in vhost '/' (1) is reached") {
			t.Errorf("%v", &e)
		}
	})
}

// A channel that the broker closes is opened again: nothing is refused by that.
func TestClientWhoseConsumerIsClosedIsNotRefused(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Ready()
		for range 20 {
			r.Broker.Inject(amqptest.Rule{
				When: amqptest.When{Method: "basic.deliver", ConnName: "*client, consumes*"}, Do: amqptest.CloseChannel(406, "a timeout"),
			})
			mustCall(r, c, "echo", "x")
		}
	})
}

// Somebody mends it while the program runs.
func TestClientThatWasRefusedGoesOnWhenItIsPermitted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("echo"), rig.Echo)
		c := r.Client(func(cfg *client.Config) { cfg.Broker.URLs[0] = r.Broker.URLAs("shop", "p", "/") })
		e := rig.WantError(r.T, c.Ready(r.T.Context()), warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
		if !strings.Contains(e.Message, "Login was refused") {
			r.T.Errorf("%v", &e)
		}
		if err := r.Broker.AddUser("shop", amqptest.User{Password: "p"}); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		mustCall(r, c, "echo", "x")
	})
}
