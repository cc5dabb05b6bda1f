package e2e

import (
	"context"
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

// A broker that is killed again and again costs calls their answers, but none
// of them outlives its deadline, and afterwards all is as before.
func TestBrokerKilledRepeatedlyUnderLoad(t *testing.T) {
	t.Parallel()
	node := rabbit.New(t, rabbit.Options{})
	// A quorum queue that is young when its node is killed can be broken for good.
	s := newServer(t, node.URL(), func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "echo", Queue: server.Queue{Type: server.Classic}}, rig.Echo)
	})
	c := newClient(t, node.URL())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var wg sync.WaitGroup
	var answered atomic.Int64
	timeout := patience.Times(time.Second)
	for i := range 16 {
		var opts []client.CallOption
		if i%2 == 0 {
			opts = append(opts, client.Idempotent())
		}
		wg.Go(func() {
			for ctx.Err() == nil {
				began := time.Now()
				_, err := c.Call(context.Background(), "echo", []byte("x"), append(opts, client.WithTimeout(timeout))...)
				if took := time.Since(began); took > timeout+patience.Soon/2 {
					t.Errorf("a call of %v took %v", timeout, took)
				}
				if err == nil {
					answered.Add(1)
					continue
				}
				if e, ok := warren.AsError(err); !ok || e.Attempts == 0 && e.Outcome != warren.NotExecuted || e.Outcome == warren.Executed {
					t.Errorf("error is %v", err)
				}
				time.Sleep(10 * time.Millisecond)
			}
		})
	}
	for range kills {
		before := answered.Load()
		patience.Eventually(t, "calls are answered", func() bool { return answered.Load() > before+100 })
		node.Kill()
		if err := node.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	before := answered.Load()
	patience.Eventually(t, "calls are answered", func() bool { return answered.Load() > before+100 })
	cancel()
	wg.Wait()
	if st := c.Stats(); st.Pending != 0 || st.PendingBytes != 0 {
		t.Errorf("client: %+v", st)
	}
	if err := s.Stop(testContext(t)); err != nil {
		t.Error(err)
	}
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	queues, err := node.Queues(testContext(t), "/")
	if err != nil || len(queues) != 1 {
		t.Errorf("queues left behind: %+v, %v", queues, err)
	}
}

const kills = 3
