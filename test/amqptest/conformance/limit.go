package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var limitChecks = []check{
	each("a full queue drops its oldest", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-max-length", 2))
		s.fill("q", "1", "2", "3", "4")
		s.arrive("q", "3", "4")
	}),
	each("the length counts what is ready alone", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-max-length", 1))
		s.fill("q", "1")
		d := s.take("q")
		s.fill("q", "2")
		s.ready("q", 1)
		s.ok(d.Ack(false))
		s.arrive("q", "2")
	}),
	each("the length may be in bytes of bodies", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind, "x-max-length-bytes", 10))
		s.fill("q", "12345", "67890")
		s.ready("q", 2)
		s.fill("q", "x")
		s.arrive("q", "67890", "x")
	}),
	{"a message larger than its queue drops itself", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic, "x-max-length-bytes", 3))
		s.fill("q", "1", "1234")
		s.ready("q", 0)
	}},
	{"a queue of length 0 holds nothing", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic, "x-max-length", 0))
		s.fill("q", "x")
		s.ready("q", 0)
	}},
	{"reject-publish-dlx dead-letters what it nacks", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.dying(classic, "x-max-length", 1, "x-overflow", "reject-publish-dlx")
		s.fill("q", "1")
		if s.confirmed("", "q", amqp.Publishing{Body: []byte("2")}) {
			t.Error("acked")
		}
		d := s.get("letters")
		same(t, "letter", []any{string(d.Body), deaths(t, d, 1)[0]["reason"]}, []any{"2", "maxlen"})
		s.arrive("q", "1")
	}},
	{"reject-publish drops silently without confirms", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic, "x-max-length", 1, "x-overflow", "reject-publish"))
		s.plain("q", "1")
		s.plain("q", "2")
		s.arrive("q", "1")
	}},
	{"a priority queue gives the highest first, in order among equals", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic, "x-max-priority", 5))
		for _, m := range []struct {
			body     string
			priority uint8
		}{{"none", 0}, {"low", 1}, {"high", 5}, {"above", 200}, {"low again", 1}, {"none again", 0}} {
			s.send("", "q", amqp.Publishing{Priority: m.priority, Body: []byte(m.body)})
		}
		s.arrive("q", "high", "above", "low", "low again", "none", "none again")
	}},
	{"priorities mean nothing to a queue without them", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.send("", "q", amqp.Publishing{Priority: 1, Body: []byte("1")})
		s.send("", "q", amqp.Publishing{Priority: 9, Body: []byte("2")})
		s.arrive("q", "1", "2")
	}},
}
