package frames

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Write implements io.Writer for the library. What is not a whole frame yet is held until the rest of it comes.
func (c *Conn) Write(p []byte) (int, error) {
	c.writing.Lock()
	defer c.writing.Unlock()
	if c.writeErr != nil {
		return 0, c.writeErr
	}
	c.held = append(c.held, p...)
	whole := c.wholeFrames()
	if whole == 0 {
		return len(p), nil
	}
	c.parts = append(c.parts[:0], c.held[:whole])
	err := c.send()
	c.held = c.held[:copy(c.held, c.held[whole:])]
	if err != nil {
		return 0, err
	}
	return len(p), nil
}

// wholeFrames returns how much of what is held are whole frames, after a look at them.
func (c *Conn) wholeFrames() int {
	whole := 0
	for {
		rest := c.held[whole:]
		if len(rest) < headSize {
			return whole
		}
		size := protocolHeader
		if rest[0] != 'A' { // which is no frame's type
			size = int(binary.BigEndian.Uint32(rest[3:])) + codec.FrameOverhead
		}
		if len(rest) < size {
			return whole
		}
		if codec.FrameType(rest[0]) == codec.FrameMethod && size >= codec.FrameOverhead+idSize {
			c.look(binary.BigEndian.Uint16(rest[1:]), rest[headSize:size-1])
		}
		whole += size
	}
}

// protocolHeader is the size of what a connection begins with, before the first frame.
const protocolHeader = 8

// look notes what a method of the library's means for the channels, before it is written.
func (c *Conn) look(number uint16, method []byte) {
	switch binary.BigEndian.Uint32(method) {
	case connectionTuneOk:
		const at = idSize + 2
		if len(method) >= at+4 {
			c.agree(binary.BigEndian.Uint32(method[at:]))
		}
	case connectionClose, connectionCloseOk:
		c.mu.Lock()
		for _, ch := range c.channels {
			ch.closed.Store(true)
		}
		c.mu.Unlock()
	case channelOpen:
		c.open(number)
	case channelClose:
		if ch, _ := c.channel(number); ch != nil {
			ch.closing.Store(true)
			ch.closed.Store(true)
		}
	}
}

// agree takes the size of the largest frame as agreed on. Where that is none at all, as AMQP reads 0, this side keeps
// to a bound of its own.
func (c *Conn) agree(frameMax uint32) {
	if frameMax == 0 {
		frameMax = defaultFrameMax
	}
	c.frameMax.Store(max(min(frameMax, mostFrameMax), codec.MinFrameSize))
}

// mostFrameMax bounds what is taken from the broker in one piece.
const mostFrameMax = 1 << 30

// send writes parts. The caller holds writing.
func (c *Conn) send() error {
	c.rest = c.parts
	if vector, ok := c.transport.(BuffersWriter); ok && len(c.rest) > 1 {
		c.writeErr = vector.WriteBuffers(&c.rest)
	} else {
		for _, part := range c.parts {
			if _, c.writeErr = c.transport.Write(part); c.writeErr != nil {
				break
			}
		}
	}
	clear(c.parts) // it holds on to bodies
	if c.writeErr != nil {
		_ = c.closeFor(c.writeErr)
	}
	return c.writeErr
}
