package frames

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Mark is the header that stands for the headers of a message that could not be kept. It says why. Who sends it himself
// is taken at his word.
const Mark = "x-warren-unreadable"

// Lost is what Mark says of a message of which nothing is left but the body.
const Lost = "the AMQP library cannot read the message"

// death is the broker's header of what was dead-lettered, hence may have been delivered from another queue.
const death = "x-death"

// mark hands out a header frame with the parts of h, and instead of its table one that names the flaw.
func (r *Reader) mark(head []byte, h *header, flaw string) {
	out := append(r.marked[:0], head...)
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
	r.marked = append(out, frameEnd)
	r.out = r.marked
}

func appendKey(out []byte, key string) []byte {
	return append(append(out, byte(len(key))), key...)
}

const frameEnd = 0xCE
