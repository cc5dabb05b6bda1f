package vhost

import (
	"crypto/rand"
	"encoding/base64"
	"strings"

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
	ch.replyTag, ch.replyName = tag, newReplyName()
	ch.host.replies[ch.replyName] = ch
	ok(tag)
	return nil
}

// replyProcess is how RabbitMQ encodes a channel's Erlang process, up to its number.
const replyProcess = "\x83Xv\x00\x07reply@1"

// newReplyName has the form of RabbitMQ's: process and key.
func newReplyName() string {
	random := make([]byte, 12+16)
	_, _ = rand.Read(random)
	encode := base64.StdEncoding.EncodeToString
	return replyToPrefix + encode(append([]byte(replyProcess), random[:12]...)) + "." + encode(random[12:])
}

// isFatal reports whether RabbitMQ's channel crashes over a reply address: there are a process and a key, and the
// process cannot be decoded, or is no node's of the broker.
func isFatal(address string) bool {
	parts := strings.FieldsFunc(strings.TrimPrefix(address, replyToPrefix), func(r rune) bool { return r == '.' })
	if len(parts) != 2 {
		return false
	}
	term, err := base64.StdEncoding.DecodeString(parts[0])
	return err != nil || len(term) != len(replyProcess)+12 || !strings.HasPrefix(string(term), replyProcess)
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
