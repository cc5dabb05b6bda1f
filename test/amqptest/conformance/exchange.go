package conformance

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var exchangeChecks = []check{
	{"predeclared exchanges exist and may be declared as they are", func(t *testing.T, target Target) {
		s := begin(t, target)
		for name, kind := range map[string]string{
			"amq.direct": "direct", "amq.fanout": "fanout", "amq.topic": "topic", "amq.headers": "headers", "amq.match": "headers",
		} {
			s.ok(s.ExchangeDeclarePassive(name, kind, true, false, false, false, nil))
			s.exchange(name, kind, nil)
		}
	}},
	{"predeclared exchange cannot be declared otherwise", func(t *testing.T, target Target) {
		s := begin(t, target)
		err := s.ExchangeDeclare("amq.direct", "topic", true, false, false, false, nil)
		s.refused(err, 406, "PRECONDITION_FAILED - inequivalent arg 'type' for exchange 'amq.direct' in vhost 'VHOST': "+
			"received 'topic' but current is 'direct'")
	}},
	{"names that begin with amq. are reserved", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.refused(s.ExchangeDeclare("amq.x", "direct", true, false, false, false, nil),
			403, "ACCESS_REFUSED - exchange name 'amq.x' contains reserved prefix 'amq.*'")
		s = s.channel()
		s.refused(s.ExchangeDelete("amq.direct", false, false),
			403, "ACCESS_REFUSED - deletion of system exchange 'amq.direct' in vhost 'VHOST' not allowed")
		s = s.channel()
		s.refused(s.ExchangeDelete("amq.x", false, false),
			403, "ACCESS_REFUSED - deletion of system exchange 'amq.x' in vhost 'VHOST' not allowed")
	}},
	{"default exchange cannot be declared, deleted or bound", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.exchange("x", "fanout", nil)
		for name, act := range map[string]func(*session) error{
			"passive":     func(s *session) error { return s.ExchangeDeclarePassive("", "direct", true, false, false, false, nil) },
			"declare":     func(s *session) error { return s.ExchangeDeclare("", "direct", true, false, false, false, nil) },
			"delete":      func(s *session) error { return s.ExchangeDelete("", false, false) },
			"bind":        func(s *session) error { return s.QueueBind("q", "k", "", false, nil) },
			"unbind":      func(s *session) error { return s.QueueUnbind("q", "q", "", nil) },
			"source":      func(s *session) error { return s.ExchangeBind("x", "k", "", false, nil) },
			"destination": func(s *session) error { return s.ExchangeBind("", "k", "x", false, nil) },
		} {
			t.Log(name)
			s := s.channel()
			s.refused(act(s), 403, "ACCESS_REFUSED - operation not permitted on the default exchange")
		}
	}},
	{"unknown type is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		err := s.ExchangeDeclare("x", "nope", true, false, false, false, nil)
		s.refused(err, 503, "COMMAND_INVALID - unknown exchange type 'nope'")
	}},
	{"passive declare of a missing exchange is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		err := s.ExchangeDeclarePassive("x", "direct", true, false, false, false, nil)
		s.refused(err, 404, "NOT_FOUND - no exchange 'x' in vhost 'VHOST'")
	}},
	{"passive declare compares neither type, flags nor arguments", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("x", "topic", nil)
		s.ok(s.ExchangeDeclarePassive("x", "direct", false, true, true, false, amqp.Table{"alternate-exchange": "other"}))
		s.ok(s.ExchangeDeclarePassive("x", "nope", false, true, true, false, nil))
	}},
	{"declare again with other properties is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("x", "direct", nil)
		s.exchange("with", "direct", amqp.Table{"alternate-exchange": "a"})
		s.exchange("x", "direct", nil)
		for text, act := range map[string]func(*session) error{
			"'type' for exchange 'x' in vhost 'VHOST': received 'fanout' but current is 'direct'": func(s *session) error {
				return s.ExchangeDeclare("x", "fanout", true, false, false, false, nil)
			},
			"'durable' for exchange 'x' in vhost 'VHOST': received 'false' but current is 'true'": func(s *session) error {
				return s.ExchangeDeclare("x", "direct", false, false, false, false, nil)
			},
			"'auto_delete' for exchange 'x' in vhost 'VHOST': received 'true' but current is 'false'": func(s *session) error {
				return s.ExchangeDeclare("x", "direct", true, true, false, false, nil)
			},
			"'internal' for exchange 'x' in vhost 'VHOST': received 'true' but current is 'false'": func(s *session) error {
				return s.ExchangeDeclare("x", "direct", true, false, true, false, nil)
			},
			"'alternate-exchange' for exchange 'x' in vhost 'VHOST': received the value 'a' of type 'longstr' but current is none": func(s *session) error {
				return s.ExchangeDeclare("x", "direct", true, false, false, false, amqp.Table{"alternate-exchange": "a"})
			},
			"'alternate-exchange' for exchange 'with' in vhost 'VHOST': received none but current is the value 'a' of type 'longstr'": func(s *session) error {
				return s.ExchangeDeclare("with", "direct", true, false, false, false, nil)
			},
			"'alternate-exchange' for exchange 'with' in vhost 'VHOST': received 'b' but current is 'a'": func(s *session) error {
				return s.ExchangeDeclare("with", "direct", true, false, false, false, amqp.Table{"alternate-exchange": "b"})
			},
		} {
			s := s.channel()
			s.refused(act(s), 406, "PRECONDITION_FAILED - inequivalent arg "+text)
		}
	}},
	{"arguments that mean nothing are not compared", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("x", "direct", amqp.Table{"note": "one"})
		s.exchange("x", "direct", amqp.Table{"note": int32(2)})
		s.exchange("x", "direct", nil)
	}},
	{"alternate exchange must be a string", func(t *testing.T, target Target) {
		s := begin(t, target)
		err := s.ExchangeDeclare("x", "direct", true, false, false, false, amqp.Table{"alternate-exchange": int32(1)})
		s.refused(err, 406, "PRECONDITION_FAILED - invalid type 'signedint' for arg 'alternate-exchange' in exchange 'x' in vhost 'VHOST'")
	}},
	{"name of 255 bytes is accepted", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange(strings.Repeat("x", 255), "direct", nil)
		s.queue("q", nil)
		s.bind("q", strings.Repeat("k", 255), strings.Repeat("x", 255), nil)
		s.publish(strings.Repeat("x", 255), strings.Repeat("k", 255), "m")
		s.holds("q", "m")
	}},
	{"delete of a missing exchange is accepted", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.ExchangeDelete("x", false, false))
		s.ok(s.ExchangeDelete("x", true, false))
	}},
	{"delete if unused is refused while something is bound", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("x", "direct", nil)
		s.queue("q", nil)
		s.bind("q", "k", "x", nil)
		s.refused(s.ExchangeDelete("x", true, false), 406, "PRECONDITION_FAILED - exchange 'x' in vhost 'VHOST' in use")
		s = s.channel()
		s.ok(s.QueueUnbind("q", "k", "x", nil))
		s.ok(s.ExchangeDelete("x", true, false))
		if s.hasExchange("x") {
			t.Error("the exchange still exists")
		}
	}},
	{"exchange that is bound to another may be deleted if unused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("source", "fanout", nil)
		s.exchange("x", "fanout", nil)
		s.ok(s.ExchangeBind("x", "", "source", false, nil))
		s.ok(s.ExchangeDelete("x", true, false))
	}},
	{"deleted exchange leaves no bindings behind", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.exchange("x", "fanout", nil)
		s.queue("q", nil)
		s.bind("q", "k", "x", nil)
		s.ok(s.ExchangeDelete("x", false, false))
		s.exchange("x", "fanout", nil)
		s.publish("x", "k", "m")
		s.holds("q")
	}},
	{"publish to an internal exchange is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.ExchangeDeclare("x", "fanout", true, false, true, false, nil))
		s.ok(s.Publish("x", "k", false, false, amqp.Publishing{}))
		s.closes(403, "ACCESS_REFUSED - cannot publish to internal exchange 'x' in vhost 'VHOST'")
	}},
	{"internal exchange routes what another exchange gives it", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.ExchangeDeclare("inner", "fanout", true, false, true, false, nil))
		s.queue("q", nil)
		s.bind("q", "", "inner", nil)
		s.ok(s.ExchangeBind("inner", "#", "amq.topic", false, nil))
		s.publish("amq.topic", "k", "m")
		s.holds("q", "m")
	}},
	{"auto-delete exchange goes with its last binding", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.queue("r", nil)
		s.ok(s.ExchangeDeclare("x", "direct", false, true, false, false, nil))
		s.bind("q", "k", "x", nil)
		s.bind("r", "k", "x", nil)
		s.ok(s.QueueUnbind("q", "k", "x", nil))
		if !s.hasExchange("x") {
			t.Fatal("gone with its first binding")
		}
		_, err := s.QueueDelete("r", false, false, false)
		s.ok(err)
		if s.hasExchange("x") {
			t.Error("outlived its last binding")
		}
	}},
	{"auto-delete exchange goes with the exchange bound to it", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.ExchangeDeclare("x", "direct", false, true, false, false, nil))
		s.exchange("y", "direct", nil)
		s.ok(s.ExchangeBind("y", "k", "x", false, nil))
		s.ok(s.ExchangeDelete("y", false, false))
		if s.hasExchange("x") {
			t.Error("outlived its last binding")
		}
	}},
	{"auto-delete exchange stays until it has had a binding", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.ok(s.ExchangeDeclare("x", "direct", false, true, false, false, nil))
		s.publish("x", "k", "m")
		s.exchange("y", "fanout", nil)
		s.ok(s.ExchangeBind("x", "k", "y", false, nil))
		s.ok(s.ExchangeUnbind("x", "k", "y", false, nil))
		if !s.hasExchange("x") {
			t.Error("gone, though nothing was ever bound to it")
		}
	}},
}
