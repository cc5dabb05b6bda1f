package server_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// The queues of dead ones and of questions live on one node of a cluster each. The
// method's own queue has outlived that node, and so must its service.
func TestMethodIsServedWhileTheNodeOfItsOtherQueuesIsDown(t *testing.T) {
	down := func(queue string) amqptest.Rule {
		return amqptest.Rule{
			When: amqptest.When{Method: "queue.declare", Queue: queue}, Times: amqptest.Always,
			Do: amqptest.CloseChannel(404, "NOT_FOUND - home node 'a@b' of durable queue '"+queue+"' in vhost '/' is down or inaccessible"),
		}
	}
	rig.Bubble(t, func(r *rig.Rig) {
		r.Broker.Inject(down("m.dead"))
		r.Broker.Inject(down("warren.control.m"))
		var runs atomic.Int32
		serve(r, alone(r, memstore.Options{}), in(server.AtLeastOnce), counting(&runs))
		want(r, "at first", ask(r, "1", "x"), "1")
		// It is consumed again as well.
		r.Broker.Inject(amqptest.Rule{When: amqptest.When{Method: "basic.deliver", Queue: "m"}, Do: amqptest.SeverBefore()})
		began := time.Now()
		want(r, "after the loss", ask(r, "2", "x"), "2")
		if took := time.Since(began); took > 3*time.Second {
			r.T.Errorf("it took %v", took)
		}
	})
}
