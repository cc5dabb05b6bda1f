package e2e

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/lifecycle"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestStopDrainsWhatIsAtWorkAndGivesBackTheRest(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	s := newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "gate", Concurrency: 2, Prefetch: 10}, g.Handle)
	})
	c := newClient(t, url)
	var futures []*client.Future
	for i := range 6 {
		futures = append(futures, c.Go(testContext(t), "gate", fmt.Append(nil, i)))
	}
	<-g.Entered
	<-g.Entered
	stopped := make(chan error, 1)
	go func() { stopped <- s.Stop(testContext(t)) }()
	other := rig.NewGate()
	close(other.Release)
	newServer(t, url, serveGate(other, "gate"))
	close(g.Release)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	for i, f := range futures {
		reply, err := f.Result()
		if err != nil || string(reply.Body) != fmt.Sprint(i) {
			t.Fatalf("call %d: %v, %v", i, reply, err)
		}
	}
	if g.Runs.Load() != 2 || other.Runs.Load() != 4 {
		t.Errorf("the stopped server ran %d and the other %d", g.Runs.Load(), other.Runs.Load())
	}
}

func TestStopCancelsHandlersThatDoNotEndAndGivesTheirRequestsBack(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	s := newServer(t, url, serveGate(g, "gate"))
	c := newClient(t, url)
	call := c.Go(testContext(t), "gate", []byte("x"))
	<-g.Entered
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := s.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatalf("Stop: %v", err)
	}
	other := rig.NewGate()
	close(other.Release)
	newServer(t, url, serveGate(other, "gate"))
	if reply, err := call.Result(); err != nil || string(reply.Body) != "x" {
		t.Fatalf("%v, %v", reply, err)
	}
}

func TestServerKeepsTheStartStopContract(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	lifecycle.Stress(t, patience.Soon, func() lifecycle.Service {
		s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: rig.Logger(t)})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.HandleRaw(server.Method{Name: "echo"}, rig.Echo); err != nil {
			t.Fatal(err)
		}
		return s
	})
}

func TestDeadlineTravelsAndShrinksFromHopToHop(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	c := newClient(t, url)
	deadlines := make(chan time.Time, 2)
	newServer(t, url, func(s *server.Server) error {
		outer := func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			d, _ := ctx.Deadline()
			deadlines <- d
			return c.Call(ctx, "inner", req.Body)
		}
		inner := func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			d, ok := ctx.Deadline()
			if !ok || !d.Equal(req.Deadline) {
				t.Errorf("deadline of the context %v, of the request %v", d, req.Deadline)
			}
			deadlines <- d
			return &warren.Reply{Body: req.Body}, nil
		}
		return errors.Join(s.HandleRaw(server.Method{Name: "outer"}, outer), s.HandleRaw(server.Method{Name: "inner"}, inner))
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
	defer cancel()
	own, _ := ctx.Deadline()
	// The context's deadline counts, whether the client's default is shorter or
	// the call's own bound is longer.
	if _, err := c.Call(ctx, "outer", []byte("x"), client.WithTimeout(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if first, second := <-deadlines, <-deadlines; !first.Equal(second) || !first.Equal(own.Truncate(time.Millisecond)) {
		t.Errorf("caller %v, first hop %v, second hop %v", own, first, second)
	}
	if _, err := c.Call(ctx, "outer", []byte("x")); err != nil {
		t.Fatal(err)
	}
	first, second := <-deadlines, <-deadlines
	if first.After(own) || own.Sub(first) > time.Millisecond || second.After(first) {
		t.Errorf("caller %v, first hop %v, second hop %v", own, first, second)
	}
}

func TestQueueWithOtherArgumentsIsUsedAsItIsWithOneWarning(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	plain := newPlainPeer(t, url)
	if _, err := plain.Channel.QueueDeclare("echo", false, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	var log rig.Log
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, Logger: log.Logger()})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.HandleRaw(server.Method{Name: "echo"}, rig.Echo); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	defer rig.Stop(t, s)
	if _, err := newClient(t, url).Call(testContext(t), "echo", nil); err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(log.String(), "other arguments"); n != 1 || !strings.Contains(log.String(), "inequivalent arg") {
		t.Errorf("the log is %s", log.String())
	}
}

func TestExistingQueueThatIsNotThereFailsTheStart(t *testing.T) {
	t.Parallel()
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{rabbit.VHost(t)}}, Logger: rig.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.HandleRaw(server.Method{Name: "echo", Queue: server.Queue{Type: server.Existing}}, rig.Echo); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err == nil || !strings.Contains(err.Error(), "echo") {
		t.Fatalf("Start: %v", err)
	}
}

func TestHostileMessagesNeitherReachHandlersNorStopTheServer(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	var handled sync.Map
	s := newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "echo"}, func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			handled.Store(string(req.Body), true)
			return rig.Echo(ctx, req)
		})
	})
	p := newPlainPeer(t, url)
	deep := amqp.Table{"a": amqp.Table{"b": amqp.Table{"c": amqp.Table{"d": "e"}}}}
	many := amqp.Table{}
	for i := range 65 {
		many[fmt.Sprint(i)] = "x"
	}
	refused := map[string]amqp.Publishing{
		"version":    {Type: "warren/2;k=call"},
		"metadata":   {Type: "warren/1;k=call;d=yesterday"},
		"twice":      {Type: "warren/1;k=call;k=call"},
		"deep":       {Headers: deep},
		"many":       {Headers: many},
		"long":       {Headers: amqp.Table{"k": strings.Repeat("x", 17<<10)}},
		"unreadable": {CorrelationId: "a\x01b"},
		"too long":   {CorrelationId: strings.Repeat("x", 129)},
	}
	for name, msg := range refused {
		msg.ReplyTo, msg.Body = p.Queue, []byte(name)
		p.Publish("echo", msg)
		d := p.Next()
		if !strings.HasPrefix(d.Type, "warren/1;k=reply;") || !strings.Contains(d.Type, ";c=invalid_argument;r=bad_request;o=not_executed") {
			t.Errorf("%s: reply of type %q: %s", name, d.Type, d.Body)
		}
	}
	// These are dropped: replies and control messages are no requests, and an
	// answer to a method's own queue would go round for ever.
	dropped := []amqp.Publishing{
		{Type: "warren/1;k=reply", ReplyTo: p.Queue},
		{Type: "warren/1;k=resolve", ReplyTo: p.Queue},
		{Type: "warren/1;k=cancel", ReplyTo: p.Queue},
		{ReplyTo: "echo", CorrelationId: "loop"},
	}
	for _, msg := range dropped {
		msg.Body = []byte("dropped")
		p.Publish("echo", msg)
	}
	p.Publish("echo", amqp.Publishing{ReplyTo: p.Queue, CorrelationId: "1", Body: []byte("good")})
	if d := p.Next(); string(d.Body) != "good" || d.CorrelationId != "1" || d.Type != "warren/1;k=reply;n=1" {
		t.Errorf("reply %+v", d)
	}
	p.Publish("echo", amqp.Publishing{Body: []byte("nobody waits")})
	p.Publish("echo", amqp.Publishing{Body: []byte("gone"), ReplyTo: "no.such.queue", CorrelationId: "x"})
	patience.Eventually(t, "all are dealt with", func() bool {
		st := s.Stats()
		return st.Dropped == uint64(len(dropped)) && st.Rejected == uint64(len(refused)) && st.Handled == 3 && st.Unrouted == 1
	})
	handled.Range(func(body, _ any) bool {
		if b, _ := body.(string); b != "good" && b != "nobody waits" && b != "gone" {
			t.Errorf("a handler saw %q", b)
		}
		return true
	})
	if n := s.Stats().Reconnects; n != 0 {
		t.Errorf("hostile messages cost %d connections", n)
	}
}

func TestForeignAndDoubleRepliesAreDropped(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	p := newPlainPeer(t, url)
	if _, err := p.Channel.QueueDeclare("twice", false, true, false, false, nil); err != nil {
		t.Fatal(err)
	}
	requests, err := p.Channel.Consume("twice", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, url)
	call := c.Go(testContext(t), "twice", []byte("x"))
	req := <-requests
	p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: "somebody-else", Body: []byte("foreign")})
	p.Publish(req.ReplyTo, amqp.Publishing{Body: []byte("no ID")})
	p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: req.CorrelationId, Body: []byte("first")})
	p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: req.CorrelationId, Body: []byte("second")})
	reply, err := call.Result()
	if err != nil || string(reply.Body) != "first" || !reply.Plain {
		t.Fatalf("%+v, %v", reply, err)
	}
	patience.Eventually(t, "three replies are dropped", func() bool { return c.Stats().LateReplies == 3 })

	call = c.Go(testContext(t), "twice", []byte("x"))
	req = <-requests
	p.Publish(req.ReplyTo, amqp.Publishing{CorrelationId: req.CorrelationId, Type: "warren/9;k=reply"})
	_, err = call.Result()
	rig.WantError(t, err, warren.CodeInternal, warren.ReasonBadReply, warren.Unknown)
}

func plainRequest(replyTo string) amqp.Publishing {
	return amqp.Publishing{ReplyTo: replyTo, CorrelationId: "1", Body: []byte("x")}
}
