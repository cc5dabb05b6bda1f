package conformance

import (
	"slices"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var ackChecks = []check{
	each("an ack removes the message", acked(func(s *session, d []amqp.Delivery) error { return d[1].Ack(false) }, "1", "3")),
	each("an ack of multiple removes all up to it", acked(func(s *session, d []amqp.Delivery) error { return d[1].Ack(true) }, "3")),
	each("an ack of multiple with tag 0 removes all", acked(func(s *session, d []amqp.Delivery) error { return s.Ack(0, true) })),
	each("a nack that does not requeue removes the message", acked(func(s *session, d []amqp.Delivery) error { return d[1].Nack(false, false) }, "1", "3")),
	each("a nack of multiple that does not requeue removes all up to it", acked(func(s *session, d []amqp.Delivery) error { return d[1].Nack(true, false) }, "3")),
	each("a nack of multiple with tag 0 means all", acked(func(s *session, d []amqp.Delivery) error { return s.Nack(0, true, false) })),
	each("a reject that does not requeue removes the message", acked(func(s *session, d []amqp.Delivery) error { return d[0].Reject(false) }, "2", "3")),
	each("a closed connection gives back what is unacked", acked(func(s *session, d []amqp.Delivery) error { return nil }, "1", "2", "3")),
	each("an unknown delivery tag is refused", settle(func(s *session, d amqp.Delivery) error { return s.Ack(7, false) }, "unknown delivery tag 7")),
	each("an unknown delivery tag is refused with multiple", settle(func(s *session, d amqp.Delivery) error { return s.Ack(7, true) }, "unknown delivery tag 7")),
	each("an unknown delivery tag is refused by nack", settle(func(s *session, d amqp.Delivery) error { return s.Nack(7, false, true) }, "unknown delivery tag 7")),
	each("an unknown delivery tag is refused by reject", settle(func(s *session, d amqp.Delivery) error { return s.Reject(7, true) }, "unknown delivery tag 7")),
	each("tag 0 is no message without multiple", settle(func(s *session, d amqp.Delivery) error { return s.Ack(0, false) }, "unknown delivery tag 0")),
	each("a second ack is refused", settle(func(s *session, d amqp.Delivery) error { _ = d.Ack(false); return d.Ack(false) }, "unknown delivery tag 1")),
	each("an ack after a nack is refused", settle(func(s *session, d amqp.Delivery) error { _ = d.Nack(false, false); return d.Ack(false) }, "unknown delivery tag 1")),
	each("another channel's delivery tag is refused", settle(func(s *session, d amqp.Delivery) error {
		other := s.channel()
		s.closed = other.closed
		return other.Ack(d.DeliveryTag, false)
	}, "unknown delivery tag 1")),
	{"an ack of everything of nothing is fine", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.Ack(0, true))
		s.ok(s.Confirm(false))
	}},
	{"a classic queue puts a requeued message back in its place", func(t *testing.T, target Target) {
		s, d := held(t, target, classic)
		s.ok(d[1].Nack(false, true))
		s.ok(d[2].Reject(true))
		s.ok(d[0].Nack(false, true))
		s.arrive("q", "1", "2", "3", "4")
	}},
	{"a quorum queue with a delivery limit puts requeued messages before all others, in the order of their return", func(t *testing.T, target Target) {
		s, d := held(t, target, quorum)
		s.ok(d[1].Nack(false, true))
		s.ok(d[2].Reject(true))
		s.ok(d[0].Nack(false, true))
		s.arrive("q", "2", "3", "1", "4")
	}},
	{"a quorum queue without a delivery limit puts requeued messages behind all others, in the order of their return", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		s.fill("q", "1", "2", "3")
		one, two := s.take("q"), s.take("q")
		s.ok(two.Nack(false, true))
		s.ok(one.Nack(false, true))
		s.ready("q", 3)
		// From 4.0 on there is always a limit.
		if got := s.bodies("q"); !slices.Equal(got, []string{"3", "2", "1"}) && !slices.Equal(got, []string{"2", "1", "3"}) {
			t.Errorf("the queue holds %q", got)
		}
	}},
	each("a nack of multiple gives back in order", func(t *testing.T, target Target, kind string) {
		s, d := held(t, target, kind)
		s.ok(d[2].Nack(true, true))
		s.arrive("q", "1", "2", "3", "4")
	}),
	each("a message given back is marked as redelivered", func(t *testing.T, target Target, kind string) {
		s, d := held(t, target, kind)
		s.ok(d[0].Nack(false, true))
		again := s.get("q")
		same(t, "redelivered", []any{string(again.Body), again.Redelivered}, []any{"1", true})
		same(t, "the next", s.get("q").Redelivered, false)
	}),
	each("a closed channel gives back in order, marked as redelivered", func(t *testing.T, target Target, kind string) {
		s, _ := held(t, target, kind)
		other := s.another()
		s.ok(s.Close())
		other.ready("q", 4)
		for _, want := range []string{"1", "2", "3"} {
			d := other.get("q")
			same(t, "back", []any{string(d.Body), d.Redelivered}, []any{want, true})
		}
		same(t, "the one not delivered", other.get("q").Redelivered, false)
	}),
	each("a message given back goes to another consumer if the first is full", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2")
		s.qos(1)
		d := s.expect(s.consume("q", false), "1")
		s.fill("q", "3")
		s.expect(s.channel().consume("q", false), "2", "3")
		s.ok(d[0].Nack(false, true))
		s.ready("q", 0)
	}),
	{"a quorum queue counts deliveries after the first", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		s.fill("q", "x")
		deliveries := s.consume("q", false)
		for i := range 4 {
			d := s.receive(deliveries)
			count, counted := d.Headers["x-delivery-count"]
			if i > 0 || counted { // 3.10 sends 0 with get, and none with the first delivery
				same(t, "x-delivery-count", count, any(int64(i)))
			}
			same(t, "redelivered", d.Redelivered, i > 0)
			s.ok(d.Nack(false, true))
		}
	}},
	{"a closed channel counts as a delivery", func(t *testing.T, target Target) {
		s, _ := held(t, target, quorum)
		other := s.another()
		s.ok(s.Close())
		other.ready("q", 4)
		same(t, "x-delivery-count", other.get("q").Headers["x-delivery-count"], any(int64(1)))
	}},
	{"a classic queue does not count deliveries", func(t *testing.T, target Target) {
		s, d := held(t, target, classic)
		s.ok(d[0].Nack(false, true))
		if _, counted := s.get("q").Headers["x-delivery-count"]; counted {
			t.Error("counted")
		}
	}},
}

// held is a queue of four messages, three of which are out.
func held(t *testing.T, target Target, kind string) (*session, []amqp.Delivery) {
	t.Helper()
	s := begin(t, target)
	args := with(kind)
	if kind == quorum {
		args["x-delivery-limit"] = 100
	}
	s.queue("q", args)
	s.fill("q", "1", "2", "3", "4")
	return s, []amqp.Delivery{s.take("q"), s.take("q"), s.take("q")}
}

// acked settles three deliveries in some way, and says what is left of them.
func acked(settle func(*session, []amqp.Delivery) error, left ...string) func(*testing.T, Target, string) {
	return func(t *testing.T, target Target, kind string) {
		t.Helper()
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2", "3")
		d := s.expect(s.subscribe("q", consumer{tag: "c"}), "1", "2", "3")
		s.ok(settle(s, d))
		s.ok(s.Confirm(false)) // the channel has handled it
		other := s.another()
		s.ok(s.conn.Close())
		other.arrive("q", left...)
	}
}

// settle settles a delivery in a way that the broker refuses.
func settle(how func(*session, amqp.Delivery) error, text string) func(*testing.T, Target, string) {
	return func(t *testing.T, target Target, kind string) {
		t.Helper()
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "x")
		s.ok(how(s, s.receive(s.consume("q", false))))
		s.closes(406, "PRECONDITION_FAILED - "+text)
	}
}
