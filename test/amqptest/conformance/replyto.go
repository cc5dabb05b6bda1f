package conformance

import (
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"
)

const direct = "amq.rabbitmq.reply-to"

var replyToChecks = []check{
	{"a reply reaches who asked, and is delivered like a message to a queue", func(t *testing.T, target Target) {
		c := directCall(t, target)
		if !strings.HasPrefix(c.to, direct+".") {
			t.Errorf("the server sees reply_to %q", c.to)
		}
		c.server.send("", c.to, amqp.Publishing{CorrelationId: "1", Body: []byte("answer")})
		d := c.client.receive(c.replies)
		same(t, "answer", []any{string(d.Body), d.CorrelationId, d.Exchange, d.RoutingKey, d.Redelivered}, []any{"answer", "1", "", c.to, false})
	}},
	{"replies come in the order of their publishing", func(t *testing.T, target Target) {
		c := directCall(t, target)
		c.server.fill(c.to, "1", "2", "3")
		c.client.expect(c.replies, "1", "2", "3")
	}},
	{"a mandatory reply is delivered and returned all the same", func(t *testing.T, target Target) {
		c := directCall(t, target)
		returns := c.server.returns()
		c.server.mandatory("", c.to, amqp.Publishing{Body: []byte("answer")})
		c.client.expect(c.replies, "answer")
		same(t, "reply code", receive(t, returns).ReplyCode, 312)
	}},
	{"a reply to who is gone is dropped with an ack", func(t *testing.T, target Target) {
		c := directCall(t, target)
		c.client.ok(c.client.Close())
		c.server.fill(c.to, "answer")
	}},
	{"a passive declare of the reply address tells whether it lives", func(t *testing.T, target Target) {
		c := directCall(t, target)
		q, err := c.server.QueueDeclarePassive(c.to, false, false, false, false, nil)
		c.server.ok(err)
		same(t, "declare-ok", q, amqp.Queue{Name: c.to, Messages: 0, Consumers: 1})
		c.client.ok(c.client.Close())
		_, err = c.server.QueueDeclarePassive(c.to, false, false, false, false, nil)
		c.server.refused(err, 404, "NOT_FOUND - no queue '"+c.to+"' in vhost 'VHOST'")
	}},
	{"a reply to an address whose process cannot be found ends the connection", func(t *testing.T, target Target) {
		const nobody = "g1h2AAhub2JvZHlAMQAAAfQAAAAAAAAAAQ==" // of the node nobody@1
		for _, process := range []string{"!!!", "g2gCYQFhAg==", nobody, nobody[:len(nobody)-4]} {
			s := begin(t, target)
			s.start("", direct+"."+process+".a2V5", amqp.Publishing{})
			s.closes(541, "")
		}
	}},
	{"a reply to an address that lacks a process or a key is dropped with an ack", func(t *testing.T, target Target) {
		c := directCall(t, target)
		for _, address := range []string{direct + ".", direct + ".x", c.to + ".x", direct + "X"} {
			c.server.fill(address, "answer")
		}
	}},
	{"each request of a channel carries the same reply address", func(t *testing.T, target Target) {
		c := directCall(t, target)
		c.client.send("", "q", amqp.Publishing{ReplyTo: direct})
		same(t, "reply_to", c.server.get("q").ReplyTo, c.to)
	}},
	{"the reply address is replaced on whatever exchange", func(t *testing.T, target Target) {
		c := directCall(t, target)
		c.server.bind("q", "", "amq.fanout", nil)
		c.client.send("amq.fanout", "", amqp.Publishing{ReplyTo: direct})
		same(t, "reply_to", c.server.get("q").ReplyTo, c.to)
	}},
	{"consuming replies with acks is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		_, err := s.Consume(direct, "", false, false, false, false, nil)
		s.refused(err, 406, "PRECONDITION_FAILED - reply consumer cannot acknowledge")
	}},
	{"a request without a consumer for its reply is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.channel().consume(direct, true)
		s.start("", "nowhere", amqp.Publishing{ReplyTo: direct})
		s.closes(406, "PRECONDITION_FAILED - fast reply consumer does not exist")
	}},
	{"a second consumer of replies on a channel is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.consume(direct, true)
		_, err := s.Consume(direct, "", true, false, false, false, nil)
		s.refused(err, 406, "PRECONDITION_FAILED - reply consumer already set")
	}},
	{"once its consumer is cancelled, a request is refused", func(t *testing.T, target Target) {
		s := begin(t, target)
		s.subscribe(direct, consumer{tag: "c", autoAck: true})
		s.ok(s.Cancel("c", false))
		s.start("", "nowhere", amqp.Publishing{ReplyTo: direct})
		s.closes(406, "PRECONDITION_FAILED - fast reply consumer does not exist")
	}},
	{"the pseudo-queue can be declared and has nothing", func(t *testing.T, target Target) {
		s := begin(t, target)
		q, err := s.QueueDeclare(direct, false, false, false, false, nil)
		s.ok(err)
		same(t, "declare-ok", q, amqp.Queue{Name: direct, Messages: 0, Consumers: 1})
	}},
}

// directRequest is a request that has arrived and waits for its direct reply.
type directRequest struct {
	client, server *session
	replies        <-chan amqp.Delivery
	to             string
}

func directCall(t *testing.T, target Target) directRequest {
	t.Helper()
	client := begin(t, target)
	server := client.another()
	server.queue("q", with(classic))
	replies := client.consume(direct, true)
	client.send("", "q", amqp.Publishing{ReplyTo: direct, Body: []byte("ask")})
	return directRequest{client: client, server: server, replies: replies, to: server.get("q").ReplyTo}
}
