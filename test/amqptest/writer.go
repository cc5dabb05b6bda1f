package amqptest

import (
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
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
	decision decision
	until    time.Time
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
	dec := c.b.watch(c.eventOf(o))
	if dec.passes() && len(w.held) == 0 {
		w.append(o, false)
		w.owed += o.size()
		w.flushIfLong()
		return
	}
	if dec.delay > 0 {
		w.flush()
		c.sleep(dec.delay)
	}
	w.owed += o.size() // also what is held: heartbeats do not wait for it
	if dec.hold > 0 {
		w.hold(o, dec)
		return
	}
	w.carryOut(o, &dec)
	w.releaseAfter(o.name())
}

// carryOut writes an entry as a decision wants it.
func (w *writer) carryOut(o *outgoing, dec *decision) {
	c := w.c
	if dec.severBefore {
		w.flush()
		w.sever()
	}
	switch {
	case w.ended, dec.drop:
	case dec.closeConnection != nil || dec.closeChannel != nil:
		channel, method := o.channel, o.method // the entry is not the writer's for ever
		c.besides(func() { c.closeByFault(channel, method, dec) })
	default:
		w.append(o, dec.corrupt)
		for range dec.copies {
			w.flushIfLong()
			w.append(o, false)
		}
	}
	w.flushIfLong()
	if dec.severAfter || len(dec.after) > 0 || dec.stall != 0 || dec.halfOpen {
		w.flush()
	}
	c.runEffects(dec.after)
	if dec.severAfter {
		w.sever()
	}
	if dec.stall != 0 {
		c.stalled.begin(dec.stall)
	}
	if dec.halfOpen {
		c.freeze()
		w.ended = true
	}
}

func (w *writer) sever() {
	w.c.cut()
	w.ended = true
}

// hold keeps an entry back, and sees to it that the writer looks at it when its time is over.
func (w *writer) hold(o *outgoing, dec decision) {
	h := &heldOutgoing{outgoing: *o, decision: dec, until: time.Now().Add(dec.hold)}
	w.held = append(w.held, h)
	w.c.besides(func() {
		if w.c.sleep(dec.hold) {
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
			w.carryOut(&h.outgoing, &h.decision)
		default:
			w.held = append(w.held, h)
		}
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
