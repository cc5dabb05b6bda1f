package client_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// order is a request that the server refuses, before the handler, until it is
// due: so attempts are proven not to have been executed, and repeated.
type order struct{ Due time.Time }

func (o *order) Validate() error {
	if time.Now().Before(o.Due) {
		return warren.Errorf(warren.CodeUnavailable, "not yet")
	}
	return nil
}

// A call that is not idempotent is published again only after a proof that the
// attempt before was not executed, and its handler runs once; unless the broker
// itself hands a request out again, or a fault made two of one.
func TestCallThatIsNotIdempotentIsExecutedOnceWhateverTheFault(t *testing.T) {
	const calls, seeds = 12, 10
	for _, kind := range amqptest.Kinds() {
		for seed := range uint64(seeds) {
			t.Run(fmt.Sprint(kind, " ", seed), func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					onlyOnce(r, calls, amqptest.Draw(seed, amqptest.Plan{
						Kinds: []string{kind}, Count: 3, Within: calls, MaxWait: 5 * time.Second,
					}))
				})
			})
		}
	}
	for seed := range uint64(10 * seeds) {
		t.Run(fmt.Sprint("all kinds ", seed), func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				onlyOnce(r, calls, amqptest.Draw(seed, amqptest.Plan{
					Kinds: amqptest.Kinds(), Count: 5, Within: calls, MaxWait: 5 * time.Second,
				}))
			})
		})
	}
}

// onlyOnce makes calls under the faults, half of them refused at first, and
// judges them by what the broker saw.
func onlyOnce(r *rig.Rig, calls int, faults []amqptest.Rule) {
	var mu sync.Mutex
	runs := map[string]int{}
	s := r.NewServer()
	err := server.Handle(s, rig.Named("m"), func(ctx context.Context, _ order) (string, error) {
		req := warren.RequestFromContext(ctx)
		mu.Lock()
		runs[req.CallID]++
		mu.Unlock()
		time.Sleep(20 * time.Millisecond)
		return "done", nil
	})
	if err != nil {
		r.T.Fatal(err)
	}
	r.Start(s)
	c := r.Ready()
	call := func(id string, wait time.Duration) error {
		body, err := json.Marshal(order{Due: time.Now().Add(wait)})
		if err != nil {
			r.T.Fatal(err)
		}
		_, err = c.Call(r.T.Context(), "m", body, client.WithCallID(id), client.WaitForServer(), client.WithTimeout(15*time.Second))
		return err
	}
	if err := call("warm up", 0); err != nil {
		r.T.Fatal(err)
	}
	for _, rule := range faults {
		r.Broker.Inject(rule)
	}
	ended := map[string]error{}
	for i := range calls {
		id := fmt.Sprint("call ", i)
		ended[id] = call(id, time.Duration(i%2)*30*time.Millisecond)
	}
	r.Broker.Unblock()
	r.Broker.Sever()
	time.Sleep(time.Minute)
	mu.Lock()
	for id, err := range ended {
		judge(r, id, runs[id], err)
	}
	mu.Unlock()
	if st := c.Stats(); st.Pending != 0 {
		r.T.Errorf("%+v", st)
	}
	// Whatever there was, the breaker lets calls through again, since they succeed.
	if err := call("afterwards", 0); err != nil {
		r.T.Error(err)
	}
}

func judge(r *rig.Rig, id string, runs int, err error) {
	of := func(m *amqptest.Message) bool { return m.CorrelationID == id }
	duplicated := func(ev amqptest.Event) bool {
		return slices.ContainsFunc(ev.Faults, func(f string) bool { return strings.Contains(f, "duplicate") })
	}
	published := r.Broker.Events(amqptest.When{Method: "basic.publish", RoutingKey: "m", Message: of})
	delivered := r.Broker.Events(amqptest.When{Method: "basic.deliver", RoutingKey: "m", Message: of})
	again := slices.ContainsFunc(published, duplicated) || slices.ContainsFunc(delivered, duplicated) ||
		slices.ContainsFunc(delivered, func(ev amqptest.Event) bool { return ev.Redelivered })
	if runs > 1 && !again {
		r.T.Errorf("%s ran %d times", id, runs)
	}
	for n := 1; n < len(published); n++ {
		number := fmt.Sprintf(";n=%d;", n)
		proven := r.Broker.Count(amqptest.When{Method: "basic.*", Message: func(m *amqptest.Message) bool {
			return of(m) && strings.Contains(m.Type, number) && strings.Contains(m.Type, "o=not_executed")
		}}) + r.Broker.Count(amqptest.When{Method: "basic.return", Message: func(m *amqptest.Message) bool {
			return of(m) && strings.Contains(m.Type, number)
		}})
		if proven == 0 {
			r.T.Errorf("%s was published %d times, and nothing proves that attempt %d was not executed", id, len(published), n)
		}
	}
	e, ok := warren.AsError(err)
	switch {
	case err == nil && runs == 0:
		r.T.Errorf("%s has a reply, and no handler ran", id)
	case err == nil:
	case !ok:
		r.T.Errorf("%s: the error is %T: %v", id, err, err)
	case e.Outcome == warren.NotExecuted && runs > 0 && !again, e.Outcome == warren.Executed && runs == 0:
		r.T.Errorf("%s ran %d times: %v", id, runs, err)
	}
}
