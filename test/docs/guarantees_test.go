package docs

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// What docs/guarantees.md promises, and the tests of test/e2e and test/interop
// do not show.

func serveEcho(t *testing.T, url, name string) {
	t.Helper()
	serve(t, server.Config{Broker: brokerAt(url)}, name, echo)
}

func echo(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	return &warren.Reply{Body: req.Body}, nil
}

// faults makes connections that can be made deaf (nothing more is read), mute
// (what is written goes nowhere), and cut. Those made later have no fault.
type faults struct {
	swallowed chan []byte // what was written to connections that are mute

	mu    sync.Mutex
	conns []*faultyConn
}

func newFaults() *faults { return &faults{swallowed: make(chan []byte, 100)} }

type faultyConn struct {
	net.Conn

	deaf, mute atomic.Bool
	swallowed  chan<- []byte
	closed     chan struct{}
	once       sync.Once
}

func (f *faults) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	c := &faultyConn{Conn: conn, swallowed: f.swallowed, closed: make(chan struct{})}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.conns = append(f.conns, c)
	return c, nil
}

func (f *faults) each(do func(c *faultyConn)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, c := range f.conns {
		do(c)
	}
}

func (f *faults) deafen()  { f.each(func(c *faultyConn) { c.deaf.Store(true) }) }
func (f *faults) silence() { f.each(func(c *faultyConn) { c.mute.Store(true) }) }
func (f *faults) cut()     { f.each(func(c *faultyConn) { _ = c.Close() }) }

func (c *faultyConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if err == nil && c.deaf.Load() {
		<-c.closed
		return 0, net.ErrClosed
	}
	return n, err
}

func (c *faultyConn) Write(p []byte) (int, error) {
	if c.mute.Load() {
		c.swallowed <- bytes.Clone(p)
		return len(p), nil
	}
	return c.Conn.Write(p)
}

func (c *faultyConn) Close() error {
	c.once.Do(func() { close(c.closed) })
	return c.Conn.Close()
}

// The broker has the request and has said so, but the connection ends before the
// client hears it.
func TestCallWhosePublishWasNotConfirmedIsSentAgainOnlyIfIdempotent(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		opts     []client.CallOption
		attempts int
	}{
		"idempotent": {[]client.CallOption{client.Idempotent()}, 2},
		"once":       {nil, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := rabbit.VHost(t)
			entered, release := make(chan int, 10), make(chan struct{})
			serve(t, server.Config{Broker: brokerAt(url)}, "gate", func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
				if string(req.Body) == "x" {
					entered <- req.Attempt
					<-release
				}
				return &warren.Reply{Body: req.Body}, nil
			})
			f := newFaults()
			broker := brokerAt(url)
			broker.Dial = f.dial
			caller := newClient(t, client.Config{Broker: broker})
			if _, err := caller.Call(withPatience(t), "gate", nil); err != nil { // it knows of the server now
				t.Fatal(err)
			}
			f.deafen()
			call := caller.Go(withPatience(t), "gate", []byte("x"), c.opts...)
			for attempt := 1; attempt <= c.attempts; attempt++ {
				if n := receive(t, entered); n != attempt {
					t.Errorf("attempt %d was handled as number %d", n, attempt)
				}
				if attempt == 1 {
					f.cut()
				}
			}
			patience.Eventually(t, "the client has reconnected", func() bool { return caller.Stats().Reconnects >= 2 })
			close(release)
			reply, err := call.Result()
			if err != nil || string(reply.Body) != "x" || reply.Attempts != c.attempts {
				t.Errorf("%+v, %v", reply, err)
			}
			// One more if the confirm of the first call came too late to be heard.
			if lost := caller.Stats().Lost; lost < 1 || lost > 2 {
				t.Errorf("%d publishes were lost; want 1 or 2", lost)
			}
		})
	}
}

// The same to the client: but the broker has never seen the request.
func TestCallWhosePublishWasLostIsUnknownAtItsDeadline(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serveEcho(t, url, "echo")
	f := newFaults()
	broker := brokerAt(url)
	broker.Dial = f.dial
	caller := newClient(t, client.Config{Broker: broker})
	if _, err := caller.Call(withPatience(t), "echo", nil); err != nil {
		t.Fatal(err)
	}
	f.silence()
	call := caller.Go(withPatience(t), "echo", []byte("swallow me"), client.WithTimeout(patience.Brief))
	for !bytes.Contains(receive(t, f.swallowed), []byte("swallow me")) {
	}
	f.cut()
	_, err := call.Result()
	rig.WantError(t, err, warren.CodeDeadlineExceeded, warren.ReasonConnectionLost, warren.Unknown)
}

func TestRefusedPublishIsTriedAgainIfIdempotentAndUnknown(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	_, ch := rabbit.Channel(t, url)
	if _, err := ch.QueueDeclare("full", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	// A full queue of this kind is the one that always says no.
	err := rabbit.Shared(t).SetPolicy(withPatience(t), rabbit.Policy{
		VHost: vhostOf(t, url), Name: "full", Pattern: "^full$", ApplyTo: "queues",
		Definition: map[string]any{"max-length": 1, "overflow": "reject-publish"},
	})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, client.Config{Broker: brokerAt(url), NoServer: client.Wait})
	patience.Eventually(t, "the queue is full", func() bool { err = c.Notify(withPatience(t), "full", nil); return err != nil })
	rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonNacked, warren.Unknown)
	for least, opts := range map[int][]client.CallOption{1: nil, 3: {client.Idempotent()}} {
		_, err := c.Call(withPatience(t), "full", nil, append(opts, client.WithTimeout(patience.Brief))...)
		rig.WantError(t, err, warren.CodeDeadlineExceeded, warren.ReasonNacked, warren.Unknown)
		most := least
		if least > 1 {
			most += 10 // refusals, as far as there is time to wait them out
		}
		if e, _ := warren.AsError(err); e.Attempts < least || e.Attempts > most {
			t.Errorf("%d attempts; want %d to %d", e.Attempts, least, most)
		}
	}
}

func TestReconnectLosesAnExclusiveReplyQueue(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	entered, release := make(chan string, 10), make(chan struct{})
	serve(t, server.Config{Broker: brokerAt(url)}, "gate", func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
		entered <- string(req.Body)
		<-release
		return &warren.Reply{Body: req.Body}, nil
	})
	defer close(release)
	f := newFaults()
	broker := brokerAt(url)
	broker.Dial = f.dial
	c := newClient(t, client.Config{Broker: broker, ReplyQueue: client.ReplyQueue{Exclusive: true}})
	call := c.Go(withPatience(t), "gate", []byte("x"))
	receive(t, entered)
	f.cut()
	_, err := call.Result()
	rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonReplyQueueLost, warren.Unknown)
}

func TestFailedNotificationIsNotDeliveredAgain(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	requests := make(chan *warren.Request, 10)
	serve(t, server.Config{Broker: brokerAt(url)}, "failing", func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
		if _, ok := ctx.Deadline(); ok {
			t.Error("the handler of a notification has a deadline")
		}
		requests <- req
		return nil, errors.New("no")
	})
	c := newClient(t, client.Config{Broker: brokerAt(url)})
	for range 2 { // the second one is behind the first in the queue
		if err := c.Notify(withPatience(t), "failing", nil); err != nil {
			t.Fatal(err)
		}
		if req := receive(t, requests); !req.OneWay || req.Redelivered {
			t.Errorf("request %+v", req)
		}
	}
}

// The deadline is an instant of the caller's clock; the server compares it with
// its own.
func TestDeadlineIsJudgedByTheServersClock(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	left := make(chan time.Duration, 1)
	serve(t, server.Config{Broker: brokerAt(url)}, "clock", func(ctx context.Context, _ *warren.Request) (*warren.Reply, error) {
		d, ok := ctx.Deadline()
		if !ok {
			d = time.Time{}
		}
		left <- time.Until(d)
		return nil, nil
	})
	p := newPlainCaller(t, url)
	request := func(typ string) amqp.Delivery {
		return p.call(amqp.Publishing{Type: typ, Expiration: "30000", CorrelationId: "1"}, "clock")
	}
	deadline := func(in time.Duration) string {
		return fmt.Sprintf("warren/1;k=call;n=1;d=%d", time.Now().Add(in).UnixMilli())
	}
	// The caller's clock is behind the server's by more than the call has left.
	if got := request(deadline(-time.Second)).Type; !strings.Contains(got, ";c=deadline_exceeded;r=expired;o=not_executed") {
		t.Errorf("reply %q", got)
	}
	// It is ahead by an hour: the handler has that long.
	if got := request(deadline(time.Hour)).Type; strings.Contains(got, ";c=") {
		t.Errorf("reply %q", got)
	}
	if d := receive(t, left); d < 59*time.Minute {
		t.Errorf("the handler had %v", d)
	}
	// A plain caller's request has none.
	if got := request("").Type; strings.Contains(got, ";c=") {
		t.Errorf("reply %q", got)
	}
	if d := receive(t, left); d > 0 {
		t.Errorf("the handler of a plain request had %v", d)
	}
}

func TestRepliesArePersistentByOptionOnly(t *testing.T) {
	t.Parallel()
	for persistent, mode := range map[bool]uint8{false: amqp.Transient, true: amqp.Persistent} {
		t.Run(fmt.Sprint(persistent), func(t *testing.T) {
			t.Parallel()
			url := rabbit.VHost(t)
			serve(t, server.Config{Broker: brokerAt(url), PersistentReplies: persistent}, "empty",
				func(context.Context, *warren.Request) (*warren.Reply, error) { return nil, nil })
			p := newPlainCaller(t, url)
			if d := p.call(amqp.Publishing{CorrelationId: "1"}, "empty"); d.DeliveryMode != mode {
				t.Errorf("delivery mode %d, want %d", d.DeliveryMode, mode)
			}
		})
	}
}

func TestRequestsArePersistentAsDocumented(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	_, ch := rabbit.Channel(t, url)
	if _, err := ch.QueueDeclare("requests", true, false, false, false, nil); err != nil {
		t.Fatal(err)
	}
	deliveries, err := ch.Consume("requests", "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, client.Config{Broker: brokerAt(url)})
	ctx, cancel := context.WithCancel(withPatience(t))
	defer cancel()
	for mode, opts := range map[uint8][]client.CallOption{
		0: nil, amqp.Persistent: {client.WithPersistence()},
	} {
		c.Go(ctx, "requests", nil, opts...)
		if d := receive(t, deliveries); d.DeliveryMode != mode || d.Expiration == "" {
			t.Errorf("call: delivery mode %d, expiration %q", d.DeliveryMode, d.Expiration)
		}
	}
	if err := c.Notify(ctx, "requests", nil); err != nil {
		t.Fatal(err)
	}
	if d := receive(t, deliveries); d.DeliveryMode != amqp.Persistent || d.Expiration != "" || d.ReplyTo != "" {
		t.Errorf("notification: delivery mode %d, expiration %q, reply to %q", d.DeliveryMode, d.Expiration, d.ReplyTo)
	}
}

// plainCaller makes calls on amqp091-go alone.
type plainCaller struct {
	t       *testing.T
	ch      *amqp.Channel
	queue   string
	replies <-chan amqp.Delivery
}

func newPlainCaller(t *testing.T, url string) *plainCaller {
	t.Helper()
	_, ch := rabbit.Channel(t, url)
	p := &plainCaller{t: t, ch: ch}
	q, err := p.ch.QueueDeclare("", false, true, true, false, nil)
	if err == nil {
		p.queue = q.Name
		p.replies, err = p.ch.Consume(q.Name, "", true, false, false, false, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (p *plainCaller) call(msg amqp.Publishing, queue string) amqp.Delivery {
	p.t.Helper()
	msg.ReplyTo = p.queue
	if err := p.ch.PublishWithContext(p.t.Context(), "", queue, true, false, msg); err != nil {
		p.t.Fatal(err)
	}
	return receive(p.t, p.replies)
}
