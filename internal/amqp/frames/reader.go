package frames

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"sync/atomic"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Reader is an io.Reader of a broker's frames, which it passes on as they come, except for content headers that the
// AMQP library cannot read. No Read returns more than the rest of one frame: when the next is asked for, the library
// has taken the one before.
//
// Read is for one goroutine. It does not allocate for frames up to readAhead that need no change.
type Reader struct {
	in    io.Reader
	err   error // of in
	limit atomic.Uint32
	fatal atomic.Pointer[Fatal]

	buf        []byte // what was received, from start to end
	start, end int
	out        []byte // the rest of what is handed out, in buf or in replaced
	passing    int64  // octets of the frame in hand that follow out, and pass as they come
	unframed   bool   // what comes is not AMQP, and passes as it comes
	replaced   []byte // the last header that was made here

	reading reading
}

// NewReader returns a Reader of in, which nobody else should read.
func NewReader(in io.Reader) *Reader {
	r := &Reader{in: in, buf: make([]byte, readAhead)}
	r.reading.method = make([]byte, 0, maxDeliver)
	r.limit.Store(defaultFrameMax)
	return r
}

// Limit sets the size of the largest frame that the library takes, 128 KiB if it is 0. A header above it, which the
// broker itself has made so large, is replaced. It may be called while another goroutine reads.
func (r *Reader) Limit(frameMax int) {
	if frameMax > 0 {
		r.limit.Store(uint32(max(min(frameMax, 1<<30), codec.MinFrameSize)))
	}
}

// Refuse has the messages kept from the library that have proven fatal. It may be called while another goroutine reads.
func (r *Reader) Refuse(fatal *Fatal) { r.fatal.Store(fatal) }

// Read implements io.Reader.
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for len(r.out) == 0 {
		if r.passing > 0 && r.start == r.end && len(p) >= readAhead && r.err == nil {
			n, err := r.in.Read(p[:min(int64(len(p)), r.passing)])
			r.passing -= int64(n)
			return n, err
		}
		if err := r.advance(); err != nil {
			return 0, err
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// advance gives out more of the frame in hand, or else some of the next.
func (r *Reader) advance() error {
	if r.unframed {
		r.passing = math.MaxInt64
	}
	if r.passing > 0 {
		if r.start == r.end {
			if _, err := r.need(1); err != nil {
				return err
			}
		}
		n := int(min(r.passing, int64(r.end-r.start)))
		r.passing -= int64(n)
		r.give(n)
		return nil
	}
	r.reading.passed()
	first, err := r.need(1)
	if err != nil {
		return err
	}
	kind := codec.FrameType(first[0])
	switch kind {
	case codec.FrameMethod, codec.FrameHeader, codec.FrameBody, codec.FrameHeartbeat:
	default:
		r.unframed = true
		return nil
	}
	head, err := r.need(headSize)
	if err != nil {
		return err
	}
	channel, size := binary.BigEndian.Uint16(head[1:]), binary.BigEndian.Uint32(head[3:])
	if kind == codec.FrameHeader {
		return r.takeHeader(channel, size)
	}
	if kind == codec.FrameMethod {
		err = r.takeMethod(channel, size)
	}
	r.passing = int64(size) + codec.FrameOverhead
	return err
}

// takeMethod looks at the method frame that comes next.
func (r *Reader) takeMethod(channel uint16, size uint32) error {
	r.reading.forget()
	if size < 4 || size > maxDeliver {
		return nil
	}
	frame, err := r.need(int(size) + codec.FrameOverhead)
	if err != nil {
		return err
	}
	const deliver, getOk = 60<<16 | 60, 60<<16 | 71
	payload := frame[headSize : len(frame)-1]
	if id := binary.BigEndian.Uint32(payload); id == deliver || id == getOk {
		r.reading.announced(channel, payload)
	}
	return nil
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
	if flaw == "" && r.reading.header(channel, &h, r.fatal.Load()) {
		h, flaw = header{fixed: h.fixed}, Lost
	}
	if flaw == "" {
		r.give(len(frame))
		return nil
	}
	r.out = h.marked(r.replaced[:0], frame[:headSize], flaw)
	r.replaced = r.out
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
	r.out = h.marked(r.replaced[:0], front[:headSize], tooLarge)
	r.replaced = r.out
	r.start += len(last)
	return nil
}

// need returns the next n octets, which stay where they are.
func (r *Reader) need(n int) ([]byte, error) {
	if len(r.buf)-r.start < n {
		whole := r.buf
		if len(whole) < n {
			whole = make([]byte, n)
		}
		r.end = copy(whole, r.buf[r.start:r.end])
		r.buf, r.start = whole, 0
	}
	for r.end-r.start < n {
		if r.err != nil {
			return nil, r.err
		}
		if r.start == r.end {
			r.start, r.end = 0, 0
		}
		var got int
		got, r.err = r.in.Read(r.buf[r.end:])
		r.end += got
	}
	return r.buf[r.start : r.start+n], nil
}

// give hands out the next n octets, which have been received.
func (r *Reader) give(n int) {
	r.out = r.buf[r.start : r.start+n]
	r.start += n
}

// skip throws the next n octets away.
func (r *Reader) skip(n int64) error {
	for n > 0 {
		if _, err := r.need(1); err != nil {
			return err
		}
		gone := min(n, int64(r.end-r.start))
		r.start += int(gone)
		n -= gone
	}
	return nil
}

// Unread returns the delivery whose header the library had got when it last read, nil if there is none: if the library
// has ended the connection by itself, this is why.
func (r *Reader) Unread() *Unread { return r.reading.delivery() }
