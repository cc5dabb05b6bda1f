package e2e

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestTenThousandCallsLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{node.URL()}}, Logger: rig.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.HandleRaw(server.Method{Name: "echo", Queue: server.Queue{Type: server.Classic}}, rig.Echo); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	c := newClient(t, node.URL())
	const calls, inFlight = 10_000, 256
	var next atomic.Uint64
	var wg sync.WaitGroup
	for range inFlight {
		wg.Go(func() {
			var body [8]byte
			for n := next.Add(1); n <= calls; n = next.Add(1) {
				binary.BigEndian.PutUint64(body[:], n)
				reply, err := c.Call(context.Background(), "echo", body[:])
				if err != nil {
					t.Errorf("call %d: %v", n, err)
					return
				}
				if binary.BigEndian.Uint64(reply.Body) != n {
					t.Errorf("call %d got the reply of another", n)
				}
			}
		})
	}
	wg.Wait()
	st := c.Stats()
	if st.Calls != calls || st.Replies != calls || st.Pending != 0 || st.PendingBytes != 0 || st.LateReplies != 0 {
		t.Errorf("client: %+v", st)
	}
	if st := s.Stats(); st.Requests != calls || st.Handled != calls || st.Unrouted != 0 {
		t.Errorf("server: %+v", st)
	}
	if err := s.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	queues, err := node.Queues(testContext(t), "/")
	if err != nil {
		t.Fatal(err)
	}
	if len(queues) != 1 || queues[0].Name != "echo" || queues[0].Messages != 0 {
		t.Errorf("queues left behind: %+v", queues)
	}
	patience.Eventually(t, "no connection or channel is left", func() bool {
		connections, err1 := node.Connections(testContext(t))
		channels, err2 := node.Channels(testContext(t))
		return err1 == nil && err2 == nil && connections == 0 && channels == 0
	})
	// TestMain looks for goroutines that are left.
}

func TestCloseFailsEveryCallInFlightOnce(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	newServer(t, url, serveGate(g, "gate"))
	c := newClient(t, url)
	var futures []*client.Future
	for range 100 {
		futures = append(futures, c.Go(testContext(t), "gate", nil))
	}
	<-g.Entered
	began := time.Now()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > patience.Soon/2 { // half of what the calls have
		t.Errorf("Close took %v", took)
	}
	for _, f := range futures {
		_, err := f.Result()
		e, ok := warren.AsError(err)
		if !ok || e.Code != warren.CodeCanceled || e.Reason != warren.ReasonClientClosed {
			t.Fatalf("error is %v", err)
		}
		if e.Attempts > 0 && e.Outcome != warren.Unknown || e.Attempts == 0 && e.Outcome != warren.NotExecuted {
			t.Errorf("error is %v after %d attempts", e, e.Attempts)
		}
	}
	_, err := c.Call(testContext(t), "gate", nil)
	rig.WantError(t, err, warren.CodeCanceled, warren.ReasonClientClosed, warren.NotExecuted)
	if err := c.Ready(testContext(t)); err == nil {
		t.Error("a closed client is ready")
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	close(g.Release)
}

func TestPendingCallsAreBounded(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	newServer(t, url, serveGate(g, "gate"))
	c := newClient(t, url, func(cfg *client.Config) { cfg.MaxPending, cfg.MaxPendingBytes = 2, 100 })
	first := c.Go(testContext(t), "gate", make([]byte, 60))
	<-g.Entered
	_, err := c.Call(testContext(t), "gate", make([]byte, 60))
	rig.WantError(t, err, warren.CodeResourceExhausted, warren.ReasonQueueFull, warren.NotExecuted)
	second := c.Go(testContext(t), "gate", nil)
	<-g.Entered
	_, err = c.Call(testContext(t), "gate", nil)
	rig.WantError(t, err, warren.CodeResourceExhausted, warren.ReasonQueueFull, warren.NotExecuted)
	close(g.Release)
	for _, f := range []*client.Future{first, second} {
		if _, err := f.Result(); err != nil {
			t.Error(err)
		}
	}
	if _, err := c.Call(testContext(t), "gate", nil); err != nil {
		t.Error(err)
	}
}

func TestCallsWithOneIDJoinIfTheyAreTheSame(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	newServer(t, url, serveGate(g, "gate"))
	c := newClient(t, url)
	id := client.WithCallID("order-1")
	first := c.Go(testContext(t), "gate", []byte("a"), id)
	<-g.Entered
	second := c.Go(testContext(t), "gate", []byte("a"), id)
	patience.Eventually(t, "the second has joined", func() bool { return c.Stats().Joined == 1 })
	_, err := c.Call(testContext(t), "gate", []byte("b"), id)
	rig.WantError(t, err, warren.CodeAlreadyExists, warren.ReasonKeyReused, warren.NotExecuted)
	_, err = c.Call(testContext(t), "gate", []byte("a"), id, client.WithHeader("k", "v"))
	rig.WantError(t, err, warren.CodeAlreadyExists, warren.ReasonKeyReused, warren.NotExecuted)
	// One of those who wait may leave alone.
	ctx, cancel := context.WithCancel(testContext(t))
	third := c.Go(ctx, "gate", []byte("a"), id)
	patience.Eventually(t, "the third has joined", func() bool { return c.Stats().Joined == 2 })
	cancel()
	_, err = third.Result()
	rig.WantError(t, err, warren.CodeCanceled, "", warren.Unknown)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("%v is not context.Canceled", err)
	}
	close(g.Release)
	for _, f := range []*client.Future{first, second} {
		reply, err := f.Result()
		if err != nil || string(reply.Body) != "a" || reply.CallID != "order-1" {
			t.Fatalf("%+v, %v", reply, err)
		}
	}
	if g.Runs.Load() != 1 {
		t.Errorf("the handler ran %d times", g.Runs.Load())
	}
}

func TestNotifyReturnsWhenTheBrokerHasTakenTheRequest(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	s := newServer(t, url, serveGate(g, "gate"))
	c := newClient(t, url)
	if err := c.Notify(testContext(t), "gate", []byte("x")); err != nil {
		t.Fatal(err)
	}
	<-g.Entered
	close(g.Release)
	patience.Eventually(t, "the notification is handled", func() bool { return s.Stats().Handled == 1 })
	if err := s.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	// It needs no server, and outlives the deadline of its publish.
	if err := c.Notify(testContext(t), "gate", []byte("y")); err != nil {
		t.Fatal(err)
	}
	if st := c.Stats(); st.Pending != 0 {
		t.Errorf("%+v", st)
	}
	again := rig.NewGate()
	close(again.Release)
	newServer(t, url, serveGate(again, "gate"))
	<-again.Entered
}
