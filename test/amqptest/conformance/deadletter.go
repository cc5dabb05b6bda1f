package conformance

import (
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

var deadLetterChecks = []check{
	each("a rejected message is dead-lettered with the record of its death", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind)
		s.bind("q", "key", "amq.direct", nil)
		s.send("amq.direct", "key", amqp.Publishing{Headers: amqp.Table{"k": "v"}, MessageId: "id", Body: []byte("x")})
		before := time.Now().Add(-2 * time.Second)
		s.ok(s.take("q").Reject(false))
		d := s.get("letters")
		same(t, "letter", []any{string(d.Body), d.Exchange, d.RoutingKey, d.MessageId, d.Headers["k"], d.Redelivered}, []any{"x", "dead", "key", "id", "v", false})
		death := deaths(t, d, 1)[0]
		if at, ok := death["time"].(time.Time); !ok || at.Before(before) || at.After(time.Now().Add(2*time.Second)) {
			t.Errorf("died at %v", death["time"])
		}
		delete(death, "time")
		same(t, "x-death", death, amqp.Table{
			"count": int64(1), "reason": "rejected", "queue": "q", "exchange": "amq.direct", "routing-keys": []any{"key"},
		})
		same(t, "x-first-death", []any{d.Headers["x-first-death-reason"], d.Headers["x-first-death-queue"], d.Headers["x-first-death-exchange"]},
			[]any{"rejected", "q", "amq.direct"})
	}),
	each("a nacked message is dead-lettered as rejected", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind)
		s.fill("q", "x")
		s.ok(s.take("q").Nack(false, false))
		same(t, "reason", deaths(t, s.get("letters"), 1)[0]["reason"], any("rejected"))
	}),
	each("an expired message is dead-lettered without its expiration", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind)
		s.expiring("q", soon, "x")
		d := s.get("letters")
		death := deaths(t, d, 1)[0]
		delete(death, "time")
		same(t, "x-death", death, amqp.Table{
			"count": int64(1), "reason": "expired", "queue": "q", "exchange": "", "routing-keys": []any{"q"}, "original-expiration": soon,
		})
		same(t, "expiration", d.Expiration, "")
	}),
	each("what expires by its queue's time has no original expiration", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind, "x-message-ttl", soonQueue)
		s.fill("q", "x")
		if was, ok := deaths(t, s.get("letters"), 1)[0]["original-expiration"]; ok {
			t.Errorf("original-expiration %v", was)
		}
	}),
	each("what a queue's length drops is dead-lettered", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind, "x-max-length", 1)
		s.fill("q", "1", "2")
		d := s.get("letters")
		same(t, "letter", []any{string(d.Body), deaths(t, d, 1)[0]["reason"]}, []any{"1", "maxlen"})
		s.arrive("q", "2")
	}),
	{"what exceeds the delivery limit is dead-lettered", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.dying(quorum, "x-delivery-limit", 2)
		s.fill("q", "x")
		for range 3 {
			s.ok(s.take("q").Nack(false, true))
		}
		same(t, "reason", deaths(t, s.get("letters"), 1)[0]["reason"], any("delivery_limit"))
	}},
	{"what exceeds the delivery limit is dropped without an exchange for it", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum, "x-delivery-limit", 1))
		s.fill("q", "x")
		for range 2 {
			s.ok(s.take("q").Nack(false, true))
		}
		s.ready("q", 0)
	}},
	each("a dead-letter routing key replaces the message's", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind, "x-dead-letter-routing-key", "other")
		s.fill("q", "x")
		s.ok(s.take("q").Reject(false))
		d := s.get("letters")
		same(t, "keys", []any{d.RoutingKey, deaths(t, d, 1)[0]["routing-keys"]}, []any{"other", any([]any{"q"})})
	}),
	each("a second death in the same queue for the same reason is counted", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind)
		s.fill("q", "x")
		s.ok(s.take("q").Reject(false))
		again := s.get("letters")
		s.send("", "q", amqp.Publishing{Headers: again.Headers, Body: again.Body})
		s.ok(s.take("q").Reject(false))
		same(t, "count", deaths(t, s.get("letters"), 1)[0]["count"], any(int64(2)))
	}),
	each("the latest death comes first", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind)
		s.queue("before", with(kind, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "q"))
		s.expiring("before", soon, "x")
		s.ok(s.take("q").Reject(false))
		d := s.get("letters")
		all := deaths(t, d, 2)
		same(t, "deaths", []any{all[0]["queue"], all[0]["reason"], all[1]["queue"], all[1]["reason"]}, []any{"q", "rejected", "before", "expired"})
		same(t, "x-first-death", []any{d.Headers["x-first-death-reason"], d.Headers["x-first-death-queue"], d.Headers["x-first-death-exchange"]},
			[]any{"expired", "before", ""})
	}),
	each("two reasons in the same queue are two deaths", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind)
		s.expiring("q", soon, "x")
		again := s.get("letters")
		s.send("", "q", amqp.Publishing{Headers: again.Headers, Body: again.Body})
		s.ok(s.take("q").Reject(false))
		all := deaths(t, s.get("letters"), 2)
		same(t, "deaths", []any{all[0]["reason"], all[1]["reason"]}, []any{"rejected", "expired"})
	}),
	each("a message that would expire in circles is dropped", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-message-ttl", soonQueue, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "p"))
		s.queue("p", with(kind, "x-message-ttl", soonQueue, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "q"))
		s.queue("clock", with(classic, "x-message-ttl", 10*soonQueue))
		s.fill("q", "x")
		s.fill("clock", "x")
		s.ready("clock", 0)
		s.ready("q", 0)
		s.ready("p", 0)
	}),
	each("a message that is rejected in circles is not dropped", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-dead-letter-exchange", "", "x-dead-letter-routing-key", "q"))
		s.fill("q", "x")
		for range 3 {
			s.ok(s.take("q").Reject(false))
		}
		same(t, "count", deaths(t, s.get("q"), 1)[0]["count"], any(int64(3)))
	}),
	each("a dead-letter exchange that is missing swallows", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-dead-letter-exchange", "dead"))
		s.fill("q", "1", "2")
		s.ok(s.take("q").Reject(false))
		s.exchange("dead", "fanout", nil)
		s.queue("letters", with(classic))
		s.bind("letters", "", "dead", nil)
		s.ok(s.take("q").Reject(false))
		s.arrive("letters", "2")
	}),
	each("a dead letter goes by all its keys, CC too", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-dead-letter-exchange", "dead"))
		s.exchange("dead", "direct", nil)
		for _, key := range []string{"q", "copy"} {
			s.queue(key+" letters", with(classic))
			s.bind(key+" letters", key, "dead", nil)
		}
		s.send("", "q", amqp.Publishing{Headers: amqp.Table{"CC": []any{"copy"}}})
		s.ok(s.take("q").Reject(false))
		for _, key := range []string{"q", "copy"} {
			d := s.get(key + " letters")
			same(t, "key and CC", []any{d.RoutingKey, d.Headers["CC"]}, []any{"q", any([]any{"copy"})})
		}
	}),
	each("CC goes on in the routing keys of the death, and with a key of its own is gone", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.dying(kind, "x-dead-letter-routing-key", "other")
		s.send("", "q", amqp.Publishing{Headers: amqp.Table{"CC": []any{"copy"}}})
		s.ok(s.take("q").Reject(false))
		d := s.get("letters")
		same(t, "routing-keys", deaths(t, d, 1)[0]["routing-keys"], any([]any{"q", "copy"}))
		if cc, ok := d.Headers["CC"]; ok {
			t.Errorf("CC is %v", cc)
		}
	}),
}

// dying declares q, whose dead letters go through the exchange dead to letters.
func (s *session) dying(kind string, pairs ...any) {
	s.t.Helper()
	s.exchange("dead", "fanout", nil)
	s.queue("letters", with(classic))
	s.bind("letters", "", "dead", nil)
	s.queue("q", with(kind, append(pairs, "x-dead-letter-exchange", "dead")...))
}

// deaths takes a dead letter's header apart, which is to tell of so many.
func deaths(t *testing.T, d amqp.Delivery, want int) []amqp.Table {
	t.Helper()
	list, ok := d.Headers["x-death"].([]any)
	if !ok || len(list) != want {
		t.Fatalf("x-death is %#v, want %d", d.Headers["x-death"], want)
	}
	var all []amqp.Table
	for _, entry := range list {
		death, ok := entry.(amqp.Table)
		if !ok {
			t.Fatalf("a death is a %T", entry)
		}
		all = append(all, death)
	}
	return all
}
