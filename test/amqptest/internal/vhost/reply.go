package vhost

import (
	"crypto/rand"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Direct reply-to: a client consumes from replyTo and publishes requests that
// name it; servers see a name that begins with replyToPrefix and publish their
// answers to that. No queue is between them.
const (
	replyTo       = "amq.rabbitmq.reply-to"
	replyToPrefix = replyTo + "."
)

func (ch *Channel) consumeReplies(m *codec.BasicConsume, tag string, ok func(string)) error {
	if ch.replyName != "" {
		return fail(codec.PreconditionFailed, "reply consumer already set")
	}
	if !m.NoAck {
		return fail(codec.PreconditionFailed, "reply consumer cannot acknowledge")
	}
	ch.replyTag, ch.replyName = tag, replyToPrefix+rand.Text()+"."+rand.Text()
	ch.host.replies[ch.replyName] = ch
	ok(tag)
	return nil
}

func (ch *Channel) dropReplyConsumer() {
	delete(ch.host.replies, ch.replyName)
	ch.replyTag, ch.replyName = "", ""
}

// reply delivers an answer, if the channel is still there that wants it. The
// publisher does not learn of it: RabbitMQ returns a mandatory answer even when
// it has delivered it.
func (h *Host) reply(msg *Message) {
	ch := h.replies[msg.RoutingKey]
	if ch == nil {
		return
	}
	ch.tag++
	ch.out.Deliver(&codec.BasicDeliver{ConsumerTag: ch.replyTag, DeliveryTag: ch.tag, RoutingKey: msg.RoutingKey}, msg)
}
