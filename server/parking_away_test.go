package server_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// down is the rule of a queue whose node is down.
func down(queue string) amqptest.Rule {
	return amqptest.Rule{
		When: amqptest.When{Method: "queue.declare", Queue: queue}, Times: amqptest.Always,
		Do: amqptest.CloseChannel(404, "NOT_FOUND - home node 'a@b' of durable queue '"+queue+"' in vhost '/' is down or inaccessible"),
	}
}

// The queues of dead ones and of questions live on one node of a cluster each. The
// method's own queue has outlived that node, and so must its service.
func TestMethodIsServedWhileTheNodeOfItsOtherQueuesIsDown(t *testing.T) {
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

// A call that is to be parked waits for the queue's node. It keeps neither the other
// calls waiting, nor the one that must run alone, nor the server from stopping.
func TestCallThatCannotBeParkedYetHoldsNobodyUp(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Broker.Inject(down("m.dead"))
		st := alone(r, memstore.Options{})
		for id, attempts := range map[string]int{"poison": 5, "last": 4} {
			for range attempts {
				if _, won, err := st.Claim(r.T.Context(), store.Claim{
					Key: store.Scope{Method: "m", CallID: id}.Key(), Lease: time.Second, Retention: time.Hour,
				}); err != nil || !won {
					r.T.Fatal(won, err)
				}
				time.Sleep(time.Second)
			}
		}
		var runs atomic.Int32
		s := prepared(r, st, in(server.AtLeastOnce), counting(&runs))
		if err := s.Start(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		poison := asking(r, "poison", "x", client.WithTimeout(time.Minute))
		time.Sleep(10 * time.Second)
		last := asking(r, "last", "x")
		time.Sleep(time.Second)
		want(r, "another call", ask(r, "other", "x"), "2")
		want(r, "the one that must be alone", <-last, "1")
		began := time.Now()
		if err := stopWithin(r, s, 10*time.Second); err != nil || time.Since(began) > 3*time.Second {
			r.T.Errorf("Stop took %v: %v", time.Since(began), err)
		}
		if rec := recordOf(r, st, "poison"); rec.State != store.Interrupted {
			r.T.Errorf("%+v", rec)
		}
		want(r, "the poison", <-poison, "deadline_exceeded/, unknown")
		if q := r.Queue("m"); runs.Load() != 2 {
			r.T.Errorf("%d runs, %+v", runs.Load(), q)
		}
	})
}
