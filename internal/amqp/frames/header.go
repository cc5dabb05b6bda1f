package frames

import (
	"bytes"
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

const (
	// fixedSize is the size of class, weight, body size and flags, with which a content header begins.
	fixedSize = 14
	// mostBefore and mostAfter bound the properties on either side of the headers.
	mostBefore = 2 * 256
	mostAfter  = 2 + 8 + 8*256
)

// header is the payload of a header frame, in parts.
type header struct {
	fixed  []byte
	before []byte // the properties before the headers
	table  []byte // the headers without their length
	after  []byte // the properties after them
}

func (h *header) flags() codec.PropertyFlags {
	return codec.PropertyFlags(binary.BigEndian.Uint16(h.fixed[fixedSize-2:]))
}

// takeHeader hands out the header frame that comes next, or what stands for it.
func (r *Reader) takeHeader(channel uint16, size uint32) error {
	switch total := int64(size) + codec.FrameOverhead; {
	case size < fixedSize: // no broker sends that
		r.passing = total
		return nil
	case total > int64(r.limit.Load()):
		return r.takeLarge(int64(size))
	}
	frame, err := r.need(int(size) + codec.FrameOverhead)
	if err != nil {
		return err
	}
	h, flaw := split(frame[headSize : len(frame)-1])
	if flaw == "" {
		flaw = checkTable(h.table, 0)
	}
	if flaw == "" && r.suspected(channel, &h) {
		h, flaw = header{fixed: h.fixed}, Lost
	}
	if flaw == "" {
		r.give(len(frame))
		return nil
	}
	r.mark(frame[:headSize], &h, flaw)
	r.start += len(frame)
	return nil
}

// takeLarge hands out what stands for a header above the limit: the broker adds to the headers of what is
// dead-lettered, and takes larger ones by its other protocols. The table is never in memory.
func (r *Reader) takeLarge(size int64) error {
	front, err := r.need(headSize + fixedSize + mostBefore + 4)
	if err != nil {
		return err
	}
	front = bytes.Clone(front)
	payload := front[headSize:]
	h, rest := header{fixed: payload[:fixedSize]}, int64(0)
	if at := beforeTable(payload); at > 0 && h.flags().Has(codec.HasHeaders) {
		left := size - int64(at) - 4 - int64(binary.BigEndian.Uint32(payload[at:]))
		if left >= 0 && left <= mostAfter {
			h.before, rest = payload[fixedSize:at], left
		}
	}
	if err := r.skip(headSize + size - rest); err != nil {
		return err
	}
	last, err := r.need(int(rest) + 1)
	if err != nil {
		return err
	}
	h.after = last[:rest]
	if sizeAfter(h.after, h.flags()) < 0 {
		h.before, h.after = nil, nil
	}
	r.mark(front[:headSize], &h, tooLarge)
	r.start += len(last)
	return nil
}

// split takes a payload apart. With a flaw the parts before and after the table may be missing.
func split(payload []byte) (header, string) {
	h := header{fixed: payload[:fixedSize]}
	at := beforeTable(payload)
	if at < 0 {
		return h, malformed
	}
	rest := payload[at:]
	var table []byte
	if h.flags().Has(codec.HasHeaders) {
		if len(rest) < 4 || uint64(binary.BigEndian.Uint32(rest)) > uint64(len(rest)-4) {
			return h, malformed
		}
		n := 4 + int(binary.BigEndian.Uint32(rest))
		table, rest = rest[4:n], rest[n:]
	}
	n := sizeAfter(rest, h.flags())
	if n < 0 {
		return h, malformed
	}
	h.before, h.table, h.after = payload[fixedSize:at], table, rest[:n]
	return h, ""
}

// beforeTable returns where the headers stand in a payload, or would, and -1 if it is truncated.
func beforeTable(payload []byte) int {
	flags := (&header{fixed: payload}).flags()
	at := fixedSize
	for _, flag := range [...]codec.PropertyFlags{codec.HasContentType, codec.HasContentEncoding} {
		if flags.Has(flag) {
			if at >= len(payload) {
				return -1
			}
			at += 1 + int(payload[at])
		}
	}
	if at > len(payload) {
		return -1
	}
	return at
}

// sizeAfter returns how many octets the properties after the headers take, and -1 if there are fewer.
func sizeAfter(b []byte, flags codec.PropertyFlags) int {
	n := 0
	for flag := codec.HasDeliveryMode; flag >= codec.HasClusterID; flag >>= 1 {
		switch {
		case !flags.Has(flag):
		case flag == codec.HasDeliveryMode, flag == codec.HasPriority:
			n++
		case flag == codec.HasTimestamp:
			n += 8
		case n >= len(b):
			return -1
		default:
			n += 1 + int(b[n])
		}
	}
	if n > len(b) {
		return -1
	}
	return n
}
