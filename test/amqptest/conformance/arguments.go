package conformance

import (
	"maps"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// refusedArguments are arguments that a classic queue may not have, with the
// broker's text. QUEUE stands for the queue and its virtual host.
var refusedArguments = []struct {
	args amqp.Table
	text string
}{
	{amqp.Table{"x-message-ttl": int32(-1)}, "'x-message-ttl' for QUEUE: {value_negative,-1}"},
	{amqp.Table{"x-message-ttl": "100"}, "'x-message-ttl' for QUEUE: \"expected integer, got longstr\""},
	{amqp.Table{"x-message-ttl": 1.5}, "'x-message-ttl' for QUEUE: \"expected integer, got double\""},
	{amqp.Table{"x-message-ttl": true}, "'x-message-ttl' for QUEUE: \"expected integer, got bool\""},
	{amqp.Table{"x-message-ttl": nil}, "'x-message-ttl' for QUEUE: \"expected integer, got void\""},
	{amqp.Table{"x-message-ttl": int64(1) << 62}, "'x-message-ttl' for QUEUE: {value_too_large,4611686018427387904}"},
	{amqp.Table{"x-expires": int32(0)}, "'x-expires' for QUEUE: {value_zero,0}"},
	{amqp.Table{"x-expires": int32(-1)}, "'x-expires' for QUEUE: {value_negative,-1}"},
	{amqp.Table{"x-expires": "1000"}, "'x-expires' for QUEUE: \"expected integer, got longstr\""},
	{amqp.Table{"x-expires": int64(1) << 62}, "'x-expires' for QUEUE: {value_too_large,4611686018427387904}"},
	{amqp.Table{"x-max-length": "10"}, "'x-max-length' for QUEUE: \"expected integer, got longstr\""},
	{amqp.Table{"x-max-length": int32(-1)}, "'x-max-length' for QUEUE: {value_negative,-1}"},
	{amqp.Table{"x-max-length-bytes": "x"}, "'x-max-length-bytes' for QUEUE: \"expected integer, got longstr\""},
	{amqp.Table{"x-max-length-bytes": int32(-1)}, "'x-max-length-bytes' for QUEUE: {value_negative,-1}"},
	{amqp.Table{"x-overflow": "nope"}, "'x-overflow' for QUEUE: invalid_overflow"},
	{amqp.Table{"x-overflow": int32(1)}, "'x-overflow' for QUEUE: {unacceptable_type,signedint}"},
	{amqp.Table{"x-dead-letter-routing-key": "k"}, "'x-dead-letter-routing-key' for QUEUE: routing_key_but_no_dlx_defined"},
	{amqp.Table{"x-dead-letter-exchange": "x", "x-dead-letter-routing-key": int32(1)}, "'x-dead-letter-routing-key' for QUEUE: {unacceptable_type,signedint}"},
	{amqp.Table{"x-max-priority": int32(-1)}, "'x-max-priority' for QUEUE: {value_negative,-1}"},
	{amqp.Table{"x-max-priority": int32(256)}, "'x-max-priority' for QUEUE: {max_value_exceeded,256}"},
	{amqp.Table{"x-max-priority": "1"}, "'x-max-priority' for QUEUE: \"expected integer, got longstr\""},
	{amqp.Table{"x-queue-type": "nope"}, "'x-queue-type' for QUEUE: \"unsupported queue type 'nope'\""},
	{amqp.Table{"x-queue-type": int32(1)}, "'x-queue-type' for QUEUE: {unacceptable_type,signedint}"},
	{amqp.Table{"x-single-active-consumer": "yes"}, "'x-single-active-consumer' for QUEUE: {unacceptable_type,longstr}"},
	{amqp.Table{"x-delivery-limit": int32(1)}, "'x-delivery-limit' for QUEUE of queue type rabbit_classic_queue"},
	{amqp.Table{"x-quorum-initial-group-size": int32(1)}, "'x-quorum-initial-group-size' for QUEUE of queue type rabbit_classic_queue"},
	{amqp.Table{"x-dead-letter-exchange": "x", "x-dead-letter-strategy": "at-least-once"}, "'x-dead-letter-strategy' for QUEUE of queue type rabbit_classic_queue"},
	{amqp.Table{"x-max-age": "1h"}, "'x-max-age' for QUEUE of queue type rabbit_classic_queue"},
}

var argumentChecks = []check{
	{"arguments that a queue cannot have are refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		for _, row := range refusedArguments {
			text := strings.Replace(row.text, "QUEUE", "queue 'q' in vhost 'VHOST'", 1)
			s := s.channel()
			_, err := s.QueueDeclare("q", true, false, false, false, row.args)
			t.Log(row.args)
			s.refused(err, 406, "PRECONDITION_FAILED - invalid arg "+text)
		}
		_, err := s.QueueDeclare("q", true, false, false, false, amqp.Table{"x-dead-letter-exchange": int32(1)})
		s.refused(err, 406, "PRECONDITION_FAILED - invalid type 'signedint' for arg 'x-dead-letter-exchange' in queue 'q' in vhost 'VHOST'")
		if s.has("q") {
			t.Error("a refused declare left a queue")
		}
	}},
	{"arguments at their bounds are accepted", func(t *testing.T, target Target) {
		s := begin(t, target)
		for _, args := range []amqp.Table{
			{"x-message-ttl": int64(0)}, {"x-message-ttl": int64(1) << 33}, {"x-max-length": int32(0)},
			{"x-max-length-bytes": int32(0)}, {"x-max-priority": uint8(255)}, {"x-max-priority": int32(0)},
			{"x-expires": int64(1) << 33}, {"x-overflow": "reject-publish-dlx"}, {"x-queue-type": "classic"},
		} {
			_, err := s.QueueDelete(s.queue("q", args), false, false, false)
			s.ok(err)
		}
	}},
	{"arguments that mean nothing are accepted and not compared", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", amqp.Table{"x-nonsense": "one", "note": true})
		s.queue("q", amqp.Table{"x-nonsense": int32(2)})
		s.queue("q", nil)
	}},
	{"integers of any width are the same argument", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", amqp.Table{"x-max-length": int32(10)})
		for _, n := range []any{int64(10), int16(10), int8(10), uint8(10)} {
			s.queue("q", amqp.Table{"x-max-length": n})
		}
		_, err := s.QueueDeclare("q", true, false, false, false, amqp.Table{"x-max-length": float64(10)})
		s.refused(err, 406, "")
	}},
	{"declare again with other flags is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		for text, flags := range map[string][3]bool{
			"'durable' for queue 'q' in vhost 'VHOST': received 'false' but current is 'true'":     {false, false, false},
			"'auto_delete' for queue 'q' in vhost 'VHOST': received 'true' but current is 'false'": {true, true, false},
		} {
			s := s.channel()
			_, err := s.QueueDeclare("q", flags[0], flags[1], flags[2], false, nil)
			s.refused(err, 406, "PRECONDITION_FAILED - inequivalent arg "+text)
		}
		_, err := s.QueueDeclare("q", true, false, true, false, nil)
		s.refused(err, 405, lockedText)
		s = s.channel()
		_, err = s.QueueDelete("q", false, false, false)
		s.ok(err)
		_, err = s.QueueDeclare("q", false, false, true, false, nil)
		s.ok(err)
		_, err = s.QueueDeclare("q", false, false, false, false, nil)
		s.refused(err, 405, lockedText)
	}},
	{"declare again with other arguments is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("plain", nil)
		args := amqp.Table{"x-max-length": int32(10), "x-dead-letter-exchange": "dlx", "x-overflow": "drop-head"}
		s.queue("q", args)
		s.queue("q", args)
		but := func(name string, value any) amqp.Table {
			other := maps.Clone(args)
			other[name] = value
			return other
		}
		fewer := maps.Clone(args)
		delete(fewer, "x-max-length")
		for _, row := range []struct {
			queue string
			args  amqp.Table
			text  string
		}{
			{"q", but("x-max-length", int32(11)), "'x-max-length' for queue 'q' in vhost 'VHOST': received '11' but current is '10'"},
			{"q", fewer, "'x-max-length' for queue 'q' in vhost 'VHOST': received none but current is the value '10' of type 'signedint'"},
			{"q", but("x-dead-letter-exchange", "other"), "'x-dead-letter-exchange' for queue 'q' in vhost 'VHOST': received 'other' but current is 'dlx'"},
			{"q", but("x-overflow", "reject-publish"), "'x-overflow' for queue 'q' in vhost 'VHOST': received 'reject-publish' but current is 'drop-head'"},
			{"plain", amqp.Table{"x-message-ttl": int32(5)}, "'x-message-ttl' for queue 'plain' in vhost 'VHOST': received the value '5' of type 'signedint' but current is none"},
			{"plain", amqp.Table{"x-message-ttl": int64(5)}, "'x-message-ttl' for queue 'plain' in vhost 'VHOST': received the value '5' of type 'long' but current is none"},
			{"plain", amqp.Table{"x-expires": int32(60000)}, "'x-expires' for queue 'plain' in vhost 'VHOST': received the value '60000' of type 'signedint' but current is none"},
			{"plain", amqp.Table{"x-max-priority": int32(5)}, "'x-max-priority' for queue 'plain' in vhost 'VHOST': received the value '5' of type 'signedint' but current is none"},
			{"plain", amqp.Table{"x-single-active-consumer": true}, "'x-single-active-consumer' for queue 'plain' in vhost 'VHOST': received the value 'true' of type 'bool' but current is none"},
		} {
			s := s.channel()
			_, err := s.QueueDeclare(row.queue, true, false, false, false, row.args)
			s.refused(err, 406, "PRECONDITION_FAILED - inequivalent arg "+row.text)
		}
	}},
	{"queue type is classic unless said otherwise", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", nil)
		s.queue("q", amqp.Table{"x-queue-type": "classic"})
		_, err := s.QueueDeclare("q", true, false, false, false, amqp.Table{"x-queue-type": "quorum"})
		s.refused(err, 406, "PRECONDITION_FAILED - inequivalent arg 'x-queue-type' for queue 'q' in vhost 'VHOST': "+
			"received the value 'quorum' of type 'longstr' but current is none")
	}},
	{"queue expires while nobody uses it, whatever it holds", func(t *testing.T, target Target) {
		s := begin(t, target)
		expires := patience.Brief // long enough to begin to consume, on a busy machine
		s.queue("consumed", amqp.Table{"x-expires": expires.Milliseconds()})
		s.consume("consumed", true)
		began := time.Now()
		s.queue("unused", amqp.Table{"x-expires": expires.Milliseconds()})
		s.expires("unused", began.Add(expires))
		if !s.has("consumed") {
			t.Error("a queue with a consumer has expired")
		}
	}},
	{"queue that is declared, looked at or read from does not expire", func(t *testing.T, target Target) {
		s := begin(t, target)
		expires := patience.Brief
		for _, name := range []string{"declared", "counted", "read"} {
			s.queue(name, amqp.Table{"x-expires": expires.Milliseconds()})
		}
		began := time.Now()
		for time.Since(began) < expires*3/2 {
			s.queue("declared", amqp.Table{"x-expires": expires.Milliseconds()})
			s.counts("counted")
			s.holds("read")
		}
		ended := time.Now()
		for _, name := range []string{"declared", "counted", "read"} {
			s.expires(name, began.Add(expires*3/2))
		}
		t.Log(time.Since(ended))
	}},
}

// expires expects that a queue goes, and not too soon. It publishes to the queue,
// which is the only way to ask for it without using it.
func (s *session) expires(queue string, earliest time.Time) {
	s.t.Helper()
	probe := s.channel()
	returns := probe.NotifyReturn(make(chan amqp.Return, 1))
	s.ok(probe.Confirm(false))
	s.eventually(queue+" expires", func() bool {
		confirm, err := probe.PublishWithDeferredConfirm("", queue, true, false, amqp.Publishing{})
		s.ok(err)
		select {
		case <-confirm.Done():
		case <-time.After(patience.Soon):
			s.t.Fatal("no confirm")
		}
		return len(returns) > 0
	})
	if early := time.Until(earliest); early > 0 {
		s.t.Errorf("queue %q expired %v too early", queue, early)
	}
	s.ok(probe.Close())
}
