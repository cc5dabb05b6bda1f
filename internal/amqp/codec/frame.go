package codec

import (
	"encoding/binary"
	"fmt"
)

// FrameType is the first octet of a frame.
type FrameType uint8

// The frame types of AMQP 0-9-1.
const (
	FrameMethod    FrameType = 1
	FrameHeader    FrameType = 2
	FrameBody      FrameType = 3
	FrameHeartbeat FrameType = 8
)

const (
	// FrameOverhead is what a frame adds to its payload: seven octets before it and one after.
	FrameOverhead = frameHeaderSize + 1
	// MinFrameSize is the total size of a frame that every peer must take, also before a limit is agreed on.
	MinFrameSize = 4096

	frameHeaderSize = 7
	frameEnd        = 0xCE
)

// String names the type, or gives its number if AMQP has no such type.
func (t FrameType) String() string {
	switch t {
	case FrameMethod:
		return "method"
	case FrameHeader:
		return "header"
	case FrameBody:
		return "body"
	case FrameHeartbeat:
		return "heartbeat"
	default:
		return fmt.Sprintf("frame type %d", uint8(t))
	}
}

func (t FrameType) known() bool {
	return t >= FrameMethod && t <= FrameBody || t == FrameHeartbeat
}

// Frame is one frame without its end octet.
type Frame struct {
	Type    FrameType
	Channel uint16
	Payload []byte
}

// AppendFrame appends f as it goes over the wire. It applies no limit: the caller splits bodies, and a payload is
// shorter than 4 GiB.
func AppendFrame(dst []byte, f Frame) []byte {
	dst = append(dst, byte(f.Type))
	dst = binary.BigEndian.AppendUint16(dst, f.Channel)
	dst = binary.BigEndian.AppendUint32(dst, uint32(len(f.Payload)))
	dst = append(dst, f.Payload...)
	return append(dst, frameEnd)
}
