package vhost

import (
	"strconv"
	"strings"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Message is what was published. It is not changed afterwards, and may be in
// several queues.
type Message struct {
	Exchange, RoutingKey string
	Properties           codec.Properties
	Body                 []byte

	bytes int64 // what it takes to hold it; see size
}

const (
	deliveryTransient  = 1
	deliveryPersistent = 2
)

func (m *Message) persistent() bool { return m.Properties.DeliveryMode == deliveryPersistent }

// expiration is the time to live that the publisher gave it.
func (m *Message) expiration() (time.Duration, bool) {
	if !m.Properties.Present.Has(codec.HasExpiration) {
		return 0, false
	}
	n, err := parseExpiration(m.Properties.Expiration)
	return n, err == nil
}

// withHeaders is a copy with other headers. What RabbitMQ decodes and encodes again has no integers of the type L.
func (m *Message) withHeaders(headers codec.Table) *Message {
	changed := *m
	changed.bytes = 0
	changed.Properties.Headers = shortLongs(headers)
	changed.Properties.Present |= codec.HasHeaders
	return &changed
}

// size estimates the memory that a message takes, in bytes.
func (m *Message) size() int64 {
	if m.bytes == 0 {
		const fixed = 512 // the structures around it, and short strings
		m.bytes = fixed + int64(len(m.Body)) + sizeOf(m.Properties.Headers)
	}
	return m.bytes
}

// sizeOf estimates the memory of a value in a table.
func sizeOf(v any) int64 {
	const word, entry = 16, 48
	switch v := v.(type) {
	case codec.Table:
		var n int64 = word
		for _, e := range v {
			n += entry + int64(len(e.Key)) + sizeOf(e.Value)
		}
		return n
	case []any:
		var n int64 = word
		for _, e := range v {
			n += word + sizeOf(e)
		}
		return n
	case string:
		return word + int64(len(v))
	case []byte:
		return word + int64(len(v))
	default:
		return word
	}
}

// Result is what became of a message that was published without an error.
type Result struct {
	// Routed says that a queue matched, or that an answer was delivered directly.
	// To a publisher that asked for mandatory, an unrouted message is returned.
	Routed bool
	// Rejected says that a full queue has refused it: the confirm is a nack.
	Rejected bool
}

// Publish routes a message.
func (ch *Channel) Publish(m *codec.BasicPublish, props codec.Properties, body []byte) (Result, error) {
	h := ch.host
	h.enter()
	defer h.leave()
	if err := ch.conn.allow(write, "exchange", m.Exchange); err != nil {
		return Result{}, err
	}
	x, err := h.exchange(m.Exchange)
	if err != nil {
		return Result{}, err
	}
	if x.internal {
		return Result{}, fail(codec.AccessRefused, "cannot publish to internal %s", h.label("exchange", x.name))
	}
	if err := ch.checkProperties(props); err != nil {
		return Result{}, err
	}
	if props.ReplyTo == replyTo && props.Present.Has(codec.HasReplyTo) {
		if ch.replyName == "" {
			return Result{}, fail(codec.PreconditionFailed, "fast reply consumer does not exist")
		}
		props.ReplyTo = ch.replyName
		props.Headers = shortLongs(props.Headers)
	}
	keys, err := routingKeys(m.RoutingKey, props.Headers)
	if err != nil {
		return Result{}, err
	}
	if _, set := props.Headers.Get(headerBCC); set {
		props.Headers = shortLongs(props.Headers.Without(headerBCC))
	}
	msg := &Message{Exchange: m.Exchange, RoutingKey: m.RoutingKey, Properties: props, Body: body}
	if m.Exchange == "" && strings.HasPrefix(m.RoutingKey, replyToPrefix) {
		if isFatal(m.RoutingKey) {
			return Result{}, fail(codec.InternalError, "the reply address cannot be decoded")
		}
		h.reply(msg)
		return Result{}, nil
	}
	queues := h.route(x, keys, props.Headers)
	result := Result{Routed: len(queues) > 0}
	for _, q := range queues {
		if !q.enqueue(msg) {
			result.Rejected = true
		}
	}
	return result, nil
}

func (ch *Channel) checkProperties(props codec.Properties) error {
	if props.Present.Has(codec.HasUserID) && props.UserID != ch.conn.user.Name {
		return fail(codec.PreconditionFailed, "user_id property set to '%s' but authenticated user was '%s'", props.UserID, ch.conn.user.Name)
	}
	if props.Present.Has(codec.HasExpiration) {
		if _, err := parseExpiration(props.Expiration); err != nil {
			return err
		}
	}
	if mode := props.DeliveryMode; props.Present.Has(codec.HasDeliveryMode) && mode != deliveryTransient && mode != deliveryPersistent {
		return fail(codec.PreconditionFailed, "invalid message: {delivery_mode_unknown,%d}", mode)
	}
	return nil
}

// parseExpiration reads a time to live in milliseconds.
func parseExpiration(s string) (time.Duration, error) {
	n, err := strconv.ParseInt(s, 10, 64)
	switch {
	case err != nil:
		return 0, fail(codec.PreconditionFailed, "invalid expiration '%s': %s", s, expirationFlaw(s))
	case n < 0:
		return 0, fail(codec.PreconditionFailed, "invalid expiration '%s': {value_negative,%d}", s, n)
	case n > maxMilliseconds:
		return 0, fail(codec.PreconditionFailed, "invalid expiration '%s': {value_too_large,%d}", s, n)
	}
	return time.Duration(n) * time.Millisecond, nil
}

// expirationFlaw says in RabbitMQ's words why it is no number.
func expirationFlaw(s string) string {
	digits := strings.TrimLeft(s, "+-")
	rest := strings.TrimLeft(digits, "0123456789")
	if rest == digits {
		return "no_integer"
	}
	return "{leftover_string,\"" + rest + "\"}"
}
