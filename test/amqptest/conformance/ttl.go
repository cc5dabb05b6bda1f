package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// soon is a time to live, in milliseconds, and late one that no test lives.
const (
	soon      = "30"
	soonQueue = int32(30)
	late      = "3600000"
	lateQueue = int32(3600000)
)

var ttlChecks = []check{
	each("an expiration that is no number is refused", badExpiration("soon", "no_integer")),
	each("a text after the expiration's number is refused", badExpiration("12 s", "{leftover_string,\" s\"}")),
	each("a negative expiration is refused", badExpiration("-1", "{value_negative,-1}")),
	each("an expiration of more than ten years is refused", badExpiration("315360000001", "{value_too_large,315360000001}")),
	each("a message expires at its own time", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.expiring("q", soon, "x")
		s.ready("q", 0)
	}),
	each("a message expires at its queue's time", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-message-ttl", soonQueue))
		s.fill("q", "x")
		s.ready("q", 0)
	}),
	each("the shorter of the two times counts: the message's", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-message-ttl", lateQueue))
		s.expiring("q", soon, "x")
		s.ready("q", 0)
	}),
	each("the shorter of the two times counts: the queue's", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-message-ttl", soonQueue))
		s.expiring("q", late, "x")
		s.ready("q", 0)
	}),
	each("a message expires only once it is at the head", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.exchange("dead", "fanout", nil)
		s.queue("letters", with(classic))
		s.bind("letters", "", "dead", nil)
		s.queue("q", with(kind, "x-dead-letter-exchange", "dead"))
		s.queue("clock", with(kind))
		s.expiring("q", late, "late")
		s.expiring("q", soon, "soon")
		s.expiring("clock", "100", "x")
		s.ready("clock", 0)
		s.ready("q", 2)
		same(t, "at the head", string(s.get("q").Body), "late")
		s.arrive("letters", "soon")
	}),
	each("a message that is out does not expire until it is back", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-message-ttl", int32(300)))
		s.queue("clock", with(kind, "x-message-ttl", int32(300)))
		s.fill("q", "x")
		d := s.take("q")
		s.fill("clock", "x")
		s.ready("clock", 0)
		s.ok(d.Nack(false, true))
		s.ready("q", 0)
	}),
	each("expiration 0 reaches a consumer that waits", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		deliveries := s.consume("q", true)
		for range 20 {
			s.expiring("q", "0", "x")
			same(t, "expiration", s.receive(deliveries).Expiration, "0")
		}
	}),
	each("expiration 0 is gone without a consumer that waits", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.expiring("q", "0", "x")
		s.ready("q", 0) // a quorum queue takes its time
		s.qos(1)
		deliveries := s.consume("q", false)
		s.fill("q", "busy")
		d := s.expect(deliveries, "busy")
		s.expiring("q", "0", "gone")
		s.ready("q", 0)
		s.ok(d[0].Ack(false))
		s.fill("q", "next")
		s.expect(deliveries, "next")
	}),
	each("an expiration arrives as sent", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-message-ttl", lateQueue/2))
		s.expiring("q", late, "x")
		same(t, "expiration", s.get("q").Expiration, late)
	}),
	each("x-message-ttl 0 delivers to who waits alone", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-message-ttl", 0))
		s.fill("q", "gone")
		s.ready("q", 0)
		deliveries := s.consume("q", true)
		s.fill("q", "x")
		s.expect(deliveries, "x")
	}),
	{"a queue expires that nobody uses", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic, "x-expires", 50))
		s.gone("q")
	}},
	{"a queue does not expire while it has a consumer", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic, "x-expires", 100))
		s.subscribe("q", consumer{tag: "c"})
		s.queue("clock", with(classic, "x-message-ttl", 300))
		s.fill("clock", "x")
		s.ready("clock", 0)
		s.ready("q", 0)
		s.ok(s.Cancel("c", false))
		s.gone("q")
	}},
}

// gone waits for the end of a queue without using it: a declare, even a passive
// one, would be a use.
func (s *session) gone(queue string) {
	s.t.Helper()
	returns := s.returns()
	s.eventually(queue+" is gone", func() bool {
		s.mandatory("", queue, amqp.Publishing{})
		return len(returns) > 0
	})
}

// expiring publishes a message with a time to live.
func (s *session) expiring(queue, expiration, body string) {
	s.t.Helper()
	s.send("", queue, amqp.Publishing{Expiration: expiration, Body: []byte(body)})
}

func badExpiration(expiration, text string) func(*testing.T, Target, string) {
	return func(t *testing.T, target Target, kind string) {
		t.Helper()
		s := begin(t, target)
		s.queue("q", with(kind))
		s.start("", "q", amqp.Publishing{Expiration: expiration})
		s.closes(406, "PRECONDITION_FAILED - invalid expiration '"+expiration+"': "+text)
	}
}
