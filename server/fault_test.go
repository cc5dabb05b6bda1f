package server_test

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/wire"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// replies are the publishes of replies.
var replies = amqptest.When{Method: "basic.publish", RoutingKey: "warren:*"}

func TestRequestIsHandledOnceAfterAnythingBeforeItsAcknowledgement(t *testing.T) {
	for name, fault := range map[string]amqptest.Rule{
		"the delivery is lost": {
			When: amqptest.When{Method: "basic.deliver", Queue: "echo"}, Do: amqptest.SeverBefore(),
		},
		"the consumer's connection is cut at work": {
			When: amqptest.When{Method: "basic.deliver", Queue: "echo"}, Do: amqptest.SeverAfter(),
		},
		"the acknowledgement is lost": {
			When: amqptest.When{Method: "basic.ack", ConnName: "*server, consumes*"}, Do: amqptest.SeverBefore(),
		},
		"the broker is restarted": {
			When: amqptest.When{Method: "basic.deliver", Queue: "echo"}, Do: amqptest.Restart(amqptest.KeepMessages, time.Second),
		},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var mu sync.Mutex
				var redelivered []bool
				s := r.Serve(rig.Named("echo"), func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
					mu.Lock()
					defer mu.Unlock()
					redelivered = append(redelivered, req.Redelivered)
					return &warren.Reply{Body: req.Body}, nil
				})
				c := r.Ready()
				reply, err := c.Call(r.T.Context(), "echo", []byte("x"))
				if err != nil || string(reply.Body) != "x" {
					r.T.Errorf("%v, %v", reply, err)
				}
				time.Sleep(20 * time.Second)
				if q := r.Queue("echo"); q.Ready+q.Unacked != 0 || q.Consumers != 1 || s.Stats().Reconnects == 0 {
					r.T.Errorf("%+v, %+v", q, s.Stats())
				}
				mu.Lock()
				defer mu.Unlock()
				// Begun before its connection was lost, it is not run again.
				if len(redelivered) != 1 || redelivered[0] && name == "the acknowledgement is lost" {
					r.T.Errorf("redelivered: %v", redelivered)
				}
			}, fault)
		})
	}
}

func TestExpiredRequestThatWasDeliveredBeforeIsOfUnknownOutcome(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p := r.Peer()
		meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Deadline: time.Now().Add(time.Second), Issued: time.Now()}
		deliveredBefore(r, p, "slow", amqp.Publishing{Type: meta.Encode(), ReplyTo: p.Queue, CorrelationId: "1"})
		time.Sleep(time.Second)
		r.Serve(rig.Named("slow"), rig.Echo)
		d := p.Next()
		if !strings.Contains(d.Type, "c=deadline_exceeded;r=expired;o=unknown") {
			r.T.Errorf("reply of type %q", d.Type)
		}
	})
}

func TestReplyIsPublishedAgainUntilItIsConfirmed(t *testing.T) {
	for name, fault := range map[string]amqptest.Action{
		"nacked":                amqptest.Nack(),
		"lost, before":          amqptest.SeverBefore(),
		"lost, after":           amqptest.SeverAfter(),
		"lost with the channel": amqptest.CloseChannel(541, "internal error"),
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				g := rig.NewGate()
				close(g.Release)
				s := r.Serve(rig.Named("gate"), g.Handle)
				reply, err := r.Client().Call(r.T.Context(), "gate", []byte("x"))
				if err != nil || string(reply.Body) != "x" {
					r.T.Errorf("%v, %v", reply, err)
				}
				time.Sleep(5 * time.Second)
				if st := s.Stats(); g.Runs.Load() != 1 || st.RepliesRetried != 2 || st.Undelivered+st.Unrouted != 0 || r.Queue("gate").Unacked != 0 {
					r.T.Errorf("%d runs, %+v", g.Runs.Load(), st)
				}
			}, amqptest.Rule{When: replies, Do: fault, Times: 2, Every: 1})
		})
	}
}

func TestRequestStaysUnacknowledgedUntilItsReplyIsConfirmed(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		if _, err := r.Client().Call(r.T.Context(), "echo", nil); err != nil {
			r.T.Error(err)
		}
		time.Sleep(29 * time.Second)
		if q := r.Queue("echo"); q.Unacked != 1 {
			r.T.Errorf("%+v", q)
		}
		// A channel that does not confirm is given up, and with it a reply whose caller is gone.
		time.Sleep(5 * time.Second)
		if q, st := r.Queue("echo"), s.Stats(); q.Unacked+q.Ready != 0 || st.Undelivered != 1 {
			r.T.Errorf("%+v, %+v", q, st)
		}
	}, amqptest.Rule{When: replies, Do: amqptest.NeverConfirm()})
}

// What a broker does not confirm must not keep its places in the prefetch.
func TestServerGoesOnAfterRepliesThatAreNeverConfirmed(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(server.Method{Name: "echo", Concurrency: 2, Prefetch: 4}, rig.Echo)
		p := r.Peer()
		for range 4 {
			p.Publish("echo", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "lost"})
		}
		time.Sleep(2 * time.Minute)
		p.Publish("echo", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "served"})
		for p.Next().CorrelationId != "served" {
		}
	}, amqptest.Rule{When: amqptest.When{Method: "basic.publish", ConnName: "*server*"}, Every: 1, Times: 4, Do: amqptest.Drop()})
}

// While publishers are blocked nothing is confirmed, and nothing is wrong with the channel.
func TestBlockedServerKeepsItsChannel(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.Serve(rig.Named("echo"), rig.Echo)
		p := r.Peer()
		p.Publish("echo", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "1"})
		p.Next()
		r.Broker.Inject(amqptest.Rule{
			When: amqptest.When{Method: "basic.deliver", Queue: "echo"}, Do: amqptest.Block(3 * time.Minute),
		})
		p.Publish("echo", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "2"})
		time.Sleep(3 * time.Minute)
		if d := p.Next(); d.CorrelationId != "2" {
			r.T.Errorf("reply to %q", d.CorrelationId)
		}
		time.Sleep(time.Minute)
		if st := s.Stats(); st.RepliesRetried+st.Undelivered != 0 {
			r.T.Errorf("%+v", st)
		}
	})
}

// Requests whose replies are refused must not keep their places in the prefetch
// for ever.
func TestReplyThatTheBrokerDoesNotTakeIsGivenUp(t *testing.T) {
	for name, test := range map[string]struct {
		deadline time.Duration // 0: none
		given    time.Duration // when it is given up, at most
	}{
		"after half a minute":     {0, 33 * time.Second},
		"once the caller is gone": {5 * time.Second, 8 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				var log rig.Log
				s := r.NewServer(func(cfg *server.Config) { cfg.Logger = log.Logger() })
				if err := s.HandleRaw(server.Method{Name: "echo", Concurrency: 2, Prefetch: 2}, rig.Echo); err != nil {
					r.T.Fatal(err)
				}
				r.Start(s)
				p := r.Peer()
				p.Declare("full", amqp.Table{"x-max-length": int32(0), "x-overflow": "reject-publish"})
				meta := wire.Meta{Kind: wire.KindCall, Attempt: 1, Issued: time.Now()}
				if test.deadline > 0 {
					meta.Deadline = time.Now().Add(test.deadline)
				}
				for i := range 2 {
					p.Publish("echo", amqp.Publishing{Type: meta.Encode(), ReplyTo: "full", CorrelationId: fmt.Sprint(i)})
				}
				synctest.Wait()
				// It has to wait for a place.
				began := time.Now()
				reply, err := r.Client().Call(r.T.Context(), "echo", []byte("x"), client.WithTimeout(time.Minute))
				if took := time.Since(began); err != nil || !bytes.Equal(reply.Body, []byte("x")) || took > test.given || took < test.given/2 {
					r.T.Errorf("%v, %v after %v", reply, err, took)
				}
				time.Sleep(5 * time.Second)
				if st := s.Stats(); st.Undelivered != 2 || st.RepliesRetried < 4 || strings.Count(log.String(), "a reply was given up") != 2 {
					r.T.Errorf("%+v", st)
				}
			})
		})
	}
}

func TestRepliesWaitWhileTheBrokerBlocks(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(rig.Named("gate"), g.Handle)
		c := r.Client()
		var calls []*client.Future
		for range 5 {
			calls = append(calls, c.Go(r.T.Context(), "gate", nil, client.WithTimeout(time.Minute)))
		}
		synctest.Wait()
		r.Broker.Block("")
		close(g.Release)
		time.Sleep(30 * time.Second)
		if st := c.Stats(); st.Replies != 0 || st.Pending != 5 {
			r.T.Errorf("%+v", st)
		}
		r.Broker.Unblock()
		for _, call := range calls {
			if _, err := call.Result(); err != nil {
				r.T.Error(err)
			}
		}
		if st := s.Stats(); st.RepliesRetried != 0 || st.Reconnects != 0 || g.Runs.Load() != 5 {
			r.T.Errorf("%+v", st)
		}
	})
}

func TestMethodIsServedAgainAfterItsConsumerWasCancelled(t *testing.T) {
	for name, cancel := range map[string]func(r *rig.Rig){
		"with its queue":      func(r *rig.Rig) { _ = r.Broker.DeleteQueue("/", "echo") },
		"without":             func(r *rig.Rig) { r.Broker.CancelConsumers("/", "echo") },
		"with all it had":     func(r *rig.Rig) { r.Broker.Restart(amqptest.LoseAll) },
		"with its connection": func(r *rig.Rig) { r.Broker.CloseConnections("maintenance") },
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("echo"), rig.Echo)
				c := r.Ready()
				cancel(r)
				time.Sleep(time.Second)
				if _, err := c.Call(r.T.Context(), "echo", nil); err != nil {
					r.T.Error(err)
				}
				if q := r.Queue("echo"); q.Consumers != 1 {
					r.T.Errorf("%+v", q)
				}
			})
		})
	}
}

func TestHandlerAtWorkAnswersThoughItsConsumerWasCancelled(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		g := rig.NewGate()
		s := r.Serve(server.Method{Name: "gate", Concurrency: 2}, g.Handle)
		c := r.Client()
		call := c.Go(r.T.Context(), "gate", []byte("x"))
		<-g.Entered
		r.Broker.CancelConsumers("/", "gate")
		later := c.Go(r.T.Context(), "gate", []byte("y"))
		<-g.Entered
		close(g.Release)
		for body, call := range map[string]*client.Future{"x": call, "y": later} {
			if reply, err := call.Result(); err != nil || string(reply.Body) != body {
				r.T.Errorf("%v, %v", reply, err)
			}
		}
		synctest.Wait()
		if q := r.Queue("gate"); g.Runs.Load() != 2 || q.Unacked+q.Ready != 0 || s.Stats().Reconnects != 0 {
			r.T.Errorf("%d runs; %+v", g.Runs.Load(), q)
		}
	})
}

func TestRepliesAreWrittenToDiskIfAskedFor(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		for _, persistent := range []bool{false, true} {
			s := r.NewServer(func(cfg *server.Config) { cfg.PersistentReplies = persistent })
			name := fmt.Sprintf("echo.%v", persistent)
			if err := s.HandleRaw(rig.Named(name), rig.Echo); err != nil {
				r.T.Fatal(err)
			}
			r.Start(s)
			if _, err := r.Client().Call(r.T.Context(), name, nil); err != nil {
				r.T.Error(err)
			}
		}
		var modes []uint8
		for _, ev := range r.Broker.Events(replies) {
			modes = append(modes, ev.Message.DeliveryMode)
		}
		if !slices.Equal(modes, []uint8{0, amqp.Persistent}) { // 0: none, which brokers take for transient
			r.T.Errorf("delivery modes %v", modes)
		}
	})
}
