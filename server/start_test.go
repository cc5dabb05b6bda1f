package server_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

func TestServerKeepsTheStartStopContract(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		lifecycle.Stress(r.T, patience.Soon, func() lifecycle.Service {
			s := r.NewServer()
			if err := s.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
				r.T.Fatal(err)
			}
			return s
		})
		synctest.Wait() // the broker sees the ends of connections a moment later
		if n := len(r.Broker.Connections()); n != 0 {
			r.T.Errorf("%d connections are left", n)
		}
	})
}

func TestServerIsNotStartedWithoutMethodsNorGivenSomeLater(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		if err := s.Start(r.T.Context()); err == nil || !strings.Contains(err.Error(), "no methods") {
			r.T.Errorf("Start: %v", err)
		}
		if err := s.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		if err := s.HandleRaw(rig.Named("late"), rig.Echo); err == nil || !strings.Contains(err.Error(), "late") {
			r.T.Errorf("HandleRaw: %v", err)
		}
	})
}

func TestQueuesAreDeclaredAsTheirMethodsSay(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p := r.Peer()
		if _, err := p.Channel.QueueDeclare("theirs", false, false, false, false, amqp.Table{"x-max-length": int32(5)}); err != nil {
			r.T.Fatal(err)
		}
		s := r.NewServer()
		for name, queue := range map[string]server.Queue{
			"default":   {},
			"brief":     {Expires: time.Minute},
			"classic":   {Type: server.Classic},
			"transient": {Type: server.Classic, Transient: true, Expires: time.Hour},
			"theirs":    {Type: server.Existing},
		} {
			if err := s.HandleRaw(server.Method{Name: name, Queue: queue}, rig.Echo); err != nil {
				r.T.Fatal(err)
			}
		}
		r.Start(s)
		for name, want := range map[string]amqptest.Queue{
			"default":   {Type: "quorum", Durable: true},
			"brief":     {Type: "quorum", Durable: true, Arguments: map[string]any{"x-expires": int64(60_000)}},
			"classic":   {Type: "classic", Durable: true},
			"transient": {Type: "classic", Arguments: map[string]any{"x-expires": int64(3_600_000)}},
			"theirs":    {Type: "classic", Arguments: map[string]any{"x-max-length": int32(5)}},
		} {
			q := r.Queue(name)
			if q.Type != want.Type || q.Durable != want.Durable || q.Exclusive || q.AutoDelete || q.Consumers != 1 {
				r.T.Errorf("%s: %+v", name, q)
			}
			delete(q.Arguments, "x-queue-type")
			for key, value := range want.Arguments {
				if q.Arguments[key] != value {
					r.T.Errorf("%s: %s is %v; want %v", name, key, q.Arguments[key], value)
				}
			}
			if len(q.Arguments) != len(want.Arguments) {
				r.T.Errorf("%s: arguments are %v", name, q.Arguments)
			}
		}
	})
}

func TestQueueWithOtherArgumentsIsUsedAsItIsWithOneWarning(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		if _, err := r.Peer().Channel.QueueDeclare("echo", true, false, false, false, nil); err != nil {
			r.T.Fatal(err)
		}
		var log rig.Log
		s := r.NewServer(func(cfg *server.Config) { cfg.Logger = log.Logger() })
		if err := s.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		r.Broker.Sever() // it is declared again
		time.Sleep(time.Minute)
		if _, err := r.Client().Call(r.T.Context(), "echo", nil); err != nil {
			r.T.Error(err)
		}
		if n := strings.Count(log.String(), "other arguments"); n != 1 || !strings.Contains(log.String(), "x-queue-type") {
			r.T.Errorf("the log is %s", log.String())
		}
	})
}

func TestStartFailsAtOnceIfWaitingCannotHelp(t *testing.T) {
	for name, test := range map[string]struct {
		queue server.Queue
		url   func(b *amqptest.Broker) string
		says  string
	}{
		"no such queue":   {server.Queue{Type: server.Existing}, (*amqptest.Broker).URL, "method echo cannot be served: look up queue echo: "},
		"no such user":    {server.Queue{}, func(b *amqptest.Broker) string { return b.URLAs("nobody", "s3cret", "/") }, "403"},
		"wrong password":  {server.Queue{}, func(b *amqptest.Broker) string { return b.URLAs("guest", "s3cret", "/") }, "403"},
		"no virtual host": {server.Queue{}, func(b *amqptest.Broker) string { return b.URLAs("guest", "guest", "nowhere") }, "530"},
		"may not declare": {server.Queue{}, func(b *amqptest.Broker) string { return b.URLAs("reader", "s3cret", "/") }, "method echo cannot be served: declare queue echo: "},
		"may not consume": {server.Queue{}, func(b *amqptest.Broker) string { return b.URLAs("writer", "s3cret", "/") }, "method echo cannot be served: consume echo: "},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				for user, rights := range map[string]amqptest.User{
					"reader": {Password: "s3cret", Read: ".*", Write: ".*"},
					"writer": {Password: "s3cret", Configure: ".*", Write: ".*"},
				} {
					if err := r.Broker.AddUser(user, rights); err != nil {
						r.T.Fatal(err)
					}
				}
				s := r.NewServer(func(cfg *server.Config) { cfg.Broker.URLs[0] = test.url(r.Broker) })
				if err := s.HandleRaw(server.Method{Name: "echo", Queue: test.queue}, rig.Echo); err != nil {
					r.T.Fatal(err)
				}
				began := time.Now()
				err := s.Start(r.T.Context())
				if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "s3cret") {
					r.T.Errorf("Start: %v", err)
				}
				rig.Took(r.T, began, 0)
				// After a failure the server is stopped.
				if err := s.Start(r.T.Context()); !errors.Is(err, lifecycle.ErrStopped) {
					r.T.Errorf("Start: %v", err)
				}
				synctest.Wait()
				if n := len(r.Broker.Connections()); n != 0 {
					r.T.Errorf("%d connections are left", n)
				}
			})
		})
	}
}

func TestStartWaitsForTheBrokerUntilItsContextEnds(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Broker.Stop()
		late := r.NewServer()
		if err := late.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(r.T.Context(), 30*time.Second)
		defer cancel()
		began := time.Now()
		err := late.Start(ctx)
		if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "the broker is down") {
			r.T.Errorf("Start: %v", err)
		}
		rig.Took(r.T, began, 30*time.Second)
		time.AfterFunc(time.Minute, r.Broker.Resume)
		r.Serve(rig.Named("echo"), rig.Echo)
		if took := time.Since(began); took < 90*time.Second || took > 93*time.Second {
			r.T.Errorf("started after %v", took)
		}
	})
}

func TestQueueThatSomebodyElseUsesAloneIsWaitedFor(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p := r.Peer()
		if _, err := p.Channel.QueueDeclare("echo", true, false, false, false, nil); err != nil {
			r.T.Fatal(err)
		}
		if _, err := p.Channel.Consume("echo", "alone", true, true, false, false, nil); err != nil {
			r.T.Fatal(err)
		}
		time.AfterFunc(20*time.Second, func() { _ = p.Channel.Close() })
		began := time.Now()
		r.Serve(server.Method{Name: "echo", Queue: server.Queue{Type: server.Classic}}, rig.Echo)
		if took := time.Since(began); took < 20*time.Second || took > 22*time.Second {
			r.T.Errorf("started after %v", took)
		}
	})
}
