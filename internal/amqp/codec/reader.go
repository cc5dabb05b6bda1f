package codec

import (
	"bufio"
	"encoding/binary"
	"errors"
	"io"
)

const readBufferSize = 16 << 10

// Reader reads frames. It is used by one goroutine at a time. After an error it is spent: what was read of a frame is
// lost, so a read deadline that passes ends the connection and not only the read.
type Reader struct {
	in    *bufio.Reader
	limit uint32
	head  [frameHeaderSize]byte

	refused Refused
}

// Refused is what was read of a frame that is none.
type Refused struct {
	Type FrameType
	Size uint32 // of the payload, as announced
	// Payload is nil if the frame is above the limit, and then there is no End.
	Payload []byte
	End     byte
}

// NewReader returns a Reader that takes frames of up to [MinFrameSize] until [Reader.Limit] says otherwise. It reads
// ahead: nobody else should read from r.
func NewReader(r io.Reader) *Reader {
	return &Reader{in: bufio.NewReaderSize(r, readBufferSize), limit: MinFrameSize}
}

// Limit sets the largest total size of a frame, payload and [FrameOverhead], for the frames read from now on. A value
// below [MinFrameSize] counts as MinFrameSize. So does the 0 that AMQP reads as "no limit": a broker that agrees to it
// chooses a bound for itself.
func (r *Reader) Limit(frameMax uint32) {
	r.limit = max(frameMax, MinFrameSize)
}

// ProtocolHeader reads the eight octets that a client opens with, whatever they are. It fails with what the underlying
// reader failed with, and with [io.ErrUnexpectedEOF] if that ended on the way.
func (r *Reader) ProtocolHeader() ([8]byte, error) {
	var header [8]byte
	_, err := io.ReadFull(r.in, header[:])
	return header, err
}

// ReadFrame reads the next frame. Its payload is the caller's, and is allocated after its size was held against the
// limit.
//
// A frame of an unknown type, above the limit or without its end octet is an [*Error] with [FrameError]. Errors of the
// underlying reader are returned unchanged: [io.EOF] between frames, [io.ErrUnexpectedEOF] inside one.
func (r *Reader) ReadFrame() (Frame, error) {
	if _, err := io.ReadFull(r.in, r.head[:]); err != nil {
		return Frame{}, err
	}
	f := Frame{Type: FrameType(r.head[0]), Channel: binary.BigEndian.Uint16(r.head[1:])}
	size := binary.BigEndian.Uint32(r.head[3:])
	r.refused = Refused{Type: f.Type, Size: size}
	if uint64(size)+FrameOverhead > uint64(r.limit) {
		return Frame{}, errorf(FrameError, "%v frame with a payload of %d octets exceeds frame-max %d", f.Type, size, r.limit)
	}
	payload := make([]byte, size+1)
	if _, err := io.ReadFull(r.in, payload); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return Frame{}, err
	}
	r.refused.Payload, r.refused.End = payload[:size], payload[size]
	if end := payload[size]; end != frameEnd {
		return Frame{}, errorf(FrameError, "%v frame ends with octet 0x%02X instead of 0xCE", f.Type, end)
	}
	if !f.Type.known() {
		return Frame{}, errorf(FrameError, "unknown %v", f.Type)
	}
	f.Payload = payload[:size:size]
	return f, nil
}

// Refused returns the frame that ReadFrame has returned a [FrameError] for.
func (r *Reader) Refused() Refused {
	return r.refused
}

// Buffered returns how many octets have been received and not yet been returned. More than 0 means that the peer has
// sent on, so a writer may wait for what the next frames add.
func (r *Reader) Buffered() int {
	return r.in.Buffered()
}
