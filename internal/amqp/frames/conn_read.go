package frames

import (
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
	if ch != nil && ch.content.stage == over && (f.kind == codec.FrameHeader || f.kind == codec.FrameBody) {
		return c.drop()
	}
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

// drop moves on from the frame in hand, which nobody gets.
func (c *Conn) drop() error {
	size := c.passing
	c.passing = 0
	return c.in.skip(size)
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
			return c.drop()
		}
		c.endChannel(ch, ErrClosed)
	case ch.content.stage == over:
		return c.drop()
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
	c.endChannel(ch, channelError(a.short16(), string(a.shortstr())))
	return c.pass()
}

func (c *Conn) takeConnectionClose(f frameHead) error {
	payload, err := c.payload(f)
	if err != nil {
		return err
	}
	a := arguments{rest: payload[idSize:]}
	c.end(connectionError(a.short16(), string(a.shortstr())))
	return c.pass()
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
