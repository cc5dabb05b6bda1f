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
