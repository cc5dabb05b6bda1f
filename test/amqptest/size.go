package amqptest

import (
	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// methodSize is the length of a method's frame. Methods that pass often are reckoned, the others encoded.
func methodSize(m codec.Method) int {
	const fixed = codec.FrameOverhead + 4 // class and method
	switch m := m.(type) {
	case *codec.BasicPublish:
		return fixed + 2 + short(m.Exchange) + short(m.RoutingKey) + 1
	case *codec.BasicDeliver:
		return fixed + short(m.ConsumerTag) + 8 + 1 + short(m.Exchange) + short(m.RoutingKey)
	case *codec.BasicAck, *codec.BasicNack, *codec.BasicReject:
		return fixed + 9
	}
	payload, err := codec.AppendMethod(nil, m)
	if err != nil {
		return 0
	}
	return codec.FrameOverhead + len(payload)
}

// contentSize is the length of a header frame and of the body's frames, at the frame size that clients usually agree to.
func contentSize(p *codec.Properties, body int) int {
	size := codec.FrameOverhead + 2 + 2 + 8 + 2 + propertiesSize(p)
	if body == 0 {
		return size
	}
	const inFrame = 128<<10 - codec.FrameOverhead
	return size + body + (body+inFrame-1)/inFrame*codec.FrameOverhead
}

func propertiesSize(p *codec.Properties) int {
	size := 0
	for _, s := range [...]struct {
		flag  codec.PropertyFlags
		value string
	}{
		{codec.HasContentType, p.ContentType}, {codec.HasContentEncoding, p.ContentEncoding},
		{codec.HasCorrelationID, p.CorrelationID}, {codec.HasReplyTo, p.ReplyTo}, {codec.HasExpiration, p.Expiration},
		{codec.HasMessageID, p.MessageID}, {codec.HasType, p.Type}, {codec.HasUserID, p.UserID},
		{codec.HasAppID, p.AppID}, {codec.HasClusterID, p.ClusterID},
	} {
		if p.Present.Has(s.flag) {
			size += short(s.value)
		}
	}
	if p.Present.Has(codec.HasDeliveryMode) {
		size++
	}
	if p.Present.Has(codec.HasPriority) {
		size++
	}
	if p.Present.Has(codec.HasTimestamp) {
		size += 8
	}
	if p.Present.Has(codec.HasHeaders) {
		size += 4 + tableSize(p.Headers)
	}
	return size
}

func short(s string) int { return 1 + len(s) }

func tableSize(t codec.Table) int {
	size := 0
	for _, e := range t {
		size += short(e.Key) + valueSize(e.Value)
	}
	return size
}

// valueSize counts the tag.
func valueSize(v any) int {
	switch v := v.(type) {
	case nil:
		return 1
	case bool, int8, uint8:
		return 2
	case int16, uint16:
		return 3
	case int32, uint32, float32:
		return 5
	case codec.Decimal:
		return 6
	case string:
		return 5 + len(v)
	case []byte:
		return 5 + len(v)
	case codec.Table:
		return 5 + tableSize(v)
	case []any:
		size := 5
		for _, element := range v {
			size += valueSize(element)
		}
		return size
	default: // int64, codec.Long, float64, time.Time
		return 9
	}
}

// memory is about how much of a broker's memory a recorded event keeps from being freed. A table takes more than it has
// on the wire: a hostile client's void is an octet there and an interface here.
func (ev *Event) memory() int {
	const itself = 512
	size := itself + ev.Size
	if ev.props != nil && ev.props.Present.Has(codec.HasHeaders) {
		size += tableValues(ev.props.Headers) * 48
	}
	return size
}

func tableValues(t codec.Table) int {
	n := len(t)
	for _, e := range t {
		n += nestedValues(e.Value)
	}
	return n
}

func nestedValues(v any) int {
	switch v := v.(type) {
	case codec.Table:
		return tableValues(v)
	case []any:
		n := len(v)
		for _, element := range v {
			n += nestedValues(element)
		}
		return n
	default:
		return 0
	}
}
