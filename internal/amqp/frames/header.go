package frames

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// header is the payload of a header frame, in parts.
type header struct {
	fixed  []byte
	before []byte // the properties before the headers
	table  []byte // the headers without their length
	after  []byte // the properties after them
}

const (
	// fixedSize is the size of class, weight, body size and flags, with which a content header begins.
	fixedSize = 14
	// mostBefore and mostAfter bound the properties on either side of the headers.
	mostBefore = 2 * 256
	mostAfter  = 2 + 8 + 8*256
)

// Mark is the header that stands, for the library, for headers that it cannot read. It says why. Who sends it himself is
// taken at his word.
const Mark = "x-warren-unreadable"

// death is the broker's header of what was dead-lettered, hence may have been delivered from another queue.
const death = "x-death"

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

func (h *header) flags() codec.PropertyFlags {
	return codec.PropertyFlags(binary.BigEndian.Uint16(h.fixed[fixedSize-2:]))
}

// marked appends to out a header frame with the parts of h, and instead of its table one that names the flaw.
func (h *header) marked(out, head []byte, flaw string) []byte {
	out = append(out, head...)
	out = append(out, h.fixed[:fixedSize-2]...)
	flags := codec.HasHeaders
	if h.before != nil {
		flags |= h.flags()
	}
	out = binary.BigEndian.AppendUint16(out, uint16(flags))
	out = append(out, h.before...)
	table := len(out)
	out = append(out, 0, 0, 0, 0)
	out = appendKey(out, Mark)
	out = append(out, 'S')
	out = binary.BigEndian.AppendUint32(out, uint32(len(flaw)))
	out = append(out, flaw...)
	if h.table == nil || mayHave(h.table, death) {
		out = append(appendKey(out, death), 'V')
	}
	binary.BigEndian.PutUint32(out[table:], uint32(len(out)-table-4))
	out = append(out, h.after...)
	binary.BigEndian.PutUint32(out[3:], uint32(len(out)-headSize))
	return append(out, frameEnd)
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

func appendKey(out []byte, key string) []byte {
	return append(append(out, byte(len(key))), key...)
}
