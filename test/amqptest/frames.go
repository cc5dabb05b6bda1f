package amqptest

import (
	"encoding/binary"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// append adds an entry's frames to what is written next.
func (w *writer) append(o *outgoing, corrupt bool) {
	start := len(w.buf)
	if o.method == nil {
		w.frame(codec.Frame{Type: codec.FrameHeartbeat}, corrupt)
		return
	}
	head := w.open(codec.FrameMethod, o.channel)
	var err error
	if w.buf, err = codec.AppendMethod(w.buf, o.method); err == nil {
		w.close(head, corrupt)
		if o.msg != nil {
			err = w.appendContent(o)
		}
	}
	if err != nil {
		w.buf = w.buf[:min(start, len(w.buf))]
		w.unwritable(err)
	}
}

func (w *writer) appendContent(o *outgoing) error {
	class, _ := o.method.ID()
	body := o.msg.Body
	head := w.open(codec.FrameHeader, o.channel)
	var err error
	w.buf, err = codec.AppendHeader(w.buf, codec.Header{ClassID: class, BodySize: uint64(len(body)), Properties: o.msg.Properties})
	if err != nil {
		return err
	}
	w.close(head, false)
	for part := int(w.c.frameLimit.Load()) - codec.FrameOverhead; len(body) > 0; {
		n := min(part, len(body))
		w.frame(codec.Frame{Type: codec.FrameBody, Channel: o.channel, Payload: body[:n]}, false)
		body = body[n:]
		if len(body) > 0 {
			w.flushIfLong()
		}
	}
	return nil
}

// unwritable ends a connection that is to get what has no form on the wire: headers that have grown beyond what a
// table may hold, for one.
func (w *writer) unwritable(err error) {
	c := w.c
	c.besides(func() { c.closeFrom(&codec.Error{Code: codec.InternalError, Text: err.Error()}) })
}

const frameHead = codec.FrameOverhead - 1

// open begins a frame; close ends it once its payload has been appended.
func (w *writer) open(kind codec.FrameType, channel uint16) (start int) {
	start = len(w.buf)
	w.buf = append(w.buf, byte(kind), byte(channel>>8), byte(channel), 0, 0, 0, 0)
	return start
}

func (w *writer) close(start int, corrupt bool) {
	payload := w.buf[start+frameHead:]
	binary.BigEndian.PutUint32(w.buf[start+3:], uint32(len(payload)))
	w.buf = append(w.buf, 0xCE)
	w.watchFrame(start, corrupt)
}

func (w *writer) frame(f codec.Frame, corrupt bool) {
	start := len(w.buf)
	w.buf = codec.AppendFrame(w.buf, f)
	w.watchFrame(start, corrupt)
}

// watchFrame lets the faults of single frames look at the frame that begins at start and ends the buffer.
func (w *writer) watchFrame(start int, corrupt bool) {
	c := w.c
	if c.b.watchesFrames() {
		frame := w.buf[start:]
		v := c.b.watchFrame(c.source.frame(FromBroker, codec.Frame{
			Type: codec.FrameType(frame[0]), Channel: binary.BigEndian.Uint16(frame[1:]),
			Payload: frame[frameHead : len(frame)-1],
		}))
		corrupt = corrupt || v.corrupt
		switch {
		case v.severBefore:
			w.buf = w.buf[:start]
			w.flush()
			w.sever()
			return
		case v.drop:
			w.buf = w.buf[:start]
		case v.delay > 0:
			late := append([]byte(nil), frame...)
			w.buf = w.buf[:start]
			w.flush()
			c.sleep(v.delay)
			start = len(w.buf)
			w.buf = append(w.buf, late...)
		}
		if !v.drop {
			end := len(w.buf)
			for range v.copies {
				w.buf = append(w.buf, w.buf[start:end]...)
			}
		}
		defer func() {
			if v.severAfter {
				w.flush()
				w.sever()
			}
			c.runEffects(v.after)
		}()
	}
	if corrupt && len(w.buf) > start {
		w.buf[len(w.buf)-1] = 0 // the octet that every frame ends with
	}
}
