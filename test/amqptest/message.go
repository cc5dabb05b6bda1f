package amqptest

import (
	"math"
	"slices"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// public is a copy of the event for users, with its message.
func (ev *Event) public() *Event {
	shown := *ev
	shown.props, shown.body = nil, nil
	shown.Faults = slices.Clone(ev.Faults)
	if ev.props != nil {
		shown.Message = newMessage(ev.props, ev.body)
	}
	return &shown
}

func newMessage(p *codec.Properties, body []byte) *Message {
	m := &Message{
		ContentType: p.ContentType, ContentEncoding: p.ContentEncoding,
		DeliveryMode: p.DeliveryMode, Priority: p.Priority, CorrelationID: p.CorrelationID, ReplyTo: p.ReplyTo,
		Expiration: p.Expiration, MessageID: p.MessageID, Timestamp: p.Timestamp, Type: p.Type, UserID: p.UserID,
		AppID: p.AppID, Body: body,
	}
	if p.Present.Has(codec.HasHeaders) {
		m.Headers = plainTable(p.Headers)
	}
	return m
}

// plainTable makes a table a map. Of a key that occurs twice the last value stays.
func plainTable(t codec.Table) map[string]any {
	m := make(map[string]any, len(t))
	for _, entry := range t {
		m[entry.Key] = plainValue(entry.Value)
	}
	return m
}

func plainValue(v any) any {
	switch v := v.(type) {
	case codec.Table:
		return plainTable(v)
	case []any:
		list := make([]any, len(v))
		for i, element := range v {
			list[i] = plainValue(element)
		}
		return list
	case codec.Decimal:
		return float64(v.Value) / math.Pow10(int(v.Scale))
	case codec.Long:
		return int64(v)
	default:
		return v
	}
}
