package server_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

const controlQueue = "warren.control.m"

var declaresControl = amqptest.When{Method: "queue.declare", Queue: controlQueue, Direction: amqptest.FromClient}

// consumedLate are the rules by which the control queue is consumed after the method's
// own, and that is confirmed five seconds later.
var consumedLate = []amqptest.Rule{
	{When: amqptest.When{Method: "basic.consume", Queue: controlQueue}, Do: amqptest.Reorder(time.Second)},
	{When: amqptest.When{Method: "basic.consume-ok", Queue: controlQueue}, Do: amqptest.Delay(5 * time.Second)},
}

func TestStartedServerAnswersQuestions(t *testing.T) {
	for name, rules := range map[string][]amqptest.Rule{
		"at once":      {},
		"after a loss": {{When: declaresControl, Do: amqptest.SeverBefore()}},
		"after another one's had both": {{
			When: amqptest.When{Method: "queue.declare", Queue: "warren.owner.m"}, Times: 2,
			Do: amqptest.CloseChannel(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue"),
		}},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				st := alone(r, memstore.Options{})
				time.Sleep(time.Minute)
				for _, rule := range append(rules, consumedLate...) {
					r.Broker.Inject(rule)
				}
				var runs atomic.Int32
				began := time.Now()
				serve(r, st, in(server.AtLeastOnce), counting(&runs))
				if took := time.Since(began); took < 5*time.Second || took > 10*time.Second {
					r.T.Errorf("it took %v", took)
				}
				want(r, "a question", resolved(r, "k", client.IssuedAt(time.Now())), "canceled, not_executed")
			})
		})
	}
}

// Methods are served without their control queues.
func TestControlQueueThatCannotBeHadHoldsNoStartUp(t *testing.T) {
	for name, test := range map[string]struct {
		do   amqptest.Action
		took time.Duration // at most
	}{
		"it may not be declared":        {amqptest.CloseChannel(403, "access to queue 'warren.control.m' refused"), 0},
		"somebody else has it":          {amqptest.CloseChannel(405, "cannot obtain exclusive access to locked queue 'warren.control.m'"), 0},
		"its node is down":              {down(controlQueue).Do, 0},
		"the connection ends over it":   {amqptest.CloseConnection(541, "feature is deprecated"), 2 * time.Second},
		"the broker does not answer it": {amqptest.Drop(), 20 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Broker.Inject(amqptest.Rule{When: declaresControl, Do: test.do, Times: amqptest.Always})
				var runs atomic.Int32
				began := time.Now()
				s := serve(r, alone(r, memstore.Options{}), in(server.AtLeastOnce), counting(&runs))
				if took := time.Since(began); took > test.took {
					r.T.Errorf("it took %v", took)
				}
				if unserved := s.Unserved(); len(unserved) > 0 {
					r.T.Errorf("not served: %v", unserved)
				}
				want(r, "a call", ask(r, "1", "x"), "1")
			})
		})
	}
}

// Who waits no longer for that queue has a server all the same.
func TestStartSucceedsIfOnlyTheControlQueueIsWaitedForTooLong(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Broker.Inject(amqptest.Rule{When: declaresControl, Do: amqptest.Drop(), Times: amqptest.Always})
		var runs atomic.Int32
		s := prepared(r, alone(r, memstore.Options{}), in(server.AtLeastOnce), counting(&runs))
		ctx, cancel := context.WithTimeout(r.T.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		if err := s.Start(ctx); err != nil {
			r.T.Fatal(err)
		}
		rig.Took(r.T, began, 5*time.Second)
		want(r, "a call", ask(r, "1", "x"), "1")
		if err := s.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
	})
}
