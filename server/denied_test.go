package server_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// denials are how RabbitMQ refuses a queue, and what it says then.
var denials = map[string]struct {
	do   amqptest.Action
	says string
}{
	"may not be declared": {amqptest.CloseChannel(403, "access to queue 'denied' in vhost '/' refused for user 'guest'"), "access to queue 'denied'"},
	"is one too many":     {amqptest.CloseChannel(406, "cannot declare queue 'denied': queue limit in vhost '/' (1) is reached"), "queue limit in vhost"},
	"is of a kind that is off": {
		amqptest.CloseConnection(541, "feature `transient_nonexcl_queues` is deprecated"), "transient_nonexcl_queues",
	},
	"takes one channel too many": {
		amqptest.CloseConnection(530, "number of channels opened for user 'guest' has reached the maximum allowed limit of (4)"), "number of channels",
	},
}

var declaresDenied = amqptest.When{Method: "queue.declare", Queue: "denied", Direction: amqptest.FromClient}

// twoMethods returns a server of one method that is denied and one that is not.
func twoMethods(r *rig.Rig, log *rig.Log) *server.Server {
	r.T.Helper()
	s := r.NewServer(func(cfg *server.Config) { cfg.Logger = log.Logger() })
	for _, name := range []string{"good", "denied"} {
		// Classic, so that the broker is not asked first whether the queue is there.
		if err := s.HandleRaw(server.Method{Name: name, Queue: server.Queue{Type: server.Classic}}, rig.Echo); err != nil {
			r.T.Fatal(err)
		}
	}
	return s
}

func TestMethodThatIsDeniedFailsTheStartWithTheBrokersReason(t *testing.T) {
	for name, test := range denials {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				ctx, cancel := context.WithTimeout(r.T.Context(), time.Hour)
				defer cancel()
				began := time.Now()
				err := twoMethods(r, &rig.Log{}).Start(ctx)
				if took := time.Since(began); err == nil || took > 5*time.Second ||
					!strings.Contains(err.Error(), "method denied") || !strings.Contains(err.Error(), test.says) {
					r.T.Errorf("Start: %v after %v; want %q at once", err, took, test.says)
				}
			}, amqptest.Rule{When: declaresDenied, Do: test.do, Times: amqptest.Always})
		})
	}
}

// A transient queue where those are off ends the connection that declares it.
func TestTransientQueueThatIsDeniedFailsTheStart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := rig.New(t, amqptest.Options{Listen: "none", DenyTransient: true})
		s := r.NewServer()
		for name, queue := range map[string]server.Queue{"good": {}, "brief": {Type: server.Classic, Transient: true}} {
			if err := s.HandleRaw(server.Method{Name: name, Queue: queue}, rig.Echo); err != nil {
				t.Fatal(err)
			}
		}
		err := s.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), "method brief") || !strings.Contains(err.Error(), "transient_nonexcl_queues") {
			t.Errorf("Start: %v", err)
		}
	})
}

// Each method takes a channel, and brokers bound those of a connection.
func TestMoreMethodsThanChannelsFailTheStart(t *testing.T) {
	t.Parallel()
	for methods, fails := range map[int]bool{3: false, 5: true} {
		synctest.Test(t, func(t *testing.T) {
			r := rig.New(t, amqptest.Options{Listen: "none", ChannelMax: 4})
			s := r.NewServer()
			for i := range methods {
				if err := s.HandleRaw(rig.Named(fmt.Sprint("m", i)), rig.Echo); err != nil {
					t.Fatal(err)
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
			defer cancel()
			began := time.Now()
			err := s.Start(ctx)
			switch {
			case !fails && err != nil:
				t.Errorf("%d methods: %v", methods, err)
			case fails && (err == nil || !strings.Contains(err.Error(), "channel_max") || time.Since(began) > 30*time.Second):
				t.Errorf("%d methods: %v after %v", methods, err, time.Since(began))
			}
			if err := s.Stop(ctx); err != nil {
				t.Error(err)
			}
		})
	}
}

// What is denied to a server that runs is left out, and reported. It costs the others
// one connection at most, and is served again when it is permitted.
func TestMethodThatIsDeniedWhileOthersAreServedIsLeftOut(t *testing.T) {
	for name, test := range denials {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				log := &rig.Log{}
				s := r.Start(twoMethods(r, log))
				if unserved := s.Unserved(); len(unserved) > 0 {
					r.T.Errorf("of a server that has started: %v", unserved)
				}
				c := r.Ready()
				rule := r.Broker.Inject(amqptest.Rule{When: declaresDenied, Do: test.do, Times: amqptest.Always})
				if err := r.Broker.DeleteQueue("/", "denied"); err != nil {
					r.T.Fatal(err)
				}
				time.Sleep(10 * time.Second) // the connection may end once
				before := s.Stats().Reconnects
				for range 600 {
					time.Sleep(time.Second)
					if reply, err := c.Call(r.T.Context(), "good", []byte("x"), client.WithTimeout(time.Second)); err != nil || string(reply.Body) != "x" {
						r.T.Fatalf("what is not denied: %+v, %v", reply, err)
					}
				}
				if n := s.Stats().Reconnects; n != before || n > 1 {
					r.T.Errorf("%d reconnects, %d of them in the last ten minutes", n, n-before)
				}
				unserved := s.Unserved()
				if len(unserved) != 1 || !strings.Contains(unserved["denied"].Error(), test.says) {
					r.T.Errorf("not served: %v", unserved)
				}
				if n := strings.Count(log.String(), "\n"); n > 30 || !strings.Contains(log.String(), test.says) {
					r.T.Errorf("%d lines are in the log of eleven minutes:\n%s", n, log)
				}
				rule.Remove()
				time.Sleep(time.Minute)
				if reply, err := c.Call(r.T.Context(), "denied", []byte("x")); err != nil || string(reply.Body) != "x" || len(s.Unserved()) > 0 {
					r.T.Errorf("once it is permitted: %+v, %v; not served: %v", reply, err, s.Unserved())
				}
			})
		})
	}
}
