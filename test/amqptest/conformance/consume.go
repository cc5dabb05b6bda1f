package conformance

import (
	"fmt"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var consumeChecks = []check{
	each("delivery tags count per channel", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2", "3")
		other := s.channel()
		other.queue("p", with(kind))
		other.fill("p", "a")
		for i, d := range s.expect(s.consume("q", false), "1", "2", "3") {
			same(t, "delivery tag", d.DeliveryTag, uint64(i+1))
		}
		same(t, "delivery tag on another channel", other.take("p").DeliveryTag, 1)
	}),
	{"get and consumers share a channel's delivery tags", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.queue("p", with(classic))
		s.fill("q", "1")
		s.fill("p", "2", "3")
		same(t, "first", s.receive(s.consume("q", false)).DeliveryTag, 1)
		same(t, "second", s.take("p").DeliveryTag, 2)
		same(t, "third, acknowledged by itself", s.get("p").DeliveryTag, 3)
	}},
	{"a consumer without a name is given one", func(t *testing.T, target Target) {
		w := wireChannel(t, target.VHost(t))
		w.declare(1, "q", nil)
		w.expect(1, queueDeclareOk)
		seen := map[string]bool{}
		for range 2 {
			w.call(1, basicConsume, uint16(0), "q", "", uint8(0), []byte{})
			ok := w.expect(1, basicConsumeOk)
			tag := ok.short()
			if !strings.HasPrefix(tag, "amq.ctag-") || seen[tag] {
				t.Errorf("the consumer tag is %q", tag)
			}
			seen[tag] = true
		}
	}},
	{"a consumer's name is taken on its channel only", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.subscribe("q", consumer{tag: "c"})
		s.channel().subscribe("q", consumer{tag: "c"})
		_, err := s.Consume("q", "c", false, false, false, false, nil)
		s.refused(err, 530, "NOT_ALLOWED - attempt to reuse consumer tag 'c'")
	}},
	each("consuming from a missing queue is refused", func(t *testing.T, target Target, _ string) {
		s := begin(t, target)
		_, err := s.Consume("missing", "", false, false, false, false, nil)
		s.refused(err, 404, "NOT_FOUND - no queue 'missing' in vhost 'VHOST'")
	}),
	each("messages arrive in the order of their publishing", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.ok(s.Confirm(false))
		var bodies []string
		for i := range 200 {
			bodies = append(bodies, fmt.Sprint(i))
			s.plain("q", bodies[i])
		}
		s.expect(s.another().consume("q", false), bodies...)
	}),
	each("a delivery names its consumer, its exchange and its routing key", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.bind("q", "a.#", "amq.topic", nil)
		s.publish("amq.topic", "a.b", "x")
		d := s.receive(s.subscribe("q", consumer{tag: "c"}))
		same(t, "delivery", []any{d.ConsumerTag, d.Exchange, d.RoutingKey, d.Redelivered}, []any{"c", "amq.topic", "a.b", false})
	}),
	each("consumers with room take turns", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.qos(10)
		one, two := s.consume("q", false), s.channel().consume("q", false)
		s.fill("q", "1", "2", "3", "4")
		// Who begins is the broker's choice.
		first := s.receive(one)
		if string(first.Body) == "1" {
			s.expect(two, "2", "4")
			s.expect(one, "3")
		} else {
			same(t, "the second's", string(first.Body), "2")
			s.expect(two, "1", "3")
			s.expect(one, "4")
		}
	}),
	{"an exclusive consumer is alone", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.subscribe("q", consumer{tag: "c", exclusive: true})
		other := s.another()
		_, err := other.Consume("q", "", false, false, false, false, nil)
		other.refused(err, 403, "ACCESS_REFUSED - queue 'q' in vhost 'VHOST' in exclusive use")
		s.ok(s.Cancel("c", false))
		s.another().consume("q", false)
	}},
	{"an exclusive consumer needs a queue without consumers", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.consume("q", false)
		other := s.another()
		_, err := other.Consume("q", "", false, true, false, false, nil)
		other.refused(err, 403, "ACCESS_REFUSED - queue 'q' in vhost 'VHOST' in exclusive use")
	}},
	{"a quorum queue does not hold exclusive consumers to it", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		s.subscribe("q", consumer{exclusive: true})
		s.another().subscribe("q", consumer{exclusive: true})
	}},
	each("cancel ends deliveries, and what is unacked stays so", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1")
		deliveries := s.subscribe("q", consumer{tag: "c"})
		d := s.receive(deliveries)
		s.ok(s.Cancel("c", false))
		s.fill("q", "2")
		s.ready("q", 1)
		s.ok(d.Nack(false, true))
		s.ready("q", 2)
	}),
	{"cancel of an unknown consumer is answered", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.Cancel("nobody", false))
		s.ok(s.Confirm(false))
	}},
	each("deleting a queue cancels its consumers and returns what was ready", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2", "3")
		s.qos(1)
		cancelled := s.NotifyCancel(make(chan string, 1))
		s.receive(s.subscribe("q", consumer{tag: "c"}))
		n, err := s.another().QueueDelete("q", false, false, false)
		s.ok(err)
		same(t, "deleted", n, 2)
		same(t, "cancelled", receive(t, cancelled), "c")
		s.ok(s.Confirm(false)) // the channel is open
	}),
	{"a client that does not ask for it is not told of a cancel", func(t *testing.T, target Target) {
		w := wireChannel(t, target.VHost(t))
		w.echo()
		_, err := dial(t, w.url.String()).QueueDelete("missing", false, false, false)
		if err != nil {
			t.Fatal(err)
		}
		w.call(1, queueDelete, uint16(0), "q", uint8(0))
		w.expect(1, queueDeleteOk)
		w.call(1, confirmSelect, uint8(0))
		w.expect(1, confirmSelectOk)
	}},
	each("noAck deliveries are gone", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2")
		other := s.another()
		s.expect(other.consume("q", true), "1", "2")
		s.ok(other.conn.Close())
		s.eventually("no consumer", func() bool { _, n := s.counts("q"); return n == 0 })
		s.ready("q", 0)
	}),
	each("an ack for a noAck delivery is refused", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1")
		s.ok(s.receive(s.consume("q", true)).Ack(false))
		s.closes(406, "PRECONDITION_FAILED - unknown delivery tag 1")
	}),
	each("messages go to the consumer of the highest priority that has room", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.qos(1)
		low := s.subscribe("q", consumer{args: amqp.Table{"x-priority": 1}})
		second := s.channel()
		second.qos(2)
		high := second.subscribe("q", consumer{args: amqp.Table{"x-priority": 2}})
		s.fill("q", "1", "2", "3", "4")
		s.expect(high, "1", "2")
		d := s.expect(low, "3")
		s.ready("q", 1)
		s.ok(d[0].Ack(false))
		s.expect(low, "4")
	}),
	each("one active consumer gets all until it ends", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-single-active-consumer", true))
		first := s.subscribe("q", consumer{tag: "first", autoAck: true})
		other, third := s.another(), s.another()
		second := other.consume("q", true)
		last := third.subscribe("q", consumer{autoAck: true})
		s.fill("q", "1", "2")
		s.expect(first, "1", "2")
		s.ok(s.Cancel("first", false))
		s.fill("q", "3", "4")
		s.expect(second, "3", "4")
		s.ok(other.conn.Close())
		s.fill("q", "5")
		s.expect(last, "5")
	}),
}
