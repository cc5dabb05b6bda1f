package amqptest_test

import (
	"context"
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
)

// The tests in the files warren_*_test.go have a client or a server of Warren meet each kind of fault, in a bubble in
// which time passes only when there is nothing else to do. So deadlines are exact, and a call that ends by its deadline
// has waited for it and for nothing else.

// fixture is a broker with a server of the method echo and a client that calls it.
type fixture struct {
	t *testing.T
	b *amqptest.Broker
	c *client.Client
	s *server.Server

	runs atomic.Int32  // of the handler
	by   sync.Map      // *atomic.Int32 by body: its runs
	hold chan struct{} // if it is set, the handler waits until it is closed

	lawless bool // faults may have made the broker close something
}

const (
	// timeout is the deadline of calls; slack what a call may take beyond it.
	timeout   = 20 * time.Second
	slack     = 50 * time.Millisecond
	heartbeat = 10 * time.Second
)

// Where faults meet what a call consists of.
var (
	requests   = amqptest.When{Method: "basic.publish", RoutingKey: "echo"}
	requested  = amqptest.When{Method: "basic.deliver", RoutingKey: "echo"}
	replies    = amqptest.When{Method: "basic.publish", RoutingKey: "warren:*"}
	replied    = amqptest.When{Method: "basic.deliver", RoutingKey: "warren:*"}
	clientAcks = amqptest.When{Method: "basic.ack", Direction: amqptest.FromClient, ConnName: "client*"}
	serverAcks = amqptest.When{Method: "basic.ack", Direction: amqptest.FromClient, ConnName: "server*"}
)

// inFixture runs a test in which the first call has been answered, so that everything is connected and declared.
func inFixture(t *testing.T, test func(w *fixture)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &fixture{t: t, b: amqptest.New(t, amqptest.Options{Listen: "none"})}
		t.Cleanup(w.wasCorrect)
		w.start()
		if reply, err := w.call("warm up"); err != nil || string(reply.Body) != "warm up" {
			t.Fatalf("the first call: %v, %v", reply, err)
		}
		synctest.Wait()
		time.Sleep(time.Second) // what is told late has been told
		w.runs.Store(0)
		w.b.Forget()
		test(w)
	})
}

// wasCorrect demands that the broker has closed nothing but by order of a fault, or because something was asked for that
// does not exist: to ask is allowed.
func (w *fixture) wasCorrect() {
	if w.lawless {
		return
	}
	for _, ev := range w.b.Events(amqptest.When{Method: "*.close", Direction: amqptest.FromBroker}) {
		if ev.ReplyCode != 404 && !strings.HasSuffix(ev.ReplyText, byFault) {
			w.t.Errorf("the broker found fault with somebody: %v", ev)
		}
	}
}

// byFault ends what a fault closes with.
const byFault = "fault"

// broker is how either side, by its name, reaches the broker: over pipes.
func (w *fixture) broker(name string) warren.Broker {
	return warren.Broker{
		URLs: []string{w.b.URL()}, Name: name, Heartbeat: heartbeat, DialTimeout: 5 * time.Second,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return w.b.Dial(ctx, network, address)
		},
	}
}

func (w *fixture) start() {
	w.t.Helper()
	logger := slog.New(slog.DiscardHandler)
	var err error
	if w.s, err = server.New(server.Config{Broker: w.broker("server"), Logger: logger}); err != nil {
		w.t.Fatal(err)
	}
	if err = w.s.HandleRaw(server.Method{Name: "echo"}, w.echo); err != nil {
		w.t.Fatal(err)
	}
	if err = w.s.Start(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := w.s.Stop(ctx); err != nil {
			w.t.Errorf("stop the server: %v", err)
		}
	})
	if w.c, err = client.New(client.Config{
		Broker: w.broker("client"), Logger: logger,
		Policies: reliability.Rules{Methods: map[string]reliability.Policy{"*": {Timeout: new(timeout)}}},
	}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { _ = w.c.Close() })
}

func (w *fixture) echo(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
	w.runs.Add(1)
	w.runsOf(string(req.Body)).Add(1)
	if w.hold != nil {
		select {
		case <-w.hold:
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return &warren.Reply{Body: req.Body}, nil
}

// runsOf counts the runs for requests with this body.
func (w *fixture) runsOf(body string) *atomic.Int32 {
	n, _ := w.by.LoadOrStore(body, new(atomic.Int32))
	count, _ := n.(*atomic.Int32)
	return count
}

// call calls echo, and demands that it ends in time.
func (w *fixture) call(body string, opts ...client.CallOption) (*warren.Reply, error) {
	w.t.Helper()
	began := time.Now()
	reply, err := w.c.Call(context.Background(), "echo", []byte(body), opts...)
	if took := time.Since(began); took > timeout+slack {
		w.t.Errorf("the call took %v", took)
	}
	return reply, err
}

// answered makes a call that must be answered, before its deadline.
func (w *fixture) answered(body string, opts ...client.CallOption) {
	w.t.Helper()
	reply, err := w.call(body, opts...)
	if err != nil {
		w.t.Errorf("the call %s failed: %v", body, err)
	} else if string(reply.Body) != body {
		w.t.Errorf("the call %s has the reply %q", body, reply.Body)
	}
}

// fails makes a call that must fail like this.
func (w *fixture) fails(code warren.Code, reason string, outcome warren.Outcome, opts ...client.CallOption) {
	w.t.Helper()
	_, err := w.call("body", opts...)
	isError(w.t, err, code, reason, outcome)
}

func isError(t *testing.T, err error, code warren.Code, reason string, outcome warren.Outcome) {
	t.Helper()
	e, ok := warren.AsError(err)
	if !ok || e.Code != code || e.Reason != reason || e.Outcome != outcome {
		t.Errorf("error is %v (%+v); want %v/%s, %v", err, e, code, reason, outcome)
	}
}

// ran demands that the handler has run so often since the first call, or that often at most.
func (w *fixture) ran(least, most int) {
	w.t.Helper()
	if n := int(w.runs.Load()); n < least || n > most {
		w.t.Errorf("the handler ran %d times; want %d to %d", n, least, most)
	}
}

// meets puts a rule into force that the test is about, and demands at its end that it has met something.
func (w *fixture) meets(when amqptest.When, do amqptest.Action, then ...amqptest.Action) *amqptest.Fault {
	f := w.b.Inject(amqptest.Rule{When: when, Do: do, Then: then})
	w.t.Cleanup(func() {
		if f.Fired() == 0 {
			w.t.Errorf("%v has met nothing", f)
		}
	})
	return f
}

// settles demands that nothing of the calls is left: no call pending in the client, and no message in the queue or with
// the server.
func (w *fixture) settles() {
	w.t.Helper()
	time.Sleep(2 * time.Minute) // beyond every deadline, heartbeat and pause
	synctest.Wait()
	if s := w.c.Stats(); s.Pending != 0 || s.PendingBytes != 0 {
		w.t.Errorf("%d calls and %d bytes are pending", s.Pending, s.PendingBytes)
	}
	if q, ok := w.b.Queue("/", "echo"); !ok || q.Ready != 0 || q.Unacked != 0 || q.Consumers != 1 {
		w.t.Errorf("the queue is %+v, %v", q, ok)
	}
	for _, q := range w.b.Queues("/") {
		if q.Name != "echo" && (q.Ready != 0 || q.Unacked != 0 || q.Consumers != 1) {
			w.t.Errorf("the reply queue is %+v", q)
		}
	}
	w.answered("afterwards")
}
