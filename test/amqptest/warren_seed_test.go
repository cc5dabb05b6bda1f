package amqptest_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/amqptest"
)

// Whatever happens to a call, it ends by its deadline, with its own reply or an error that claims no more than is true,
// and nothing is left of it.
func TestDrawnFaultsLeaveEveryCallAReplyOrAnHonestError(t *testing.T) {
	const seeds, calls = 25, 12
	plan := amqptest.Plan{Kinds: amqptest.Kinds(), Count: 4, Within: calls, MaxWait: 5 * time.Second}
	for seed := range uint64(seeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inFixture(t, func(w *fixture) {
				w.lawless = true // acknowledgements that swap places close their channel
				for _, rule := range amqptest.Draw(seed, plan) {
					w.b.Inject(rule)
				}
				for i := range calls {
					w.honest(fmt.Sprint("call ", i), i%2 == 0)
				}
				// Not all faults end by themselves.
				w.b.Unblock()
				w.b.Sever()
				w.settles()
			})
		})
	}
}

// honest makes a call, and demands that how it ended is true.
func (w *fixture) honest(body string, idempotent bool) {
	w.t.Helper()
	opts := []client.CallOption{client.WaitForServer()}
	if idempotent {
		opts = append(opts, client.Idempotent())
	}
	reply, err := w.call(body, opts...)
	runs := w.runsOf(body).Load()
	e, typed := warren.AsError(err)
	switch {
	case err == nil && string(reply.Body) != body:
		w.t.Errorf("%s has the reply %q", body, reply.Body)
	case err == nil && runs == 0:
		w.t.Errorf("%s has a reply, and no handler ran", body)
	case err == nil:
	case !typed:
		w.t.Errorf("%s: the error is %T: %v", body, err, err)
	case e.Outcome == warren.NotExecuted && runs != 0:
		w.t.Errorf("%s: %v, and a handler ran", body, err)
	case e.Outcome == warren.Executed && runs == 0:
		w.t.Errorf("%s: %v, and no handler ran", body, err)
	case e.Code != warren.CodeDeadlineExceeded && e.Code != warren.CodeUnavailable:
		w.t.Errorf("%s: %v", body, err)
	}
}
