package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var quorumChecks = []check{
	{"quorum queue must be durable, shared and lasting", func(t *testing.T, target Target) {
		s := begin(t, target)
		for text, flags := range map[string][3]bool{
			"non-durable":     {false, false, false},
			"auto-delete":     {true, true, false},
			"exclusive-owner": {true, false, true},
		} {
			s := s.channel()
			_, err := s.QueueDeclare("q", flags[0], flags[1], flags[2], false, with(quorum))
			s.refused(err, 406, "PRECONDITION_FAILED - invalid property '"+text+"' for queue 'q' in vhost 'VHOST'")
		}
	}},
	{"quorum queue refuses arguments that are wrong or of another type", func(t *testing.T, target Target) {
		s := begin(t, target)
		for _, row := range []struct {
			args amqp.Table
			text string
		}{
			{amqp.Table{"x-max-priority": int32(5)}, "'x-max-priority' for queue 'q' in vhost 'VHOST' of queue type rabbit_quorum_queue"},
			{amqp.Table{"x-queue-mode": "lazy"}, "'x-queue-mode' for queue 'q' in vhost 'VHOST' of queue type rabbit_quorum_queue"},
			{amqp.Table{"x-max-age": "1h"}, "'x-max-age' for queue 'q' in vhost 'VHOST' of queue type rabbit_quorum_queue"},
			{amqp.Table{"x-message-ttl": int32(-1)}, "'x-message-ttl' for queue 'q' in vhost 'VHOST': {value_negative,-1}"},
			{amqp.Table{"x-max-length": "1"}, "'x-max-length' for queue 'q' in vhost 'VHOST': \"expected integer, got longstr\""},
			{amqp.Table{"x-quorum-initial-group-size": int32(0)}, "'x-quorum-initial-group-size' for queue 'q' in vhost 'VHOST': {value_zero,0}"},
			{amqp.Table{"x-dead-letter-strategy": "nope"}, "'x-dead-letter-strategy' for queue 'q' in vhost 'VHOST': invalid_dlx_strategy"},
			{amqp.Table{"x-dead-letter-routing-key": "k"}, "'x-dead-letter-routing-key' for queue 'q' in vhost 'VHOST': routing_key_but_no_dlx_defined"},
		} {
			s := s.channel()
			row.args["x-queue-type"] = quorum
			_, err := s.QueueDeclare("q", true, false, false, false, row.args)
			s.refused(err, 406, "PRECONDITION_FAILED - invalid arg "+row.text)
		}
	}},
	{"quorum queue accepts limits, expiry and dead-lettering", func(t *testing.T, target Target) {
		s := begin(t, target)
		for _, args := range []amqp.Table{
			{"x-delivery-limit": int32(1)}, {"x-expires": int32(60000)}, {"x-message-ttl": int32(60000)}, {"x-max-length": int32(1)},
			{"x-max-length-bytes": int32(1)}, {"x-overflow": "reject-publish"}, {"x-single-active-consumer": true},
			{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": "k"}, {"x-quorum-initial-group-size": int32(1)},
		} {
			args["x-queue-type"] = quorum
			_, err := s.QueueDelete(s.queue("q", args), false, false, false)
			s.ok(err)
		}
	}},
	{"quorum queue must have a name", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.QueueDeclare("", true, false, false, false, with(quorum))
		s.refused(err, 406, "PRECONDITION_FAILED - Cannot declare a server-named queue for type rabbit_quorum_queue")
	}},
	{"quorum queue cannot be declared as a classic one or with other arguments", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		s.queue("q", with(quorum))
		for text, args := range map[string]amqp.Table{
			"'x-queue-type' for queue 'q' in vhost 'VHOST': received none but current is the value 'quorum' of type 'longstr'": nil,
			"'x-queue-type' for queue 'q' in vhost 'VHOST': received 'classic' but current is 'quorum'":                        {"x-queue-type": "classic"},
			"'x-max-length' for queue 'q' in vhost 'VHOST': received the value '1' of type 'signedint' but current is none":    with(quorum, "x-max-length", int32(1)),
		} {
			s := s.channel()
			_, err := s.QueueDeclare("q", true, false, false, false, args)
			s.refused(err, 406, "PRECONDITION_FAILED - inequivalent arg "+text)
		}
	}},
	{"quorum queue counts, purges and deletes", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		for range 3 {
			s.publish("", "q", "m")
		}
		s.ready("q", 3)
		s.eventually("one is taken", func() bool {
			_, ok, err := s.Get("q", false)
			s.ok(err)
			return ok
		})
		s.ready("q", 2)
		n, err := s.QueuePurge("q", false)
		s.ok(err)
		same(t, "purged", n, 2)
		s.publish("", "q", "m")
		s.ready("q", 1)
		n, err = s.QueueDelete("q", false, false, false)
		s.ok(err)
		same(t, "deleted", n, 1)
		if s.has("q") {
			t.Error("still there after delete-ok")
		}
	}},
	{"quorum queue cannot be deleted on a condition", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		_, err := s.QueueDelete("q", true, false, false)
		s.refused(err, 540, "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost 'VHOST'. "+
			"queue.delete operations with if-unused flag set are not supported by quorum queues")
		s = s.another()
		_, err = s.QueueDelete("q", false, true, false)
		s.refused(err, 540, "NOT_IMPLEMENTED - cannot delete queue 'q' in vhost 'VHOST'. "+
			"queue.delete operations with if-empty flag set are not supported by quorum queues")
	}},
}
