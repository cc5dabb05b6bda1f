package server_test

import (
	"context"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/server"
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

// A queue that was there may hold requests.
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

// die does to the queue "m" what RabbitMQ does to one whose node is killed right after
// its birth, until it is deleted.
func die(r *rig.Rig, do amqptest.Action) {
	dead := r.Broker.Inject(amqptest.Rule{When: amqptest.When{Method: "basic.consume", Queue: "m"}, Times: amqptest.Always, Every: 1, Do: do})
	go func() {
		if r.Broker.Wait(r.T.Context(), amqptest.When{Method: "queue.delete", Queue: "m"}, 1) == nil {
			dead.Remove()
		}
	}()
	r.Broker.Sever()
}

func TestQueueThatDiesRightAfterItsFirstConsumerIsMadeAgain(t *testing.T) {
	for name, do := range map[string]amqptest.Action{"no answer": amqptest.Drop(), "541": amqptest.CloseConnection(541, "INTERNAL_ERROR")} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				r.Serve(rig.Named("m"), rig.Echo)
				c := r.Client()
				if _, err := c.Call(r.T.Context(), "m", nil); err != nil {
					r.T.Fatal(err)
				}
				die(r, do)
				time.Sleep(90 * time.Second)
				if _, err := c.Call(r.T.Context(), "m", nil); err != nil {
					r.T.Error(err)
				}
				if n := deletions(r); n != 1 {
					r.T.Errorf("the queue was deleted %d times", n)
				}
			})
		})
	}
}

// One that has lived may hold requests, whatever it is like now.
func TestQueueThatHasBeenConsumedForSecondsIsNotDeleted(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), rig.Echo)
		time.Sleep(6 * time.Second)
		die(r, amqptest.Drop())
		time.Sleep(5 * time.Minute)
		if n := deletions(r); n != 0 {
			r.T.Errorf("the queue was deleted %d times", n)
		}
	})
}

func TestQueueThatFailsShortlyAfterItsFirstConsumerIsNotDeleted(t *testing.T) {
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

func TestQueueThatDoesNotAnswerIsToldWithItsCure(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Peer().Declare("m", nil)
		var log rig.Log
		s := r.NewServer(func(cfg *server.Config) { cfg.Logger = log.Logger() })
		if err := s.HandleRaw(rig.Named("m"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(r.T.Context(), 20*time.Second)
		defer cancel()
		err := s.Start(ctx)
		const command = "rabbitmqctl -p '/' delete_queue 'm'"
		if err == nil || !strings.Contains(err.Error(), command) || !strings.Contains(log.String(), command) {
			r.T.Errorf("%v; log: %s", err, log.String())
		}
	}, amqptest.Rule{When: amqptest.When{Method: "basic.consume", Queue: "m"}, Times: amqptest.Always, Do: amqptest.Drop()})
}
