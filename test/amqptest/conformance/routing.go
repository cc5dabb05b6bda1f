package conformance

import (
	"fmt"
	"slices"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// topicPatterns are binding keys with the routing keys that they match, and
// those that they do not.
var topicPatterns = []struct {
	pattern       string
	match, differ []string
}{
	{"a.b", []string{"a.b"}, []string{"a", "a.b.c", "a.c", "", "A.b", ".a.b", "a.b."}},
	{"*", []string{"a", "*", "#"}, []string{"", "a.b", ".", "a."}},
	{"#", []string{"", "a", "a.b", ".", "a..b"}, nil},
	{"a.*", []string{"a.b", "a.", "a.*"}, []string{"a", "a.b.c", "b.a", ""}},
	{"*.a", []string{"b.a", ".a"}, []string{"a", "b.b.a"}},
	{"a.#", []string{"a", "a.b", "a.b.c", "a."}, []string{"ab", "b.a", ""}},
	{"#.a", []string{"a", "b.a", "c.b.a", ".a"}, []string{"a.b", "ba", ""}},
	{"#.#", []string{"", "a", "a.b", "a.b.c"}, nil},
	{"*.#", []string{"a", "a.b", "."}, []string{""}},
	{"#.*", []string{"a", "a.b", "."}, []string{""}},
	{"*.*", []string{"a.b", "."}, []string{"a", "a.b.c", ""}},
	{"a.#.b", []string{"a.b", "a.c.b", "a.c.d.b", "a..b"}, []string{"a", "b", "a.c", "a.b.c"}},
	{"a.*.b", []string{"a.c.b", "a..b"}, []string{"a.b", "a.c.d.b"}},
	{"#.a.#", []string{"a", "x.a", "a.x", "x.y.a.z"}, []string{"", "b", "x.y"}},
	{"a.*.#.b", []string{"a.c.b", "a.c.d.b"}, []string{"a.b"}},
	{"", []string{""}, []string{"a", "."}},
	{".", []string{"."}, []string{"", "a", "a."}},
	{"a..b", []string{"a..b"}, []string{"a.b", "a.c.b"}},
	{"a*", []string{"a*"}, []string{"ab", "a"}},
	{"a#", []string{"a#"}, []string{"ab", "a"}},
	{"a.b#", []string{"a.b#"}, []string{"a.b", "a.b.c"}},
}

var routingChecks = []check{
	{"default exchange routes to the queue of the key's name", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.queue("r", nil)
		s.publish("", "q", "m")
		s.publish("", "nowhere", "lost")
		s.holds("q", "m")
		s.holds("r")
	}},
	{"direct exchange routes by equal keys", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.queue("r", nil)
		s.bind("q", "one", "amq.direct", nil)
		s.bind("r", "one", "amq.direct", nil)
		s.bind("r", "two", "amq.direct", nil)
		for _, key := range []string{"one", "two", "on", "ONE", ""} {
			s.publish("amq.direct", key, key)
		}
		s.holds("q", "one")
		s.holds("r", "one", "two")
	}},
	{"fanout exchange routes to all", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.queue("r", nil)
		s.bind("q", "one", "amq.fanout", nil)
		s.bind("r", "", "amq.fanout", nil)
		s.publish("amq.fanout", "two", "m")
		s.holds("q", "m")
		s.holds("r", "m")
	}},
	{"topic exchange routes by words", func(t *testing.T, target Target) {
		s := begin(t, target)
		for i, row := range topicPatterns {
			name := fmt.Sprint("x", i)
			s.exchange(name, "topic", nil)
			s.queue("q", nil)
			s.bind("q", row.pattern, name, nil)
			for _, key := range slices.Concat(row.match, row.differ) {
				s.publish(name, key, key)
			}
			if got := s.bodies("q"); !slices.Equal(got, row.match) {
				t.Errorf("%q matches %q, want %q", row.pattern, got, row.match)
			}
		}
	}},
	{"topic exchange with overlapping patterns gives one message", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		for _, pattern := range []string{"a.*", "a.#", "#", "a.b"} {
			s.bind("q", pattern, "amq.topic", nil)
		}
		s.publish("amq.topic", "a.b", "m")
		s.holds("q", "m")
	}},
	{"message to several bindings of a queue arrives once", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.bind("q", "k", "amq.direct", nil)
		s.bind("q", "k", "amq.direct", nil)
		s.bind("q", "k", "amq.direct", amqp.Table{"another": "binding"})
		s.bind("q", "k", "amq.fanout", nil)
		s.bind("q", "l", "amq.fanout", nil)
		s.publish("amq.direct", "k", "direct")
		s.publish("amq.fanout", "k", "fanout")
		s.holds("q", "direct", "fanout")
	}},
	{"binding is undone by the key and the arguments that made it", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.bind("q", "k", "amq.direct", nil)
		s.bind("q", "k", "amq.direct", nil)
		s.bind("q", "k", "amq.direct", amqp.Table{"another": "binding"})
		s.ok(s.QueueUnbind("q", "k", "amq.direct", nil))
		s.publish("amq.direct", "k", "one is left")
		s.ok(s.QueueUnbind("q", "k", "amq.direct", amqp.Table{"a third": "binding"}))
		s.publish("amq.direct", "k", "still")
		s.ok(s.QueueUnbind("q", "k", "amq.direct", amqp.Table{"another": "binding"}))
		s.publish("amq.direct", "k", "lost")
		s.holds("q", "one is left", "still")
	}},
	{"unbinding what is not bound is accepted", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.exchange("x", "fanout", nil)
		s.ok(s.QueueUnbind("q", "k", "amq.direct", nil))
		s.ok(s.ExchangeUnbind("x", "k", "amq.direct", false, nil))
	}},
	{"unbinding what does not exist is accepted", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.ok(s.QueueUnbind("missing", "k", "amq.direct", nil))
		s.ok(s.QueueUnbind("q", "k", "missing", nil))
		s.ok(s.ExchangeUnbind("missing", "k", "amq.direct", false, nil))
	}},
	{"bind of what does not exist is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.refused(s.QueueBind("q", "k", "missing", false, nil), 404, "NOT_FOUND - no exchange 'missing' in vhost 'VHOST'")
		s = s.channel()
		s.refused(s.QueueBind("missing", "k", "amq.direct", false, nil), 404, "NOT_FOUND - no queue 'missing' in vhost 'VHOST'")
		s = s.channel()
		s.refused(s.ExchangeBind("missing", "k", "amq.direct", false, nil), 404, "NOT_FOUND - no exchange 'missing' in vhost 'VHOST'")
		s = s.channel()
		s.refused(s.ExchangeBind("amq.direct", "k", "missing", false, nil), 404, "NOT_FOUND - no exchange 'missing' in vhost 'VHOST'")
		s = s.channel()
		s.refused(s.QueueBind("no queue", "k", "no exchange", false, nil), 404, "NOT_FOUND - no exchange 'no exchange' in vhost 'VHOST'")
	}},
	{"exchanges bound to exchanges route on, once, by the same key", func(t *testing.T, target Target) {
		s := begin(t, target)
		for _, name := range []string{"a", "b", "c"} {
			s.exchange(name, "direct", nil)
		}
		s.queue("q", nil)
		s.ok(s.ExchangeBind("b", "k", "a", false, nil))
		s.ok(s.ExchangeBind("c", "k", "a", false, nil))
		s.ok(s.ExchangeBind("a", "k", "c", false, nil)) // a circle
		s.bind("q", "k", "b", nil)
		s.bind("q", "k", "c", nil)
		s.publish("a", "k", "one")
		s.publish("a", "l", "lost")
		s.ok(s.ExchangeUnbind("b", "k", "a", false, nil))
		s.publish("a", "k", "two")
		s.ok(s.ExchangeUnbind("c", "k", "a", false, nil))
		s.publish("a", "k", "lost")
		s.holds("q", "one", "two")
	}},
	{"message carries the exchange and the key of its publish", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("inner", "fanout", nil)
		s.queue("q", nil)
		s.bind("q", "bound", "inner", nil)
		s.ok(s.ExchangeBind("inner", "#", "amq.topic", false, nil))
		s.publish("amq.topic", "a.b", "m")
		message := s.get("q")
		same(t, "exchange and key", []string{message.Exchange, message.RoutingKey}, []string{"amq.topic", "a.b"})
	}},
	{"queue that is deleted loses its bindings", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.bind("q", "k", "amq.direct", nil)
		_, err := s.QueueDelete("q", false, false, false)
		s.ok(err)
		s.queue("q", nil)
		s.publish("amq.direct", "k", "lost")
		s.holds("q")
	}},
	{"message that an exchange cannot route goes to its alternate exchange", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("last", "fanout", nil)
		s.exchange("second", "direct", amqp.Table{"alternate-exchange": "last"})
		s.exchange("x", "direct", amqp.Table{"alternate-exchange": "second"})
		for _, name := range []string{"first", "middle", "rest"} {
			s.queue(name, nil)
		}
		s.bind("first", "1", "x", nil)
		s.bind("middle", "2", "second", nil)
		s.bind("rest", "", "last", nil)
		for _, key := range []string{"1", "2", "3"} {
			s.publish("x", key, key)
		}
		s.holds("first", "1")
		s.holds("middle", "2")
		s.holds("rest", "3")
	}},
	{"mandatory message that an alternate exchange routes is not returned", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("x", "direct", amqp.Table{"alternate-exchange": "amq.fanout"})
		returns := s.NotifyReturn(make(chan amqp.Return, 2))
		s.queue("q", nil)
		s.bind("q", "", "amq.fanout", nil)
		s.ok(s.Publish("x", "k", true, false, amqp.Publishing{Body: []byte("routed")}))
		s.ok(s.QueueUnbind("q", "", "amq.fanout", nil))
		s.ok(s.Publish("x", "k", true, false, amqp.Publishing{Body: []byte("returned")}))
		returned := receive(t, returns)
		same(t, "returned", string(returned.Body), "returned")
		same(t, "exchange", returned.Exchange, "x")
		s.holds("q", "routed")
	}},
	{"alternate exchange that does not exist loses the message", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("x", "direct", amqp.Table{"alternate-exchange": "missing"})
		s.publish("x", "k", "lost")
		s.exchange("itself", "direct", amqp.Table{"alternate-exchange": "itself"})
		s.publish("itself", "k", "lost")
	}},
}
