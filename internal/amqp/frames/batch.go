package frames

import (
	"encoding/binary"
	"fmt"
	"net"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

const (
	// copyBelow is the size from which a body is not copied into a batch.
	copyBelow = 16 << 10
	// mostKept is how much memory an empty batch keeps for what it collects next.
	mostKept = 256 << 10
)

// Batch collects what is to be written together on one channel. It is for one goroutine.
type Batch struct {
	channel   uint16
	frameMax  int
	buf       []byte
	bodies    []bodyPart
	size      int // of bodies
	publishes int
}

// bodyPart is a part of a body that stands between two octets of a batch's buffer.
type bodyPart struct {
	at     int
	octets []byte
}

// AppendPublish adds a message to the default exchange. It fails, and adds nothing, if the message has no form on the
// wire: a string above 255 octets, a header of a type that the library does not take, or properties that do not fit
// into a frame. A body of 16 KiB or more must not be changed until the batch has been written.
func (b *Batch) AppendPublish(key string, mandatory bool, msg *amqp.Publishing) error {
	before, bodies := len(b.buf), len(b.bodies)
	size, err := b.appendPublish(key, mandatory, msg)
	if err != nil {
		clear(b.bodies[bodies:])
		b.buf, b.bodies = b.buf[:before], b.bodies[:bodies]
		return err
	}
	b.size += size
	b.publishes++
	return nil
}

func (b *Batch) appendPublish(key string, mandatory bool, msg *amqp.Publishing) (byReference int, err error) {
	start := b.open(codec.FrameMethod)
	b.buf = binary.BigEndian.AppendUint32(b.buf, basicPublish)
	b.buf = append(b.buf, 0, 0, 0) // a reserved field, and no exchange
	if b.buf, err = appendShort(b.buf, key); err != nil {
		return 0, fmt.Errorf("the routing key: %w", err)
	}
	b.buf = append(b.buf, flag(mandatory))
	b.close(start)

	start = b.open(codec.FrameHeader)
	b.buf = append(b.buf, 0, 60, 0, 0) // the class, and a weight
	b.buf = binary.BigEndian.AppendUint64(b.buf, uint64(len(msg.Body)))
	if b.buf, err = appendProperties(b.buf, msg); err != nil {
		return 0, err
	}
	b.close(start)
	if size := len(b.buf) - start; size > b.frameMax {
		return 0, fmt.Errorf("the properties take %d bytes, and the connection's frames %d at most", size, b.frameMax)
	}

	most := b.frameMax - codec.FrameOverhead
	for body := msg.Body; len(body) > 0; {
		part := body[:min(len(body), most)]
		body = body[len(part):]
		start = b.open(codec.FrameBody)
		if len(msg.Body) < copyBelow {
			b.buf = append(b.buf, part...)
			b.close(start)
			continue
		}
		binary.BigEndian.PutUint32(b.buf[start+3:], uint32(len(part)))
		b.bodies = append(b.bodies, bodyPart{len(b.buf), part})
		b.buf = append(b.buf, frameEnd)
		byReference += len(part)
	}
	return byReference, nil
}

// AppendAck adds the acknowledgement of a delivery, or with multiple of all up to it.
func (b *Batch) AppendAck(tag uint64, multiple bool) {
	b.appendAnswer(basicAck, tag, flag(multiple))
}

// AppendNack adds the refusal of a delivery, or with multiple of all up to it. With requeue the broker delivers them
// again.
func (b *Batch) AppendNack(tag uint64, multiple, requeue bool) {
	b.appendAnswer(basicNack, tag, flag(multiple)|flag(requeue)<<1)
}

func (b *Batch) appendAnswer(method uint32, tag uint64, flags byte) {
	start := b.open(codec.FrameMethod)
	b.buf = binary.BigEndian.AppendUint32(b.buf, method)
	b.buf = binary.BigEndian.AppendUint64(b.buf, tag)
	b.buf = append(b.buf, flags)
	b.close(start)
}

// Size returns how many bytes have been collected.
func (b *Batch) Size() int { return len(b.buf) + b.size }

// Publishes returns how many publishes have been collected.
func (b *Batch) Publishes() int { return b.publishes }

// open begins a frame; close ends it once its payload has been appended.
func (b *Batch) open(kind codec.FrameType) (start int) {
	start = len(b.buf)
	b.buf = append(b.buf, byte(kind), byte(b.channel>>8), byte(b.channel), 0, 0, 0, 0)
	return start
}

func (b *Batch) close(start int) {
	binary.BigEndian.PutUint32(b.buf[start+3:], uint32(len(b.buf)-start-headSize))
	b.buf = append(b.buf, frameEnd)
}

// appendTo appends what was collected, in parts.
func (b *Batch) appendTo(parts net.Buffers) net.Buffers {
	at := 0
	for _, body := range b.bodies {
		parts = append(parts, b.buf[at:body.at], body.octets)
		at = body.at
	}
	return append(parts, b.buf[at:])
}

func (b *Batch) reset() {
	clear(b.bodies)
	b.buf, b.bodies, b.size, b.publishes = b.buf[:0], b.bodies[:0], 0, 0
	if cap(b.buf) > mostKept {
		b.buf = nil
	}
}

func flag(set bool) byte {
	if set {
		return 1
	}
	return 0
}
