package broker_test

import (
	"context"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/broker"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// consumed is a consumer of the queue "q", whose handler waits to be let go.
type consumed struct {
	*rig.Rig
	*broker.Consumer

	entered chan broker.Delivery
	release chan struct{}
}

// consume runs a test with a consumer that has the prefetch 6 and two workers.
func consume(t *testing.T, test func(c *consumed), rules ...amqptest.Rule) {
	t.Helper()
	rig.Bubble(t, func(r *rig.Rig) {
		c := &consumed{Rig: r, entered: make(chan broker.Delivery, 100), release: make(chan struct{})}
		declarer := &broker.Declarer{Queue: broker.Queue{Name: "q", Type: broker.Quorum}, Logger: rig.Logger(r.T)}
		c.Consumer = broker.NewConsumer(broker.ConsumerConfig{
			Name: "q", Declare: declarer.Declare, Prefetch: 6, Workers: 2, Logger: rig.Logger(r.T),
			Handle: func(d broker.Delivery) {
				c.entered <- d
				<-c.release
				d.Ack(nil)
			},
		})
		settings := r.Settings().WithDefaults()
		settings.Heartbeat = time.Minute // who delays an answer delays heartbeats too
		link := broker.NewLink(settings, "test", rig.Logger(r.T), c.Consumer)
		if err := link.Start(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		defer func() {
			c.Drain()
			close(c.release)
			ctx, cancel := context.WithTimeout(context.Background(), patience.Soon)
			defer cancel()
			if err := link.Stop(ctx); err != nil {
				r.T.Error(err)
			}
		}()
		synctest.Wait()
		test(c)
	}, rules...)
}

// publish puts n messages into the queue, and waits until all comes to rest.
func (c *consumed) publish(n int) {
	c.T.Helper()
	p := c.Peer()
	for i := range n {
		p.Publish("q", amqp.Publishing{CorrelationId: fmt.Sprint(i)})
	}
	c.rest()
}

// rest waits for longer than anything takes that nobody holds up.
func (c *consumed) rest() {
	time.Sleep(time.Second)
	synctest.Wait()
}

func (c *consumed) want(when string, consumers, ready, unacked, handling int) {
	c.T.Helper()
	q := c.Queue("q")
	if q.Consumers != consumers || q.Ready != ready || q.Unacked != unacked || len(c.entered) != handling {
		c.T.Errorf("%s: %d consumers, %d ready, %d unacked, %d handled; want %d, %d, %d, %d", when,
			q.Consumers, q.Ready, q.Unacked, len(c.entered), consumers, ready, unacked, handling)
	}
	if up, _, _ := c.Up().Get(); up != (consumers > 0) || c.Paused() == up {
		c.T.Errorf("%s: up is %v, paused %v", when, up, c.Paused())
	}
}

func TestPausedConsumerGivesBackAtOnceWhatItHasNotBegun(t *testing.T) {
	consume(t, func(c *consumed) {
		c.publish(10)
		c.want("consuming", 1, 4, 6, 2)
		c.Pause()
		c.Pause()
		synctest.Wait()
		c.want("paused", 0, 8, 2, 2) // although the handlers go on
		for range 2 {
			c.release <- struct{}{}
		}
		c.rest()
		c.want("at rest", 0, 8, 0, 2) // their acknowledgements were told
		c.Resume(0)
		c.rest()
		c.want("resumed", 1, 2, 6, 4)
	})
}

// Each delivery carries it.
func TestConsumerTagIsShortAndNoOtherConsumersOfTheSession(t *testing.T) {
	consume(t, func(c *consumed) {
		tags := map[string]bool{}
		for range 3 {
			c.publish(1)
			d := <-c.entered
			tags[d.ConsumerTag] = true
			c.release <- struct{}{}
			c.Pause()
			c.rest()
			c.Resume(0)
			c.rest()
			if len(d.ConsumerTag) > 2 {
				c.T.Errorf("the tag is %q", d.ConsumerTag)
			}
		}
		if len(tags) != 3 {
			c.T.Errorf("three consumers had the tags %v", tags)
		}
	})
}

func TestConsumerGoesOnWithAnotherPrefetch(t *testing.T) {
	consume(t, func(c *consumed) {
		c.publish(10)
		c.Resume(1)
		c.rest()
		// Both handlers of the larger prefetch are at work: the one message waits for them.
		c.want("of less", 1, 7, 3, 2)
		for n, want := range [][3]int{{7, 2, 3}, {7, 1, 3}, {6, 1, 4}, {5, 1, 5}} { // first come, first released
			c.release <- struct{}{}
			c.rest()
			c.want(fmt.Sprintf("%d released", n+1), 1, want[0], want[1], want[2])
		}
	})
}

func TestPauseOutlivesTheConnection(t *testing.T) {
	consume(t, func(c *consumed) {
		c.Pause()
		c.Broker.CloseConnections("maintenance")
		time.Sleep(10 * time.Second)
		c.want("reconnected", 0, 0, 0, 0)
		c.publish(3)
		c.Resume(1)
		c.rest()
		c.want("resumed", 1, 2, 1, 1)
	})
}

func TestConsumerThatIsPausedCanBeDrainedAndChangedInAnyState(t *testing.T) {
	consume(t, func(c *consumed) {
		for i := range 50 {
			switch i % 3 {
			case 0:
				c.Pause()
			case 1:
				c.Resume(1)
			case 2:
				c.Resume(0)
			}
			if i%5 == 0 {
				synctest.Wait()
			}
		}
		c.Resume(0)
		c.publish(6)
		c.want("in the end", 1, 0, 6, 2)
		c.Pause()
		synctest.Wait()
	})
}

func TestReturnedDeliveryIsDeliveredAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var seen []string
		declarer := &broker.Declarer{Queue: broker.Queue{Name: "q", Type: broker.Quorum}, Logger: rig.Logger(r.T)}
		c := broker.NewConsumer(broker.ConsumerConfig{
			Name: "q", Declare: declarer.Declare, Prefetch: 2, Workers: 1, Logger: rig.Logger(r.T),
			Handle: func(d broker.Delivery) {
				seen = append(seen, fmt.Sprint(d.CorrelationId, d.Redelivered))
				if !d.Redelivered {
					d.Requeue()
					return
				}
				d.Ack(nil)
			},
		})
		link := broker.NewLink(r.Settings().WithDefaults(), "test", rig.Logger(r.T), c)
		if err := link.Start(r.T.Context()); err != nil {
			r.T.Fatal(err)
		}
		synctest.Wait()
		r.Peer().Publish("q", amqp.Publishing{CorrelationId: "1"})
		time.Sleep(time.Second)
		c.Drain()
		if err := link.Stop(r.T.Context()); err != nil {
			r.T.Error(err)
		}
		if q := r.Queue("q"); fmt.Sprint(seen) != "[1false 1true]" || q.Ready+q.Unacked != 0 {
			r.T.Errorf("handled %v; %+v", seen, q)
		}
	})
}

// Which of the two a broker closes is its own choice, not the code's.
func TestConsumerGoesOnAfterAChannelClosedWithAnyCode(t *testing.T) {
	for _, code := range []uint16{amqp.NotFound, amqp.ChannelError, amqp.NotImplemented, amqp.InternalError} {
		t.Run(fmt.Sprint(code), func(t *testing.T) {
			consume(t, func(c *consumed) {
				c.Broker.Inject(amqptest.Rule{When: amqptest.When{Method: "basic.ack"}, Do: amqptest.CloseChannel(code, "closed")})
				c.publish(1)
				c.release <- struct{}{}
				time.Sleep(10 * time.Second)
				c.want("after it", 1, 0, 1, 2)
			})
		})
	}
}

// The answer to basic.consume may come when nobody waits for it any more.
func TestConsumerThatBeginsTooLateIsEnded(t *testing.T) {
	consume(t, func(c *consumed) {
		time.Sleep(time.Minute)
		c.want("later", 1, 0, 0, 0)
		c.Pause()
		c.publish(4)
		c.want("paused", 0, 4, 0, 0)
		c.Resume(0)
		c.rest()
		c.want("resumed", 1, 0, 4, 2)
	}, amqptest.Rule{When: amqptest.When{Method: "basic.consume-ok"}, Do: amqptest.Delay(20 * time.Second), Times: 2})
}
