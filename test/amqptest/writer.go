package amqptest

import (
	"encoding/binary"
	"time"

	"github.com/warren-rpc/warren/test/amqptest/internal/codec"
	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

// gatherLimit is how many bytes are gathered into one write.
const gatherLimit = 64 << 10

// writer turns what is in the outbox into frames. It belongs to one goroutine.
type writer struct {
	c     *conn
	buf   []byte
	owed  int64 // what the entries in buf were reckoned at
	held  []*heldOutgoing
	ended bool // the socket is closed
}

// heldOutgoing is an entry that a fault keeps back.
type heldOutgoing struct {
	outgoing
	verdict verdict
	until   time.Time
}

// write is the goroutine that writes.
func (c *conn) write() {
	defer c.workers.Done()
	w := &writer{c: c}
	var batch []outgoing
	for {
		var ok bool
		if batch, ok = c.out.take(batch); !ok {
			return
		}
		for i := range batch {
			w.send(&batch[i])
			if w.ended {
				return
			}
		}
		w.flush()
		w.release(time.Now())
	}
}

// send lets the faults look at an entry, and writes it.
func (w *writer) send(o *outgoing) {
	c := w.c
	v := c.b.watch(c.eventOf(o))
	if v.passes() && len(w.held) == 0 {
		w.append(o, false)
		w.owed += o.size()
		w.flushIfLong()
		return
	}
	if v.delay > 0 {
		w.flush()
		c.sleep(v.delay)
	}
	w.owed += o.size() // also what is held: heartbeats do not wait for it
	if v.hold > 0 {
		w.hold(o, v)
		return
	}
	w.carryOut(o, &v)
	w.releaseAfter(o.name())
}

// carryOut writes an entry as a verdict wants it.
func (w *writer) carryOut(o *outgoing, v *verdict) {
	c := w.c
	if v.severBefore {
		w.flush()
		w.sever()
	}
	switch {
	case w.ended, v.drop:
	case v.closeConnection != nil || v.closeChannel != nil:
		channel, method := o.channel, o.method // the entry is not the writer's for ever
		c.besides(func() { c.closeByFault(channel, method, v) })
	default:
		w.append(o, v.corrupt)
		for range v.copies {
			w.flushIfLong()
			w.append(o, false)
		}
	}
	w.flushIfLong()
	if v.severAfter || len(v.after) > 0 || v.stall != 0 || v.halfOpen {
		w.flush()
	}
	c.runEffects(v.after)
	if v.severAfter {
		w.sever()
	}
	if v.stall != 0 {
		c.stalled.begin(v.stall)
	}
	if v.halfOpen {
		c.freeze()
		w.ended = true
	}
}

func (w *writer) sever() {
	w.c.cut()
	w.ended = true
}

// hold keeps an entry back, and sees to it that the writer looks at it when its time is over.
func (w *writer) hold(o *outgoing, v verdict) {
	h := &heldOutgoing{outgoing: *o, verdict: v, until: time.Now().Add(v.hold)}
	w.held = append(w.held, h)
	w.c.besides(func() {
		if w.c.sleep(v.hold) {
			w.c.out.wakeWriter()
		}
	})
}

// releaseAfter writes what was held until an event of this name.
func (w *writer) releaseAfter(name string) {
	w.releaseIf(func(h *heldOutgoing) bool { return h.name() == name })
}

// release writes what was held until now.
func (w *writer) release(now time.Time) {
	w.releaseIf(func(h *heldOutgoing) bool { return !now.Before(h.until) })
	w.flush()
}

func (w *writer) releaseIf(due func(*heldOutgoing) bool) {
	if len(w.held) == 0 {
		return
	}
	list := w.held
	w.held = nil
	for _, h := range list {
		switch {
		case w.ended:
		case due(h):
			w.carryOut(&h.outgoing, &h.verdict)
		default:
			w.held = append(w.held, h)
		}
	}
}

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

func (w *writer) flushIfLong() {
	if len(w.buf) >= gatherLimit {
		w.flush()
	}
}

// flush writes what was gathered. There is no limit on the time that it takes: a client that does not read is dropped
// once its heartbeats are missing too.
func (w *writer) flush() {
	if w.ended {
		w.buf, w.owed = w.buf[:0], 0
		return
	}
	if len(w.buf) > 0 {
		if _, err := w.c.nc.Write(w.buf); err != nil {
			w.sever()
			return
		}
		w.c.sent.Add(1)
		w.buf = w.buf[:0]
		if cap(w.buf) > 4*gatherLimit {
			w.buf = nil
		}
	}
	if w.owed == 0 {
		return
	}
	hungry := w.c.out.written(w.owed)
	w.owed = 0
	for _, ch := range hungry {
		ch.queues.Resume()
	}
}

func (o *outgoing) name() string {
	if o.method == nil {
		return "heartbeat"
	}
	return o.method.Name()
}

func (c *conn) eventOf(o *outgoing) *Event {
	if o.method == nil {
		return c.source.heartbeat(FromBroker)
	}
	var props *codec.Properties
	var body []byte
	if o.msg != nil {
		props, body = &o.msg.Properties, o.msg.Body
	}
	return c.source.event(FromBroker, o.channel, o.method, props, body)
}

// returned is the content of a message that goes back to its publisher.
func returned(props *codec.Properties, body []byte) *vhost.Message {
	return &vhost.Message{Properties: *props, Body: body}
}
