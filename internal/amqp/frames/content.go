package frames

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

const (
	// mostBody is the size of the largest body: the largest that a broker can be set to take, and more.
	mostBody = 1<<31 - 1
	// allocatedAhead is how much memory a body gets at most before it has come.
	allocatedAhead = 1 << 20
)

// content is the message that is coming on a channel.
type content struct {
	stage    stage
	delivery *Delivery // what comes, or with returned what was given back
	returned *Return
	left     uint64 // of the body

	consumer, exchange, key string // of the last delivery
}

// stage is what has to come next on a channel.
type stage uint8

const (
	wantsMethod stage = iota
	wantsHeader
	wantsBody
	// over is when the channel has ended. RabbitMQ may close it in the middle of a message, whose rest still comes; over a
	// method that does, the library would end the connection.
	over
)

// delivered takes a basic.deliver.
func (ch *Channel) delivered(payload []byte) error {
	a := arguments{rest: payload[idSize:]}
	consumer := a.shortstr()
	tag := a.long64()
	redelivered := a.octet()
	exchange, key := a.shortstr(), a.shortstr()
	if !a.complete() {
		return violation("a basic.deliver of %d octets", len(payload))
	}
	d, m := &Delivery{}, &ch.content
	d.ConsumerTag, d.DeliveryTag, d.Redelivered = same(&m.consumer, consumer), tag, redelivered&1 != 0
	d.Exchange, d.RoutingKey = same(&m.exchange, exchange), same(&m.key, key)
	m.delivery, m.returned, m.stage = d, nil, wantsHeader
	return nil
}

// gaveBack takes a basic.return.
func (ch *Channel) gaveBack(payload []byte) error {
	a := arguments{rest: payload[idSize:]}
	r := &Return{ReplyCode: a.short16(), ReplyText: string(a.shortstr()), Exchange: string(a.shortstr()), RoutingKey: string(a.shortstr())}
	if !a.complete() {
		return violation("a basic.return of %d octets", len(payload))
	}
	m := &ch.content
	m.delivery, m.returned, m.stage = &Delivery{}, r, wantsHeader
	return nil
}

// same returns what b says, without an allocation if it is what last says too.
func same(last *string, b []byte) string {
	if string(b) != *last {
		*last = string(b)
	}
	return *last
}

// header takes the content header h, which has the flaw.
func (ch *Channel) header(h *contentHeader) error {
	m := &ch.content
	d := m.delivery
	d.flaw, d.size = h.flaw, len(h.properties)
	if entries, ok := readProperties(&d.Delivery, h.flags, h.properties, h.table); ok {
		d.entries, d.has = entries, h.table && h.flags.Has(codec.HasHeaders)
	} else {
		ch.content.delivery = blank(d)
		ch.content.delivery.flaw = malformed
	}
	if h.size > mostBody {
		return violation("a body of %d octets is announced", h.size)
	}
	m.left = h.size
	if m.returned == nil {
		m.delivery.Body = make([]byte, 0, min(h.size, allocatedAhead))
	}
	m.stage = wantsBody
	return nil
}

// blank is d without the properties that could not be read to their end.
func blank(d *Delivery) *Delivery {
	b := &Delivery{}
	b.ConsumerTag, b.DeliveryTag, b.Redelivered, b.Exchange, b.RoutingKey = d.ConsumerTag, d.DeliveryTag, d.Redelivered, d.Exchange, d.RoutingKey
	return b
}

// body takes the next n octets of in, which are a part of the body.
func (ch *Channel) body(in *input, n int) error {
	m := &ch.content
	if uint64(n) > m.left {
		return violation("a body is %d octets longer than announced", uint64(n)-m.left)
	}
	m.left -= uint64(n)
	if m.returned != nil {
		return in.skip(int64(n))
	}
	d := m.delivery
	at := len(d.Body)
	if cap(d.Body) < at+n {
		whole := make([]byte, at, min(uint64(max(2*cap(d.Body), at+n)), uint64(at+n)+m.left))
		copy(whole, d.Body)
		d.Body = whole
	}
	d.Body = d.Body[:at+n]
	return in.fill(d.Body[at:])
}

// complete tells the handler if all of the message has come.
func (ch *Channel) complete(handler Handler) {
	m := &ch.content
	if m.stage != wantsBody || m.left > 0 {
		return
	}
	d, r := m.delivery, m.returned
	m.delivery, m.returned, m.stage = nil, nil, wantsMethod
	if r == nil {
		handler.Delivered(d)
		return
	}
	r.ContentType, r.ContentEncoding, r.DeliveryMode, r.Priority = d.ContentType, d.ContentEncoding, d.DeliveryMode, d.Priority
	r.CorrelationId, r.ReplyTo, r.Expiration, r.MessageId = d.CorrelationId, d.ReplyTo, d.Expiration, d.MessageId
	r.Timestamp, r.Type, r.UserId, r.AppId = d.Timestamp, d.Type, d.UserId, d.AppId
	handler.Returned(r)
}

// confirmed takes a basic.ack or basic.nack.
func (ch *Channel) confirmed(handler Handler, payload []byte, ack bool) error {
	a := arguments{rest: payload[idSize:]}
	tag, flags := a.long64(), a.octet()
	if !a.complete() {
		return violation("a confirm of %d octets", len(payload))
	}
	if tag == 0 || tag > ch.published.Load() {
		return nil // there is no such publish
	}
	handler.Confirmed(tag, flags&1 != 0, ack)
	return nil
}

// contentHeader is the payload of a header frame.
type contentHeader struct {
	size       uint64
	flags      codec.PropertyFlags
	properties string
	table      bool // the headers are among the properties, if the flags say so
	flaw       string
}

// fixed reads what a content header begins with.
func (h *contentHeader) fixed(payload []byte) {
	h.size = binary.BigEndian.Uint64(payload[4:])
	h.flags = codec.PropertyFlags(binary.BigEndian.Uint16(payload[fixedSize-2:]))
}
