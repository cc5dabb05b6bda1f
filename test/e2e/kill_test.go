package e2e

import (
	"testing"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/internal/crashpoint"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestCallIsAnsweredAfterServerIsKilledAtAnyPoint(t *testing.T) {
	t.Parallel()
	// How often the two servers may have run the handler together, at most, for
	// a kill at each point: without a store an effect is repeated if the server
	// dies between it and the acknowledgement.
	for point, most := range map[crashpoint.Point]int{
		crashpoint.Delivered:      1,
		crashpoint.InHandler:      1,
		crashpoint.EffectDone:     2,
		crashpoint.ReplyPublished: 2,
		crashpoint.ReplyConfirmed: 2,
		crashpoint.Acked:          2,
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
			if n := victim.count("ran victim") + other.count("ran victim"); n < 1 || n > most {
				t.Errorf("the handler ran %d times; want 1 to %d", n, most)
			}
			eventually(t, "nothing is pending", func() bool { return c.Stats().Pending == 0 })
		})
	}
}
