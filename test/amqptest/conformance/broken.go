package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

// brokenChecks each break a broker of their own.
var brokenChecks = []check{
	{"restart keeps what is durable, and persistent messages in it", restartKeeps},
	{"alarm blocks publishers, and an operator closes connections", alarmBlocks},
}

func restartKeeps(t *testing.T, target Target) {
	broker := target.Dedicated(t)
	s := dial(t, broker.URL)
	// A library that answers the close may find the connection gone, and report that instead.
	w := dialWire(t, broker.URL)
	s.queue("durable", amqp.Table{"x-max-length": int32(100)})
	s.queue("quorum", with(quorum))
	_, err := s.QueueDeclare("transient", false, false, false, false, nil)
	s.ok(err)
	_, err = s.QueueDeclare("exclusive", true, false, true, false, nil)
	s.ok(err)
	_, err = s.QueueDeclare("auto-delete", true, true, false, false, nil)
	s.ok(err)
	s.exchange("durable", "topic", amqp.Table{"alternate-exchange": "amq.fanout"})
	s.ok(s.ExchangeDeclare("transient", "fanout", false, false, false, false, nil))
	s.exchange("other", "fanout", nil)
	s.bind("durable", "k.*", "durable", nil)
	s.bind("durable", "", "amq.fanout", nil)
	s.bind("durable", "", "transient", nil)
	s.ok(s.ExchangeBind("other", "o", "durable", false, nil))
	s.bind("quorum", "", "other", nil)
	for _, queue := range []string{"durable", "quorum", "transient"} {
		s.publish("", queue, "transient")
		for _, body := range []string{"persistent 1", "persistent 2"} {
			s.send("", queue, amqp.Publishing{Body: []byte(body), DeliveryMode: amqp.Persistent, Headers: amqp.Table{"h": "v"}, MessageId: "id"})
		}
	}

	broker.Restart(t)
	w.patient()
	closed := w.expect(0, connectionClose)
	same(t, "code", closed.u16(), 320)
	same(t, "reason", closed.short(), "CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'")
	s = dial(t, broker.URL)
	for queue, want := range map[string]bool{"durable": true, "quorum": true, "transient": false, "exclusive": false, "auto-delete": true} {
		if s.has(queue) != want {
			t.Errorf("queue %q: exists is %v", queue, !want)
		}
	}
	for exchange, want := range map[string]bool{"durable": true, "other": true, "transient": false} {
		if s.hasExchange(exchange) != want {
			t.Errorf("exchange %q: exists is %v", exchange, !want)
		}
	}
	s.queue("durable", amqp.Table{"x-max-length": int32(100)})
	s.exchange("durable", "topic", amqp.Table{"alternate-exchange": "amq.fanout"})
	message := s.get("durable")
	same(t, "first", []any{string(message.Body), message.MessageId, message.Headers, message.Redelivered},
		[]any{"persistent 1", "id", amqp.Table{"h": "v"}, false})
	s.holds("durable", "persistent 2")
	s.holds("quorum", "transient", "persistent 1", "persistent 2")
	s.publish("durable", "k.1", "by its binding")
	s.publish("durable", "elsewhere", "by the alternate exchange")
	s.publish("durable", "o", "by another exchange")
	s.holds("durable", "by its binding", "by the alternate exchange")
	s.holds("quorum", "by another exchange")
}

func alarmBlocks(t *testing.T, target Target) {
	broker := target.Dedicated(t)
	publisher, consumer := dial(t, broker.URL), dial(t, broker.URL)
	publisherBlocked := publisher.conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	consumerBlocked := consumer.conn.NotifyBlocked(make(chan amqp.Blocking, 4))
	consumer.queue("q", nil)
	publisher.publish("", "q", "before")

	broker.MemoryAlarm(t, true)
	if len(publisherBlocked) > 0 {
		t.Error("blocked before it published")
	}
	confirm, err := publisher.PublishWithDeferredConfirm("", "q", false, false, amqp.Publishing{Body: []byte("during")})
	publisher.ok(err)
	same(t, "publisher", receive(t, publisherBlocked), amqp.Blocking{Active: true, Reason: "low on memory"})
	deliveries := consumer.consume("q", false)
	delivery := consumer.receive(deliveries)
	same(t, "body", string(delivery.Body), "before")
	consumer.ok(delivery.Ack(false))
	messages, _ := dial(t, broker.URL).counts("q")
	same(t, "messages", messages, 0)
	if confirm.Acked() {
		t.Error("confirmed during the alarm")
	}

	broker.MemoryAlarm(t, false)
	same(t, "publisher", receive(t, publisherBlocked), amqp.Blocking{})
	same(t, "body", string(consumer.receive(deliveries).Body), "during")
	if !confirm.Wait() {
		t.Error("nacked")
	}
	if len(consumerBlocked) > 0 {
		t.Errorf("the consumer's connection: %v", <-consumerBlocked)
	}

	broker.CloseConnections(t, "for maintenance")
	publisher.closes(320, "CONNECTION_FORCED - for maintenance")
	consumer.closes(320, "CONNECTION_FORCED - for maintenance")
	dial(t, broker.URL).counts("q")
}
