package vhost

import (
	"slices"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Why a message left its queue for the dead-letter exchange.
const (
	reasonRejected      = "rejected"
	reasonExpired       = "expired"
	reasonMaxLength     = "maxlen"
	reasonDeliveryLimit = "delivery_limit"
)

const (
	headerDeath         = "x-death"
	headerFirstQueue    = "x-first-death-queue"
	headerFirstReason   = "x-first-death-reason"
	headerFirstExchange = "x-first-death-exchange"
)

// deadLetter publishes a message that has left the queue to the queue's
// dead-letter exchange. Without one, or if it is missing, the message is gone.
func (q *queue) deadLetter(it *item, reason string) {
	if !q.hasDeadLetters {
		return
	}
	x := q.host.exchanges[q.deadLetterExchange]
	if x == nil {
		return
	}
	msg := q.dead(it.msg, reason)
	keys, err := routingKeys(msg.RoutingKey, msg.Properties.Headers)
	if err != nil {
		keys = []string{msg.RoutingKey}
	}
	for _, target := range q.host.route(x, keys, msg.Properties.Headers) {
		if reason == reasonRejected || !cyclic(target.name, deaths(msg.Properties.Headers)) {
			target.enqueue(msg)
		}
	}
}

// dead is the message as it is published again.
func (q *queue) dead(msg *Message, reason string) *Message {
	headers := msg.Properties.Headers
	keys, err := routingKeys(msg.RoutingKey, headers)
	if err != nil {
		keys = []string{msg.RoutingKey}
	}
	if _, set := headers.Get(headerFirstReason); !set {
		headers = headers.With(headerFirstExchange, msg.Exchange).With(headerFirstQueue, q.name).With(headerFirstReason, reason)
	}
	headers = headers.With(headerDeath, q.recorded(deaths(headers), msg, reason, keys))
	key := msg.RoutingKey
	if q.hasDeadLetterKey {
		key = q.deadLetterKey
		headers = headers.Without(headerCC)
	}
	out := msg.withHeaders(headers)
	out.Exchange, out.RoutingKey = q.deadLetterExchange, key
	out.Properties.Expiration = ""
	out.Properties.Present &^= codec.HasExpiration
	return out
}

func deaths(headers codec.Table) []any {
	v, _ := headers.Get(headerDeath)
	list, _ := v.([]any)
	return list
}

// recorded puts this death in front of the earlier ones, or counts it where the
// message has died of the same in the same queue before.
func (q *queue) recorded(list []any, msg *Message, reason string, keys []string) []any {
	var count int64
	rest := slices.DeleteFunc(slices.Clone(list), func(v any) bool {
		same := field(v, "queue") == q.name && field(v, "reason") == reason
		if same {
			n, _ := codec.Integer(field(v, "count"))
			count += n
		}
		return same
	})
	var keyValues []any
	for _, k := range keys {
		keyValues = append(keyValues, k)
	}
	entry := codec.Table{
		{Key: "count", Value: count + 1},
		{Key: "exchange", Value: msg.Exchange},
		{Key: "queue", Value: q.name},
		{Key: "reason", Value: reason},
		{Key: "routing-keys", Value: keyValues},
		{Key: "time", Value: time.Now().UTC().Truncate(time.Second)},
	}
	if msg.Properties.Present.Has(codec.HasExpiration) {
		entry = append(entry, codec.Entry{Key: "original-expiration", Value: msg.Properties.Expiration})
	}
	return append([]any{entry}, rest...)
}

func field(v any, key string) any {
	t, _ := v.(codec.Table)
	value, _ := t.Get(key)
	return value
}

// cyclic says that a message would come to a queue again in which it has died
// before, without a client's having rejected it since: for ever.
func cyclic(queueName string, list []any) bool {
	for _, death := range list {
		if field(death, "reason") == reasonRejected {
			return false
		}
		if field(death, "queue") == queueName {
			return true
		}
	}
	return false
}
