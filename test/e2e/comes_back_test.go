package e2e

import (
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// A request whose connection, or channel, the broker closes under its handler comes
// back to the same process, and is not run beside itself or again. Neither are those
// that waited for it in the prefetch, where the consumer timeout runs too.
func TestRequestThatComesBackToItsServerRunsOnce(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	once := func(t *testing.T, m server.Method, calls int, comeBack func(s *server.Server, log *rig.Log)) {
		t.Helper()
		g := rig.NewGate()
		var log rig.Log
		s, err := server.New(server.Config{
			Broker: warren.Broker{URLs: []string{node.URL()}, Heartbeat: 2 * time.Second}, Logger: log.Logger(),
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.HandleRaw(m, g.Handle); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(testContext(t)); err != nil {
			t.Fatal(err)
		}
		defer rig.Stop(t, s)
		c := newClient(t, node.URL())
		ended := make(chan error, calls)
		for range calls {
			go func() {
				_, err := c.Call(testContext(t), m.Name, []byte("x"), client.WaitForServer())
				ended <- err
			}()
		}
		<-g.Entered
		comeBack(s, &log)
		close(g.Release)
		for range calls {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		patience.Eventually(t, "all is acknowledged", func() bool {
			queues, err := node.Queues(t.Context(), "/")
			if err != nil {
				t.Fatal(err)
			}
			for _, q := range queues {
				if q.Name == m.Name {
					return q.Ready+q.Unacked == 0
				}
			}
			return false
		})
		if n := g.Runs.Load(); n != int64(calls) {
			t.Errorf("%d calls, %d runs:\n%s", calls, n, &log)
		}
	}
	t.Run("connection", func(t *testing.T) {
		once(t, server.Method{Name: "connection", Concurrency: 2}, 1, func(s *server.Server, _ *rig.Log) {
			for i := range uint64(3) {
				if err := node.CloseConnections(t.Context(), "a test"); err != nil {
					t.Fatal(err)
				}
				patience.Eventually(t, "it comes back", func() bool { return s.Stats().Attached > i })
			}
		})
	})
	t.Run("timeout", func(t *testing.T) {
		if err := node.ConsumerTimeout(t.Context(), 2*time.Second); err != nil {
			t.Fatal(err)
		}
		once(t, server.Method{Name: "timeout", Concurrency: 1, Prefetch: 3}, 3, func(_ *server.Server, log *rig.Log) {
			patience.Eventually(t, "the timeout ends the channel twice", func() bool { return strings.Count(log.String(), "timed out") >= 2 })
		})
	})
}
