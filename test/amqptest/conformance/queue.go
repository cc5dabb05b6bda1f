package conformance

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lockedText is of every attempt at queue q by whom it is not for.
const lockedText = "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'q' in vhost 'VHOST'. " +
	"It could be originally declared on another connection or the exclusive property value does not match that of " +
	"the original declaration."

var queueChecks = []check{
	{"queue without a name is named by the broker", func(t *testing.T, target Target) {
		s := begin(t, target)
		one, two := s.queue("", nil), s.queue("", nil)
		if !strings.HasPrefix(one, "amq.gen-") || len(one) != len("amq.gen-")+22 || one == two {
			t.Errorf("names %q and %q", one, two)
		}
		_, err := s.QueueDeclare(one, true, false, false, false, nil)
		s.refused(err, 403, "ACCESS_REFUSED - queue name '"+one+"' contains reserved prefix 'amq.*'")
	}},
	{"empty name stands for the last queue declared on the channel", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("other", nil)
		s.queue("q", nil)
		s.another().queue("elsewhere", nil)
		s.bind("", "k", "amq.direct", nil)
		s.publish("amq.direct", "k", "m")
		s.holds("", "m")
		// As a key, too, if no key is given.
		s.bind("", "", "amq.direct", nil)
		s.publish("amq.direct", "q", "by its name")
		s.holds("", "by its name")
		s.publish("", "q", "one")
		n, err := s.QueuePurge("", false)
		s.ok(err)
		same(t, "purged", n, 1)
		s.consume("", true)
		s.publish("", "q", "m")
		_, err = s.QueueDelete("", false, false, false)
		s.ok(err)
		if s.has("q") || !s.has("other") {
			t.Error("the wrong queue is gone")
		}
	}},
	{"empty name on a channel that declared nothing is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.QueueDeclarePassive("", true, false, false, false, nil)
		s.refused(err, 404, "NOT_FOUND - no queue '' in vhost 'VHOST'")
		s = s.channel()
		_, _, err = s.Get("", true)
		s.refused(err, 404, "NOT_FOUND - no previously declared queue")
		s = s.channel()
		_, err = s.Consume("", "", true, false, false, false, nil)
		s.refused(err, 404, "NOT_FOUND - no previously declared queue")
		s = s.channel()
		s.refused(s.QueueBind("", "k", "amq.direct", false, nil), 404, "NOT_FOUND - no previously declared queue")
		s = s.channel()
		_, err = s.QueueDelete("", false, false, false)
		s.refused(err, 404, "NOT_FOUND - no previously declared queue")
	}},
	{"declare-ok counts ready messages and consumers", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		for range 3 {
			s.publish("", "q", "m")
		}
		_, ok, err := s.Get("q", false)
		if s.ok(err); !ok {
			t.Fatal("empty")
		}
		messages, consumers := s.counts("q")
		same(t, "passive", []int{messages, consumers}, []int{2, 0})
		s.ok(s.Qos(1, 0, false))
		for range 2 {
			s.receive(s.consume("q", false))
		}
		q, err := s.QueueDeclare("q", true, false, false, false, nil)
		s.ok(err)
		same(t, "declare", []int{q.Messages, q.Consumers}, []int{0, 2})
	}},
	{"passive declare compares neither flags nor arguments", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		_, err := s.QueueDeclarePassive("q", false, true, false, false, amqp.Table{"x-max-length": int32(1)})
		s.ok(err)
	}},
	{"passive declare of a missing queue is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.QueueDeclarePassive("q", true, false, false, false, nil)
		s.refused(err, 404, "NOT_FOUND - no queue 'q' in vhost 'VHOST'")
	}},
	{"names that begin with amq. are reserved", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.QueueDeclare("amq.q", true, false, false, false, nil)
		s.refused(err, 403, "ACCESS_REFUSED - queue name 'amq.q' contains reserved prefix 'amq.*'")
		s = s.channel()
		_, err = s.QueueDeclarePassive("amq.q", true, false, false, false, nil)
		s.refused(err, 404, "NOT_FOUND - no queue 'amq.q' in vhost 'VHOST'")
	}},
	{"name of 255 bytes is accepted", func(t *testing.T, target Target) {
		s := begin(t, target)
		name := s.queue(strings.Repeat("ü", 127)+"q", nil)
		s.publish("", name, "m")
		s.holds(name, "m")
	}},
	{"exclusive queue is locked to its connection", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.QueueDeclare("q", false, false, true, false, nil)
		s.ok(err)
		s.channel().publish("", "q", "same connection")
		s.bind("q", "k", "amq.direct", nil)
		for name, act := range map[string]func(*session) error{
			"declare": func(s *session) error {
				_, err := s.QueueDeclare("q", false, false, true, false, nil)
				return err
			},
			"passive": func(s *session) error {
				_, err := s.QueueDeclarePassive("q", false, false, false, false, nil)
				return err
			},
			"get": func(s *session) error {
				_, _, err := s.Get("q", true)
				return err
			},
			"consume": func(s *session) error {
				_, err := s.Consume("q", "", true, false, false, false, nil)
				return err
			},
			"bind":   func(s *session) error { return s.QueueBind("q", "k", "amq.direct", false, nil) },
			"unbind": func(s *session) error { return s.QueueUnbind("q", "k", "amq.direct", nil) },
			"purge": func(s *session) error {
				_, err := s.QueuePurge("q", false)
				return err
			},
			"delete": func(s *session) error {
				_, err := s.QueueDelete("q", false, false, false)
				return err
			},
		} {
			t.Log(name)
			other := s.another()
			other.refused(act(other), 405, lockedText)
		}
		s.another().publish("", "q", "anyone may publish")
		s.holds("q", "same connection", "anyone may publish")
	}},
	{"exclusive queue goes with its connection", func(t *testing.T, target Target) {
		s := begin(t, target)
		owner := s.another()
		_, err := owner.QueueDeclare("q", true, false, true, false, nil)
		s.ok(err)
		s.ok(owner.Close())
		owner = owner.channel()
		owner.publish("", "q", "outlives its channel")
		s.ok(owner.conn.Close())
		if s.has("q") {
			t.Error("still there after close-ok")
		}
	}},
	{"exclusive queue goes with a connection that is cut", func(t *testing.T, target Target) {
		s := begin(t, target)
		w := dialWire(t, s.url)
		w.openChannel(1)
		w.declare(1, "q", nil)
		w.expect(1, queueDeclareOk)
		_ = w.conn.Close()
		s.eventually("the queue is gone", func() bool { return !s.has("q") })
	}},
	{"auto-delete queue goes with its last consumer", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.QueueDeclare("q", false, true, false, false, nil)
		s.ok(err)
		s.publish("", "q", "stays while it never had a consumer")
		_, err = s.Consume("q", "one", false, false, false, false, nil)
		s.ok(err)
		other := s.channel()
		other.consume("q", false)
		s.ok(s.Cancel("one", false))
		s.counts("q")
		s.ok(other.Close())
		if s.has("q") {
			t.Error("still there after its last consumer's channel")
		}
	}},
	{"auto-delete queue goes with cancel of its last consumer", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.QueueDeclare("q", false, true, false, false, nil)
		s.ok(err)
		_, err = s.Consume("q", "one", false, false, false, false, nil)
		s.ok(err)
		s.ok(s.Cancel("one", false))
		if s.has("q") {
			t.Error("still there after cancel-ok")
		}
	}},
	{"delete if unused or if empty is refused otherwise", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.publish("", "q", "m")
		_, err := s.QueueDelete("q", false, true, false)
		s.refused(err, 406, "PRECONDITION_FAILED - queue 'q' in vhost 'VHOST' not empty")
		s = s.channel()
		consumer := s.channel()
		consumer.receive(consumer.consume("q", false))
		_, err = s.QueueDelete("q", true, false, false)
		s.refused(err, 406, "PRECONDITION_FAILED - queue 'q' in vhost 'VHOST' in use")
		s = s.channel()
		s.ok(consumer.Close())
		_, err = s.QueueDelete("q", true, true, false)
		s.refused(err, 406, "PRECONDITION_FAILED - queue 'q' in vhost 'VHOST' not empty")
		s = s.channel()
		s.holds("q", "m")
		_, err = s.QueueDelete("q", true, true, false)
		s.ok(err)
	}},
	{"delete and purge tell how many ready messages went", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		for range 3 {
			s.publish("", "q", "m")
		}
		_, ok, err := s.Get("q", false)
		if s.ok(err); !ok {
			t.Fatal("empty")
		}
		n, err := s.QueuePurge("q", false)
		s.ok(err)
		same(t, "purged", n, 2)
		s.publish("", "q", "m")
		n, err = s.QueueDelete("q", false, false, false)
		s.ok(err)
		same(t, "deleted", n, 1)
	}},
	{"delete of a missing queue is accepted, purge is not", func(t *testing.T, target Target) {
		s := begin(t, target)
		n, err := s.QueueDelete("q", false, false, false)
		s.ok(err)
		same(t, "deleted", n, 0)
		_, err = s.QueueDelete("q", true, true, false)
		s.ok(err)
		_, err = s.QueuePurge("q", false)
		s.refused(err, 404, "NOT_FOUND - no queue 'q' in vhost 'VHOST'")
	}},
}
