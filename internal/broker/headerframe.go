package broker

import (
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// headerFrame returns the length in bytes of the frame that carries a message's
// properties: the one part of a message that cannot be divided among frames.
func headerFrame(msg *amqp.Publishing) int {
	const frame, fixed, flags = 8, 12, 2
	n := frame + fixed + flags
	for _, s := range [...]string{
		msg.ContentType, msg.ContentEncoding, msg.CorrelationId, msg.ReplyTo, msg.Expiration, msg.MessageId, msg.Type,
		msg.UserId, msg.AppId,
	} {
		if s != "" {
			n += 1 + len(s)
		}
	}
	if len(msg.Headers) > 0 {
		n += tableSize(msg.Headers)
	}
	if msg.DeliveryMode > 0 {
		n++
	}
	if msg.Priority > 0 {
		n++
	}
	if !msg.Timestamp.IsZero() {
		n += 8
	}
	return n
}

func tableSize(t amqp.Table) int {
	n := 4
	for key, value := range t {
		n += 1 + len(key) + fieldSize(value)
	}
	return n
}

// fieldSize is the length of a value with its type.
func fieldSize(value any) int {
	switch v := value.(type) {
	case bool, byte, int8:
		return 2
	case int16, uint16:
		return 3
	case int, int32, uint32, float32:
		return 5
	case int64, float64, time.Time:
		return 9
	case amqp.Decimal:
		return 6
	case string:
		return 5 + len(v)
	case []byte:
		return 5 + len(v)
	case amqp.Table:
		return 1 + tableSize(v)
	case []any:
		n := 5
		for _, item := range v {
			n += fieldSize(item)
		}
		return n
	default: // nil; the library refuses all else
		return 1
	}
}
