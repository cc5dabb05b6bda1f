package e2e

import (
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestCallIsAnsweredAfterServerIsKilledAtAnyPoint(t *testing.T) {
	t.Parallel()
	// How often the two servers run the handler together, at least and at most,
	// for a kill at each point: without a store an effect is repeated if the
	// server dies between it and the acknowledgement, which is the last thing
	// that it does.
	for point, runs := range map[crashpoint.Point][2]int{
		crashpoint.Delivered:      {1, 1},
		crashpoint.InHandler:      {1, 1},
		crashpoint.EffectDone:     {2, 2},
		crashpoint.ReplyPublished: {1, 2},
		crashpoint.ReplyConfirmed: {2, 2},
		crashpoint.Acked:          {1, 2},
	} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			url := rabbit.VHost(t)
			victim := startServer(t, url, "echo", point)
			c := newClient(t, url)
			call := c.Go(testContext(t), "echo", []byte("body"), client.WithCallID("victim"))
			<-victim.done
			// The queue has no consumer now: the call waits for the other server.
			other := startServer(t, url, "echo", "")
			reply, err := call.Result()
			if err != nil || string(reply.Body) != "body" {
				t.Fatalf("%v, %v", reply, err)
			}
			if reply.Attempts != 1 {
				t.Errorf("the client published %d times", reply.Attempts)
			}
			if _, err := c.Call(testContext(t), "echo", nil, client.WaitForServer()); err != nil {
				t.Error(err)
			}
			ran := func() int { return victim.count("ran victim") + other.count("ran victim") }
			patience.Eventually(t, "the handler has run as often as it must", func() bool { return ran() >= runs[0] })
			if n := ran(); n > runs[1] {
				t.Errorf("the handler ran %d times; want at most %d", n, runs[1])
			}
			patience.Eventually(t, "nothing is pending", func() bool { return c.Stats().Pending == 0 })
		})
	}
}

func TestCallIsAnsweredAfterServerIsKilledMidHandler(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	victim := startServer(t, url, "echo", "never")
	c := newClient(t, url)
	call := c.Go(testContext(t), "echo", []byte("hold"), client.WithCallID("victim"))
	patience.Eventually(t, "the handler runs", func() bool { return victim.count("ran victim") == 1 })
	second := startServer(t, url, "echo", "")
	if err := victim.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	if reply, err := call.Result(); err != nil || string(reply.Body) != "hold" || reply.Attempts != 1 {
		t.Fatalf("%v, %v", reply, err)
	}
	// What a process has printed may arrive after the reply.
	patience.Eventually(t, "the second server has run the call", func() bool { return second.count("ran victim") >= 1 })
	if n := second.count("ran victim"); n != 1 {
		t.Errorf("the second server ran the call %d times", n)
	}
}

func TestClientKilledAtAnyPointCostsTheServerNothing(t *testing.T) {
	t.Parallel()
	// How often the handler runs for a caller that dies there, at least and at
	// most: what was written may still be lost with the socket.
	for point, runs := range map[crashpoint.Point][2]int{
		crashpoint.BeforePublish: {0, 0}, crashpoint.Published: {0, 1}, crashpoint.Confirmed: {1, 1},
	} {
		t.Run(string(point), func(t *testing.T) {
			t.Parallel()
			url := rabbit.VHost(t)
			s := startServer(t, url, "echo", "")
			caller := startProcess(t, envCallURL+"="+url, envServeName+"=echo", envKillAt+"="+string(point))
			<-caller.done
			c := newClient(t, url)
			patience.Eventually(t, "the handler has run for the dead caller", func() bool { return s.count("ran victim") >= runs[0] })
			for range 10 {
				if _, err := c.Call(testContext(t), "echo", nil); err != nil {
					t.Fatal(err)
				}
			}
			if n := s.count("ran victim"); n > runs[1] {
				t.Errorf("the handler ran %d times; want at most %d", n, runs[1])
			}
		})
	}
}
