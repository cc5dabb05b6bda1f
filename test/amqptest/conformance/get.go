package conformance

import (
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

var getChecks = []check{
	each("get from an empty queue says so", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		if _, ok, err := s.Get("q", false); ok || err != nil {
			t.Errorf("got %v, %v", ok, err)
		}
	}),
	{"get from a missing queue is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, _, err := s.Get("missing", false)
		s.refused(err, 404, "NOT_FOUND - no queue 'missing' in vhost 'VHOST'")
	}},
	each("get tells how many are left", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2", "3")
		for _, left := range []uint32{2, 1, 0} {
			same(t, "left", s.take("q").MessageCount, left)
		}
	}),
	each("what was got without an ack is gone", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1")
		s.get("q")
		s.ok(s.Close())
		s.another().ready("q", 0)
	}),
	each("declare counts ready messages and consumers", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2", "3")
		s.qos(1)
		s.receive(s.consume("q", false))
		s.expect(s.channel().consume("q", true), "2", "3")
		q, err := s.QueueDeclare("q", true, false, false, false, with(kind))
		s.ok(err)
		same(t, "ready and consumers", []int{q.Messages, q.Consumers}, []int{0, 2})
	}),
	each("purge leaves what is unacked", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "1", "2", "3")
		d := s.take("q")
		n, err := s.QueuePurge("q", false)
		s.ok(err)
		same(t, "purged", n, 2)
		s.ready("q", 0)
		s.ok(d.Nack(false, true))
		s.arrive("q", "1")
	}),
	{"recover gives back in order, marked as redelivered", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(classic))
		s.fill("q", "1", "2")
		deliveries := s.consume("q", false)
		s.expect(deliveries, "1", "2")
		s.ok(s.Recover(true))
		for _, d := range s.expect(deliveries, "1", "2") {
			same(t, "redelivered", d.Redelivered, true)
		}
		s.ok(s.Ack(3, false))
		s.ok(s.Ack(1, false))
		s.closes(406, "PRECONDITION_FAILED - unknown delivery tag 1")
	}},
	{"recover without requeue is not implemented", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.refused(s.Recover(false), 540, "NOT_IMPLEMENTED - requeue=false")
	}},
	{"recover-async is not answered", func(t *testing.T, target Target) {
		w := wireChannel(t, target.VHost(t))
		w.declare(1, "q", nil)
		w.expect(1, queueDeclareOk)
		w.call(1, basicConsume, uint16(0), "q", "", uint8(0), []byte{})
		w.expect(1, basicConsumeOk)
		for _, redelivered := range []uint8{0, 1} {
			if redelivered == 0 {
				w.message("q", nil, nil)
			} else {
				w.call(1, basicRecoverAsync, uint8(1))
			}
			delivery := w.expect(1, basicDeliver)
			delivery.short()
			delivery.take(8)
			same(t, "redelivered", delivery.u8(), redelivered)
			w.content()
		}
	}},
	each("a transaction's messages and acks count when it commits", func(t *testing.T, target Target, kind string) {
		s := begin(t, target)
		s.queue("q", with(kind))
		s.fill("q", "old")
		tx := s.another()
		tx.ok(tx.Tx())
		tx.plain("q", "rolled back")
		tx.ok(tx.TxRollback())
		tx.plain("q", "new")
		d := tx.take("q")
		tx.ok(d.Ack(false))
		s.ready("q", 0)
		tx.ok(tx.TxCommit())
		s.arrive("q", "new")
		tx.ok(tx.conn.Close())
		s.ready("q", 0)
	}),
	{"a call and its reply through an exclusive queue", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.queue("q", with(quorum))
		client, server := s.another(), s.another()
		reply, err := client.QueueDeclare("", false, true, true, false, nil)
		s.ok(err)
		replies, requests := client.consume(reply.Name, true), server.consume("q", false)
		client.send("", "q", amqp.Publishing{ReplyTo: reply.Name, CorrelationId: "1", Body: []byte("ask")})
		request := s.receive(requests)
		server.send("", request.ReplyTo, amqp.Publishing{CorrelationId: request.CorrelationId, Body: []byte("answer")})
		s.ok(request.Ack(false))
		answer := s.receive(replies)
		same(t, "answer", []string{answer.CorrelationId, string(answer.Body)}, []string{"1", "answer"})
	}},
}
