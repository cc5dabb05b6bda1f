package server_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/store/memstore"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestSecondServerWaitsUntilTheFirstHasGone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		var runs atomic.Int32
		first := mortal(r, moved(r, &data), in(server.AtLeastOnce), counting(&runs))
		var others atomic.Int32
		second := prepared(r, moved(r, &data), in(server.AtLeastOnce), counting(&others))
		ctx, cancel := context.WithTimeout(r.T.Context(), 5*time.Second)
		defer cancel()
		err := second.Start(ctx)
		if err == nil || !strings.Contains(err.Error(), "another server of m with a store of its own") {
			r.T.Fatalf("Start: %v", err)
		}
		want(r, "told", ask(r, "k", "x"), "1")
		// The owner comes back after its connection was lost.
		severed(r)
		time.Sleep(10 * time.Second)
		want(r, "after the loss", ask(r, "j", "x"), "2")
		third := prepared(r, moved(r, &data), in(server.AtLeastOnce), counting(&others))
		ready := make(chan error, 1)
		go func() { ready <- third.Start(r.T.Context()) }()
		time.Sleep(10 * time.Second)
		select {
		case err := <-ready:
			r.T.Fatalf("the third was let in: %v", err)
		default:
		}
		if err := first.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
		if err := <-ready; err != nil {
			r.T.Fatal(err)
		}
		want(r, "the third", ask(r, "i", "x"), "1")
		if err := third.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
	})
}

func TestOwnersQueueIsOneConnections(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var runs atomic.Int32
		serve(r, alone(r, memstore.Options{}), in(server.AtLeastOnce), counting(&runs))
		if q := r.Queue("warren.owner.m"); !q.Exclusive {
			r.T.Errorf("%+v", q)
		}
		r.Broker.Inject(amqptest.Rule{When: amqptest.When{Method: "basic.deliver", Queue: "m"}, Do: amqptest.SeverBefore()})
		want(r, "told", ask(r, "k", "x"), "1")
		if q := r.Queue("warren.owner.m"); !q.Exclusive {
			r.T.Errorf("%+v", q)
		}
	})
}

// The connection that had it lives on, and nobody tells it.
func TestOwnersQueueThatIsGoneIsMadeAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var runs atomic.Int32
		s := serve(r, alone(r, memstore.Options{}), in(server.AtLeastOnce), counting(&runs))
		if err := r.Broker.DeleteQueue("/", "warren.owner.m"); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(6 * time.Second)
		if q := r.Queue("warren.owner.m"); !q.Exclusive {
			r.T.Errorf("%+v", q)
		}
		want(r, "told", ask(r, "k", "x"), "1")
		if n := s.Stats().Reconnects; n != 0 {
			r.T.Errorf("%d reconnects", n)
		}
	})
}

// A server that has lost its method to another must not go on with it.
func TestServerWhoseMethodIsTakenLetsItGo(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var data memstore.Data
		var runs, others atomic.Int32
		first := serve(r, moved(r, &data), in(server.AtLeastOnce), counting(&runs))
		if err := r.Broker.DeleteQueue("/", "warren.owner.m"); err != nil {
			r.T.Fatal(err)
		}
		second := serve(r, moved(r, &data), in(server.AtLeastOnce), counting(&others))
		time.Sleep(10 * time.Second)
		if q := r.Queue("m"); q.Consumers != 1 || first.Stats().Reconnects != 1 || second.Stats().Reconnects != 0 {
			r.T.Errorf("%+v; %+v, %+v", q, first.Stats(), second.Stats())
		}
		for n := range 10 {
			want(r, "told", ask(r, fmt.Sprint(n), "x"), fmt.Sprint(n+1))
		}
		if runs.Load() != 0 || others.Load() != 10 {
			r.T.Errorf("%d calls at the first server, %d at the second", runs.Load(), others.Load())
		}
		// It comes back to it when the other has gone, and not before. Meanwhile its
		// connection stays: it may serve other methods.
		time.Sleep(time.Minute)
		if q := r.Queue("m"); q.Consumers != 1 || first.Stats().Reconnects != 1 {
			r.T.Errorf("%+v; %+v", q, first.Stats())
		}
		if err := second.Stop(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		want(r, "told by the first", ask(r, "k", "x"), "1")
	})
}

// What anybody may publish fills no queue that nobody reads.
func TestQueuesOfOwnershipTakeNoMessages(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		serve(r, alone(r, memstore.Options{}), in(server.AtLeastOnce), rig.Echo)
		peer := r.Peer()
		for range 10 {
			peer.Publish("warren.owner.m", amqp.Publishing{Body: []byte("x")})
			peer.Publish("warren.memory.m", amqp.Publishing{Body: []byte("x")})
		}
		time.Sleep(time.Second)
		if q := r.Queue("warren.owner.m"); q.Ready != 0 {
			r.T.Errorf("%+v", q)
		}
		if q := r.Queue("warren.memory.m"); q.Ready > 1 {
			r.T.Errorf("%+v", q)
		}
	})
}

// What is known of a queue that is in the way is what the broker says.
func TestQueueThatIsInTheWayIsToldInTheBrokersWords(t *testing.T) {
	for name, c := range map[string]struct {
		queue     string
		exclusive bool
		args      amqp.Table
		told      string
		waits     bool // for it to go
	}{
		"owner's, of another connection":  {"warren.owner.m", true, nil, "another connection has the queue warren.owner.m, or it is not exclusive", true},
		"owner's, not exclusive":          {"warren.owner.m", false, nil, "the exclusive property value does not match", true},
		"memory's, without a label":       {"warren.memory.m", false, nil, "inequivalent arg 'x-dead-letter-exchange' for queue 'warren.memory.m'", false},
		"method's, of another connection": {"m", true, nil, "cannot obtain exclusive access to locked queue 'm'", true},
	} {
		t.Run(name, func(t *testing.T) {
			rig.Bubble(t, func(r *rig.Rig) {
				ch := r.Peer().Channel
				if c.args == nil && strings.Contains(c.queue, "memory") {
					c.args = amqp.Table{"x-queue-type": "quorum"}
				}
				if _, err := ch.QueueDeclare(c.queue, !c.exclusive, false, c.exclusive, false, c.args); err != nil {
					r.T.Fatal(err)
				}
				s := prepared(r, alone(r, memstore.Options{}), in(server.AtMostOnce), rig.Echo)
				ctx, cancel := context.WithTimeout(r.T.Context(), 20*time.Second)
				defer cancel()
				err := s.Start(ctx)
				if err == nil || !strings.Contains(err.Error(), c.told) || errors.Is(err, context.DeadlineExceeded) != c.waits {
					r.T.Errorf("Start: %v", err)
				}
			})
		})
	}
}
