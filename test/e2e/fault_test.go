package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func serveGate(g *rig.Gate, name string) func(*server.Server) error {
	return func(s *server.Server) error { return s.HandleRaw(server.Method{Name: name}, g.Handle) }
}

func TestCallIsAnsweredAfterBrokerClosesTheClientsConnections(t *testing.T) {
	t.Parallel()
	base := rabbit.VHost(t)
	g := rig.NewGate()
	newServer(t, base, serveGate(g, "gate"))
	p, through := newProxy(t, base)
	c := newClient(t, through)
	call := c.Go(testContext(t), "gate", []byte("body"))
	<-g.Entered
	p.cut()
	patience.Eventually(t, "the client has noticed", func() bool { return c.Stats().Reconnects > 0 })
	close(g.Release) // the reply may be sent while the client is away
	reply, err := call.Result()
	if err != nil || string(reply.Body) != "body" {
		t.Fatalf("%v, %v", reply, err)
	}
	if g.Runs.Load() != 1 {
		t.Errorf("the handler ran %d times", g.Runs.Load())
	}
}

func TestCallIsAnsweredAfterBrokerClosesAllConnections(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	g := rig.NewGate()
	s := newServer(t, node.URL(), serveGate(g, "gate"))
	c := newClient(t, node.URL())
	call := c.Go(testContext(t), "gate", []byte("body"))
	<-g.Entered
	if err := node.CloseConnections(testContext(t), "maintenance"); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "both sides have reconnected", func() bool {
		return c.Stats().Reconnects >= 2 && s.Stats().Reconnects >= 2
	})
	close(g.Release)
	if reply, err := call.Result(); err != nil || string(reply.Body) != "body" {
		t.Fatalf("%v, %v", reply, err)
	}
}

func TestBrokerRestartInTheMiddleOfCalls(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	g := rig.NewGate()
	newServer(t, node.URL(), serveGate(g, "gate"))
	c := newClient(t, node.URL())
	lasting := c.Go(testContext(t), "gate", []byte("body"))
	brief := c.Go(testContext(t), "gate", nil, client.WithTimeout(patience.Brief))
	<-g.Entered
	<-g.Entered
	if err := node.Stop(testContext(t)); err != nil {
		t.Fatal(err)
	}
	_, err := brief.Result()
	rig.WantError(t, err, warren.CodeDeadlineExceeded, "", warren.Unknown)
	// A call that is made while there is no broker ends by its deadline, and
	// says that it was not executed.
	began := time.Now()
	_, err = c.Call(testContext(t), "gate", nil, client.WithTimeout(callTime))
	e := rig.WantError(t, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
	if !errors.Is(err, context.DeadlineExceeded) || e.Attempts != 0 {
		t.Errorf("error is %+v", e)
	}
	if took := time.Since(began); took > callTime+late {
		t.Errorf("a call without a broker took %v", took)
	}
	if err := node.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	// The request lives in the quorum queue, the reply queue is durable: the
	// call is answered after all.
	close(g.Release)
	if reply, err := lasting.Result(); err != nil || string(reply.Body) != "body" {
		t.Fatalf("%v, %v", reply, err)
	}
}

// callTime is the deadline of the calls that inTime makes, and late is what the
// machine may add. Who waits for a socket waits until the connection is given up:
// for two heartbeats. To the instant is for the unit tests.
var (
	callTime  = patience.Times(200 * time.Millisecond)
	late      = patience.Times(10 * time.Second)
	heldUpFor = func(cfg *client.Config) { cfg.Broker.Heartbeat = late }
)

// inTime makes n calls at once and demands that nothing holds any of them up.
func inTime(t *testing.T, n int, call func()) {
	t.Helper()
	took := make([]time.Duration, n)
	var wg sync.WaitGroup
	for i := range took {
		wg.Go(func() {
			began := time.Now()
			call()
			took[i] = time.Since(began)
		})
	}
	wg.Wait()
	slices.Sort(took)
	t.Logf("of %d calls of %v the fastest took %v, the median %v, the slowest %v", n, callTime, took[0], took[n/2], took[n-1])
	if took[n-1] > callTime+late {
		t.Errorf("a call of %v took %v", callTime, took[n-1])
	}
}

func TestMemoryAlarmFailsCallsInTime(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	newServer(t, node.URL(), serveEcho("echo"))
	c := newClient(t, node.URL(), heldUpFor)
	if _, err := c.Call(testContext(t), "echo", nil); err != nil {
		t.Fatal(err)
	}
	if err := node.MemoryAlarm(testContext(t), true); err != nil {
		t.Fatal(err)
	}
	inTime(t, 20, func() {
		// The first publishes may still get through.
		_, err := c.Call(testContext(t), "echo", nil, client.WithTimeout(callTime))
		if code := warren.CodeOf(err); err != nil && code != warren.CodeDeadlineExceeded && code != warren.CodeUnavailable {
			t.Errorf("error is %v", err)
		}
	})
	var blocked *warren.Error
	patience.Eventually(t, "a call is refused because the broker blocks", func() bool {
		_, err := c.Call(testContext(t), "echo", nil, client.WithTimeout(callTime))
		blocked, _ = warren.AsError(err)
		return blocked != nil && blocked.Reason == warren.ReasonBlocked
	})
	rig.WantError(t, blocked, warren.CodeUnavailable, warren.ReasonBlocked, warren.NotExecuted)
	if err := node.MemoryAlarm(testContext(t), false); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "calls go through again", func() bool {
		_, err := c.Call(testContext(t), "echo", nil)
		return err == nil
	})
}

func TestStalledSocketDoesNotHoldUpCalls(t *testing.T) {
	t.Parallel()
	base := rabbit.VHost(t)
	newServer(t, base, serveEcho("echo"))
	p, through := newProxy(t, base)
	// The breaker would end calls that come after those which have timed out.
	c := newClient(t, through, heldUpFor, func(cfg *client.Config) {
		cfg.Policies.Methods = map[string]reliability.Policy{"*": {Breaker: reliability.BreakerPolicy{Off: new(true)}}}
	})
	if _, err := c.Call(testContext(t), "echo", nil); err != nil {
		t.Fatal(err)
	}
	p.setStall(true)
	body := make([]byte, 64<<10) // 200 of them overflow every buffer on the way
	inTime(t, 200, func() {
		_, err := c.Call(context.Background(), "echo", body, client.WithTimeout(callTime))
		if warren.CodeOf(err) != warren.CodeDeadlineExceeded {
			t.Errorf("error is %v", err)
		}
	})
	if s := c.Stats(); s.Pending != 0 || s.PendingBytes != 0 {
		t.Errorf("%d calls and %d bytes are pending", s.Pending, s.PendingBytes)
	}
	patience.Eventually(t, "the client gives the connection up", func() bool {
		_, err := c.Call(testContext(t), "echo", nil, client.WithTimeout(callTime))
		e, _ := warren.AsError(err)
		return e != nil && e.Reason == warren.ReasonNotConnected
	})
	p.setStall(false)
	patience.Eventually(t, "calls go through again", func() bool {
		_, err := c.Call(testContext(t), "echo", nil, client.WithTimeout(patience.Brief))
		return err == nil
	})
}

func TestQueueDeletedUnderAServerIsServedAgain(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, serveEcho("echo"))
	c := newClient(t, url)
	if _, err := c.Call(testContext(t), "echo", nil); err != nil {
		t.Fatal(err)
	}
	if err := rabbit.Shared(t).DeleteQueue(testContext(t), vhostOf(t, url), "echo"); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "the method is served again", func() bool {
		_, err := c.Call(testContext(t), "echo", nil)
		if err != nil {
			e, _ := warren.AsError(err)
			if e.Code != warren.CodeUnavailable && e.Code != warren.CodeDeadlineExceeded {
				t.Errorf("error is %v", err)
			}
		}
		return err == nil
	})
}

func TestReplyQueueThatIsGoneEndsCallsAsUnknownAndIsReplaced(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	g := rig.NewGate()
	newServer(t, url, serveGate(g, "gate"))
	c := newClient(t, url)
	once := c.Go(testContext(t), "gate", []byte("once"))
	<-g.Entered
	again := c.Go(testContext(t), "gate", []byte("again"), client.Idempotent())
	<-g.Entered
	queues, err := rabbit.Shared(t).Queues(testContext(t), vhostOf(t, url))
	if err != nil {
		t.Fatal(err)
	}
	for _, q := range queues {
		if strings.HasPrefix(q.Name, "warren:") {
			if err := rabbit.Shared(t).DeleteQueue(testContext(t), vhostOf(t, url), q.Name); err != nil {
				t.Fatal(err)
			}
		}
	}
	_, err = once.Result()
	rig.WantError(t, err, warren.CodeUnavailable, warren.ReasonReplyQueueLost, warren.Unknown)
	<-g.Entered // the second attempt of the other
	close(g.Release)
	reply, err := again.Result()
	if err != nil || string(reply.Body) != "again" || reply.Attempts != 2 {
		t.Fatalf("%+v, %v", reply, err)
	}
}

func TestWrongCredentialsFailAtOnceAndAreNotRepeated(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(rabbit.VHost(t))
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("guest", "s3cret-pass")
	c := newClient(t, u.String())
	err = c.Ready(testContext(t))
	e := rig.WantError(t, err, warren.CodePermissionDenied, warren.ReasonNotPermitted, warren.NotExecuted)
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{u.String()}}, Logger: rig.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.HandleRaw(server.Method{Name: "echo"}, rig.Echo); err != nil {
		t.Fatal(err)
	}
	startErr := s.Start(testContext(t))
	if startErr == nil {
		t.Fatal("the server started")
	}
	if text := fmt.Sprintf("%+v %v", e, startErr); strings.Contains(text, "s3cret") {
		t.Errorf("the password is told: %s", text)
	}
}

func vhostOf(t testing.TB, rawURL string) string {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimPrefix(u.Path, "/")
}
