package frames

import (
	"bytes"
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// takeHeader hands a content header to the handler of its channel, or gives it, or what stands for it, to the library.
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
