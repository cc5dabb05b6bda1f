package server_test

import (
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestParkingOutlivesTheBroker(t *testing.T) {
	dead := amqptest.When{Method: "basic.publish", RoutingKey: "m.dead"}
	away := down("m.dead")
	away.Times = 10
	for name, rule := range map[string]amqptest.Rule{
		"not confirmed":      {When: dead, Do: amqptest.Nack(), Times: 3},
		"lost before":        {When: dead, Do: amqptest.SeverBefore()},
		"lost after":         {When: dead, Do: amqptest.SeverAfter()},
		"the broker is lost": {When: dead, Do: amqptest.Restart(amqptest.KeepMessages, 10*time.Second)},
		"came back":          {When: dead, Do: amqptest.Return(), Times: 3},
		"its node is down":   away,
		"no queue":           {When: dead, Do: amqptest.Return()},
	} {
		for _, recorded := range []bool{true, false} {
			if name == "the broker is lost" && !recorded {
				continue // its count begins again
			}
			t.Run(name+map[bool]string{true: ", recorded", false: ", counted by the broker"}[recorded], func(t *testing.T) {
				rig.Bubble(t, func(r *rig.Rig) {
					var data memstore.Data
					var runs atomic.Int32
					m := in(server.AtLeastOnce)
					m.Dedupe.Park = 2
					if name == "no queue" {
						m.Queue.Type = server.Existing // and so is the other: it is not made here
						if _, err := r.Peer().Channel.QueueDeclare("m", true, false, false, false, nil); err != nil {
							r.T.Fatal(err)
						}
					}
					st := shared(r, &data)
					p := r.Peer()
					msg := raw(p, "k", "x")
					if recorded {
						for range 2 {
							if _, won, err := st.Claim(r.T.Context(), store.Claim{
								Key: store.Scope{Method: "m", CallID: "k"}.Key(), Lease: time.Second, Retention: time.Hour,
							}); err != nil || !won {
								r.T.Fatal(won, err)
							}
							time.Sleep(time.Second)
						}
						serve(r, st, m, counting(&runs))
					} else {
						msg.Headers = amqp.Table{"x-delivery-count": int64(2)}
						r.Serve(m, counting(&runs))
					}
					p.Publish("m", msg)
					if name == "the broker is lost" {
						// The peer's connection is lost too: look for the record, or at the queue.
						time.Sleep(time.Minute)
					} else {
						want(r, "told", toldRaw(r, p.Next()), "internal/poisoned, unknown")
					}
					time.Sleep(20 * time.Second)
					if q := r.Queue("m"); q.Ready+q.Unacked != 0 || runs.Load() != 0 {
						r.T.Errorf("%d runs, %+v", runs.Load(), q)
					}
					q, made := r.Broker.Queue("/", "m.dead")
					if name == "no queue" && made || name != "no queue" && (q.Ready < 1 || q.Ready > 2) {
						r.T.Errorf("%+v", q)
					}
					if rec := recordOf(r, st, "k"); recorded && rec.State != store.Parked {
						r.T.Errorf("%+v", rec)
					}
				}, rule)
			})
		}
	}
}
