package client_test

import (
	"context"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"weak"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// begin makes a call with a body of its own, whose memory it returns, and ends when the
// call has.
func begin(ctx context.Context, r *rig.Rig, c *client.Client, opts ...client.CallOption) (weak.Pointer[byte], <-chan error) {
	body := make([]byte, 1<<16)
	memory, done := weak.Make(&body[0]), make(chan error, 1)
	go func() {
		_, err := c.Call(ctx, "m", body, opts...)
		done <- err
	}()
	synctest.Wait()
	return memory, done
}

// isolate takes the connection that publishes away for good: nothing of the send queue
// goes out any more.
func isolate(r *rig.Rig) {
	r.Broker.Inject(amqptest.Rule{
		When: amqptest.When{Method: "connection.open", ConnName: "*client, publishes*"}, Times: amqptest.Always, Do: amqptest.Drop(),
	})
	for _, conn := range r.Broker.Connections() {
		if strings.HasSuffix(conn.Name, "(warren client, publishes)") {
			conn.Sever()
		}
	}
	synctest.Wait()
}

// wantForgotten checks that nothing keeps the body of a call that has ended.
func wantForgotten(r *rig.Rig, memory weak.Pointer[byte]) {
	r.T.Helper()
	synctest.Wait()
	for range 3 { // pools keep things for two
		runtime.GC()
	}
	if memory.Value() != nil {
		r.T.Error("the body is still in line")
	}
}

func TestCallThatEndsWhileItIsPublishedAgainLeavesNothingInLine(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		plainServer(r, "m")
		c := r.Ready(withPolicy(reliability.Policy{Retry: exact(2)}))
		var locks, holdsAt atomic.Int32
		held := make(chan struct{})
		client.OnLock(c, func() {
			if locks.Add(1) == holdsAt.Load() {
				<-held
			}
		})
		ctx, cancel := context.WithCancel(r.T.Context())
		memory, done := begin(ctx, r, c, client.Idempotent())
		holdsAt.Store(locks.Load() + 4) // lost, timer, admitted; then it is published
		isolate(r)
		time.Sleep(time.Second)
		cancel()
		rig.WantError(r.T, <-done, warren.CodeCanceled, warren.ReasonConnectionLost, warren.Unknown)
		close(held)
		wantForgotten(r, memory)
	}, amqptest.Rule{When: publishesTo("m"), Do: amqptest.NeverConfirm()})
}

func TestCallThatEndsLeavesNoAttemptInLine(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		plainServer(r, "m")
		plainServer(r, "bait")
		c := r.Ready(withPolicy(reliability.Policy{
			Retry: exact(2), Idempotent: new(true), Hedge: reliability.HedgePolicy{On: new(true), Delay: new(time.Second)},
		}))
		ctx, cancel := context.WithCancel(r.T.Context())
		memory, done := begin(ctx, r, c, client.WithCallID("k"))
		block(r, c, 2*time.Second)
		time.Sleep(1500 * time.Millisecond) // the hedge is not published
		if st := c.Stats(); st.Hedged != 0 {
			r.T.Errorf("%+v", st)
		}
		time.Sleep(1500 * time.Millisecond)
		isolate(r)
		time.Sleep(time.Second)
		synctest.Wait()
		if err := client.Requeue(c, "k"); err != nil {
			r.T.Fatal(err)
		}
		cancel()
		rig.WantError(r.T, <-done, warren.CodeCanceled, warren.ReasonBlocked, warren.Unknown)
		wantForgotten(r, memory)
	})
}
