package conformance

import (
	"fmt"
	"slices"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

const (
	classic = "classic"
	quorum  = "quorum"
)

// each makes a check of one promise that classic and quorum queues both keep.
func each(name string, run func(t *testing.T, target Target, kind string)) check {
	return check{name, func(t *testing.T, target Target) {
		for _, kind := range []string{classic, quorum} {
			t.Run(kind, func(t *testing.T) {
				t.Parallel()
				run(t, target, kind)
			})
		}
	}}
}

// with makes the arguments of a queue of a kind: names and values in turn.
func with(kind string, pairs ...any) amqp.Table {
	args := amqp.Table{"x-queue-type": kind}
	for pair := range slices.Chunk(pairs, 2) {
		args[fmt.Sprint(pair[0])] = pair[1]
	}
	return args
}

// start publishes without waiting for the confirm.
func (s *session) start(exchange, key string, message amqp.Publishing) *amqp.DeferredConfirmation {
	s.t.Helper()
	s.ok(s.Confirm(false))
	confirm, err := s.PublishWithDeferredConfirmWithContext(s.t.Context(), exchange, key, false, false, message)
	s.ok(err)
	return confirm
}

// settled waits for a confirm and reports whether the broker acked.
func (s *session) settled(confirm *amqp.DeferredConfirmation) bool {
	s.t.Helper()
	select {
	case <-confirm.Done():
	case <-time.After(patience.Soon):
		s.t.Fatal("no confirm")
	}
	return confirm.Acked()
}

// fill publishes to a queue by its name, one after the other.
func (s *session) fill(queue string, bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		s.publish("", queue, body)
	}
}

// plain publishes to a queue by its name, whatever the channel's mode, and
// waits for nothing.
func (s *session) plain(queue, body string) {
	s.t.Helper()
	s.ok(s.PublishWithContext(s.t.Context(), "", queue, false, false, amqp.Publishing{Body: []byte(body)}))
}

// consumer says how to consume; its zero value acknowledges by hand.
type consumer struct {
	tag                string
	autoAck, exclusive bool
	args               amqp.Table
}

func (s *session) subscribe(queue string, c consumer) <-chan amqp.Delivery {
	s.t.Helper()
	deliveries, err := s.Consume(queue, c.tag, c.autoAck, c.exclusive, false, false, c.args)
	s.ok(err)
	return deliveries
}

// expect takes as many deliveries as there are bodies, and holds them to these.
func (s *session) expect(from <-chan amqp.Delivery, bodies ...string) []amqp.Delivery {
	s.t.Helper()
	var got []amqp.Delivery
	for _, body := range bodies {
		d := s.receive(from)
		if string(d.Body) != body {
			s.t.Fatalf("delivery %d is %q, want %q", len(got)+1, d.Body, body)
		}
		got = append(got, d)
	}
	return got
}

// take gets the message at the head of a queue, waiting for one, to be
// acknowledged by hand.
func (s *session) take(queue string) amqp.Delivery {
	s.t.Helper()
	var d amqp.Delivery
	s.eventually("a message in "+queue, func() (ok bool) {
		var err error
		d, ok, err = s.Get(queue, false)
		s.ok(err)
		return ok
	})
	return d
}

// arrive waits until the queue has as many messages ready as there are bodies,
// then takes them and holds them to these, in order.
func (s *session) arrive(queue string, bodies ...string) {
	s.t.Helper()
	s.ready(queue, len(bodies))
	s.holds(queue, bodies...)
}

// ready waits until so many messages wait for delivery.
func (s *session) ready(queue string, want int) {
	s.t.Helper()
	s.eventually(fmt.Sprintf("%d ready in %s", want, queue), func() bool {
		got, _ := s.counts(queue)
		return got == want
	})
}

// qos sets the prefetch of the channel's next consumers.
func (s *session) qos(prefetch int) {
	s.t.Helper()
	s.ok(s.Qos(prefetch, 0, false))
}
