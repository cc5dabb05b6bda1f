package server_test

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

// What RabbitMQ does with a quorum queue whose node died right after its birth.
func unconsumable(times int) amqptest.Rule {
	return amqptest.Rule{
		When: amqptest.When{Method: "basic.consume", Queue: "m"}, Times: times, Every: 1,
		Do: amqptest.CloseConnection(541, "INTERNAL_ERROR"),
	}
}

func deletions(r *rig.Rig) int {
	return r.Broker.Count(amqptest.When{Method: "queue.delete", Queue: "m"})
}

func TestQueueThatWasBornBrokenIsMadeAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer()
		if err := s.HandleRaw(rig.Named("m"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		if n := deletions(r); n != 1 {
			r.T.Errorf("the queue was deleted %d times", n)
		}
		if _, err := r.Client().Call(r.T.Context(), "m", nil); err != nil {
			r.T.Error(err)
		}
	}, unconsumable(3))
}

// A queue that was there, or has been consumed, may hold requests.
func TestQueueOfOthersIsNeverDeleted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		if _, err := r.Peer().Channel.QueueDeclare("m", true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
			r.T.Fatal(err)
		}
		s := r.NewServer()
		if err := s.HandleRaw(rig.Named("m"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		r.Broker.Inject(unconsumable(6))
		r.Broker.Sever()
		time.Sleep(30 * time.Second)
		if _, err := r.Client().Call(r.T.Context(), "m", nil); err != nil {
			r.T.Error(err)
		}
		if n := deletions(r); n != 0 {
			r.T.Errorf("the queue was deleted %d times", n)
		}
	}, unconsumable(6))
}

func TestQueueThatHasBeenConsumedIsNotDeleted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), rig.Echo)
		r.Broker.Inject(unconsumable(6))
		r.Broker.Sever()
		time.Sleep(30 * time.Second)
		if _, err := r.Client().Call(r.T.Context(), "m", nil); err != nil {
			r.T.Error(err)
		}
		if n := deletions(r); n != 0 {
			r.T.Errorf("the queue was deleted %d times", n)
		}
	})
}
