package frames

import (
	"bytes"
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Read implements io.Reader for the library. It returns no more than the rest of one frame: when it is called again, the
// library has taken the one before, and what comes for a handler then comes after it for everybody.
func (c *Conn) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	c.reading.Lock()
	defer c.reading.Unlock()
	for len(c.out) == 0 {
		if c.readErr == nil {
			c.readErr = c.next()
		}
		if c.readErr != nil {
			c.end(c.readErr)
			return 0, c.readErr
		}
	}
	n := copy(p, c.out)
	c.out = c.out[n:]
	return n, nil
}

// frameHead is what a frame begins with.
type frameHead struct {
	kind    codec.FrameType
	channel uint16
	size    uint32 // of the payload
}

// next hands the next frame to the handler of its channel, or begins to give it out to the library.
func (c *Conn) next() error {
	if c.passing > 0 {
		return c.pass()
	}
	head, err := c.in.need(headSize)
	if err != nil {
		return err
	}
	f := frameHead{codec.FrameType(head[0]), binary.BigEndian.Uint16(head[1:]), binary.BigEndian.Uint32(head[3:])}
	total := int64(f.size) + codec.FrameOverhead
	if total > int64(c.frameMax.Load()) && f.kind != codec.FrameHeader {
		return violation("a frame of %d octets, where %d are agreed on", total, c.frameMax.Load())
	}
	c.passing = total
	ch, handler := c.channel(f.channel)
	switch f.kind {
	case codec.FrameMethod:
		return c.takeMethod(f, ch, handler)
	case codec.FrameHeader:
		return c.takeHeader(f, ch, handler)
	case codec.FrameBody:
		if handler != nil {
			return c.takeBody(f, ch, handler)
		}
	case codec.FrameHeartbeat:
	default:
		return violation("a frame of type %d", f.kind)
	}
	return c.pass()
}

// pass gives more of the frame in hand to the library.
func (c *Conn) pass() (err error) {
	c.out, err = c.in.upTo(c.passing)
	c.passing -= int64(len(c.out))
	return err
}

// payload returns the payload of the frame that comes next, which use moves on from.
func (c *Conn) payload(f frameHead) ([]byte, error) {
	frame, err := c.in.need(int(f.size) + codec.FrameOverhead)
	if err != nil {
		return nil, err
	}
	if end := frame[len(frame)-1]; end != frameEnd {
		return nil, violation("a frame ends with octet 0x%02X", end)
	}
	return frame[headSize : len(frame)-1], nil
}

// used moves on from a frame that the library does not get.
func (c *Conn) used(f frameHead) {
	c.in.use(int(f.size) + codec.FrameOverhead)
	c.passing = 0
}

func (c *Conn) takeMethod(f frameHead, ch *Channel, handler Handler) error {
	if f.size < idSize {
		return violation("a method of %d octets", f.size)
	}
	front, err := c.in.need(headSize + idSize)
	if err != nil {
		return err
	}
	switch id := binary.BigEndian.Uint32(front[headSize:]); {
	case f.channel == 0 && id == connectionClose:
		return c.takeConnectionClose(f)
	case ch == nil:
	case id == channelClose:
		return c.takeChannelClose(f, ch)
	case id == channelCloseOk:
		if !ch.closing.Load() {
			// It answers the close of an earlier channel with the number, which the broker had closed meanwhile. The library
			// would take it for the answer to what it has asked on this one.
			size := c.passing
			c.passing = 0
			return c.in.skip(size)
		}
		c.endChannel(ch, ErrClosed)
	case handler == nil:
	case ch.content.stage != wantsMethod:
		return violation("method %d.%d, where the content of a message is due", id>>16, id&0xffff)
	case id == basicCancel:
		return c.takeCancel(f, handler)
	case id == basicDeliver, id == basicReturn, id == basicAck, id == basicNack:
		return c.takeHot(id, f, ch, handler)
	}
	return c.pass()
}

// takeHot hands a method to the handler that the library does not get.
func (c *Conn) takeHot(id uint32, f frameHead, ch *Channel, handler Handler) error {
	payload, err := c.payload(f)
	if err != nil {
		return err
	}
	switch id {
	case basicDeliver:
		err = ch.delivered(payload)
	case basicReturn:
		err = ch.gaveBack(payload)
	default:
		err = ch.confirmed(handler, payload, id == basicAck)
	}
	c.used(f)
	return err
}

func (c *Conn) takeCancel(f frameHead, handler Handler) error {
	payload, err := c.payload(f)
	if err != nil {
		return err
	}
	a := arguments{rest: payload[idSize:]}
	handler.Canceled(string(a.shortstr()))
	return c.pass()
}

func (c *Conn) takeChannelClose(f frameHead, ch *Channel) error {
	payload, err := c.payload(f)
	if err != nil {
		return err
	}
	a := arguments{rest: payload[idSize:]}
	c.endChannel(ch, brokerError(a.short16(), string(a.shortstr())))
	return c.pass()
}

func (c *Conn) takeConnectionClose(f frameHead) error {
	payload, err := c.payload(f)
	if err != nil {
		return err
	}
	a := arguments{rest: payload[idSize:]}
	c.end(brokerError(a.short16(), string(a.shortstr())))
	return c.pass()
}

func (c *Conn) takeHeader(f frameHead, ch *Channel, handler Handler) error {
	if f.size < fixedSize {
		return violation("a content header of %d octets", f.size)
	}
	if handler != nil && ch.content.stage != wantsHeader {
		return violation("a content header where none is due")
	}
	if c.passing > int64(c.frameMax.Load()) {
		return c.takeLargeHeader(f, ch, handler)
	}
	payload, err := c.payload(f)
	if err != nil {
		return err
	}
	if handler != nil {
		h := contentHeader{properties: string(payload[fixedSize:]), table: true}
		h.fixed(payload)
		c.used(f)
		return c.begin(ch, handler, &h)
	}
	h, flaw := split(payload)
	if flaw == "" {
		flaw = checkTable(h.table, 0)
	}
	if flaw == "" {
		return c.pass()
	}
	c.replace(f, &h, flaw)
	c.used(f)
	return nil
}

// begin begins a message of a handler's with its header.
func (c *Conn) begin(ch *Channel, handler Handler, h *contentHeader) error {
	if err := ch.header(h); err != nil {
		return err
	}
	ch.complete(handler)
	return nil
}

// replace gives a header to the library that stands for one that it cannot read.
func (c *Conn) replace(f frameHead, h *header, flaw string) {
	head := [headSize]byte{byte(f.kind)}
	binary.BigEndian.PutUint16(head[1:], f.channel)
	c.replaced = h.marked(c.replaced[:0], head[:], flaw)
	c.out = c.replaced
}

// takeLargeHeader takes a header above the size of a frame: the broker adds to the headers of what is dead-lettered, and
// takes larger ones by its other protocols. The table is never in memory.
func (c *Conn) takeLargeHeader(f frameHead, ch *Channel, handler Handler) error {
	if f.size > mostBody {
		return violation("a content header of %d octets", f.size)
	}
	front, err := c.in.need(headSize + fixedSize + mostBefore + 4)
	if err != nil {
		return err
	}
	front = bytes.Clone(front)
	payload := front[headSize:]
	h, size, rest := header{fixed: payload[:fixedSize]}, int64(f.size), int64(0)
	if at := beforeTable(payload); at > 0 && h.flags().Has(codec.HasHeaders) {
		left := size - int64(at) - 4 - int64(binary.BigEndian.Uint32(payload[at:]))
		if left >= 0 && left <= mostAfter {
			h.before, rest = payload[fixedSize:at], left
		}
	}
	if err := c.in.skip(headSize + size - rest); err != nil {
		return err
	}
	last, err := c.in.need(int(rest) + 1)
	if err != nil {
		return err
	}
	if end := last[rest]; end != frameEnd {
		return violation("a frame ends with octet 0x%02X", end)
	}
	h.after = last[:rest]
	if sizeAfter(h.after, h.flags()) < 0 {
		h.before, h.after = nil, nil
	}
	c.passing = 0
	if handler == nil {
		c.replace(f, &h, tooLarge)
		c.in.use(len(last))
		return nil
	}
	own := contentHeader{flaw: tooLarge, properties: string(h.before) + string(h.after)}
	own.fixed(payload)
	if h.before == nil {
		own.flags = 0 // they are lost
	}
	c.in.use(len(last))
	return c.begin(ch, handler, &own)
}

func (c *Conn) takeBody(f frameHead, ch *Channel, handler Handler) error {
	if ch.content.stage != wantsBody {
		return violation("a body where none is due")
	}
	c.in.use(headSize)
	c.passing = 0
	if err := ch.body(&c.in, int(f.size)); err != nil {
		return err
	}
	end, err := c.in.need(1)
	if err != nil {
		return err
	}
	if end[0] != frameEnd {
		return violation("a frame ends with octet 0x%02X", end[0])
	}
	c.in.use(1)
	ch.complete(handler)
	return nil
}
