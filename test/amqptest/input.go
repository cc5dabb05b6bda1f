package amqptest

import (
	"fmt"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// inbound is a method from the client with its content.
type inbound struct {
	channel uint16
	ch      *channel // nil on channel 0
	method  codec.Method
	props   *codec.Properties
	body    []byte
	tag     uint64 // of a publish that is to be confirmed, else 0
}

// heldInbound is one that a fault keeps back.
type heldInbound struct {
	inbound
	decision decision
	timer    *time.Timer
}

// arriveFrame lets the faults of single frames look at a frame, and takes it.
func (c *conn) arriveFrame(f codec.Frame) {
	if !c.b.watchesFrames() {
		c.takeFrame(f)
		return
	}
	dec := c.b.watchFrame(c.source.frame(FromClient, f))
	if dec.delay > 0 {
		c.sleep(dec.delay)
	}
	if dec.severBefore {
		c.cut()
		return
	}
	if !dec.drop {
		for range 1 + dec.copies {
			c.takeFrame(f)
		}
	}
	c.runEffects(dec.after)
	if dec.severAfter {
		c.cut()
	}
}

// takeFrame does what a frame asks for, or closes the connection over it.
func (c *conn) takeFrame(f codec.Frame) {
	switch {
	case c.done:
	case c.state == stateClosing:
		c.takeWhileClosing(f)
	case f.Type == codec.FrameHeartbeat && f.Channel == 0:
		c.takeHeartbeat()
	case c.state != stateRunning && (f.Channel != 0 || f.Type != codec.FrameMethod):
		c.hangUp("unexpected frame of type %d on channel %d while %v", f.Type, f.Channel, c.state)
	case f.Type == codec.FrameHeartbeat, f.Channel == 0 && f.Type != codec.FrameMethod:
		c.shut(&codec.Error{
			Code: codec.UnexpectedFrame, Text: fmt.Sprintf("type %d, all octets = %s", f.Type, octets(f.Payload)),
		})
	case f.Channel == 0:
		if m := c.decode(f.Payload); m != nil {
			c.arrive(inbound{method: m})
		}
	default:
		c.takeChannelFrame(f)
	}
}

// takeWhileClosing ignores all but what ends the connection.
func (c *conn) takeWhileClosing(f codec.Frame) {
	if f.Channel != 0 || f.Type != codec.FrameMethod {
		return
	}
	m, err := codec.DecodeMethod(f.Payload)
	if err != nil {
		return
	}
	switch m.(type) {
	case *codec.ConnectionClose, *codec.ConnectionCloseOk:
		c.arrive(inbound{method: m})
	}
}

func (c *conn) takeHeartbeat() {
	dec := c.b.watch(c.source.heartbeat(FromClient))
	if !dec.passes() {
		c.carryOut(inbound{}, &dec)
	}
}

// decode returns nil after ending the connection over what cannot be decoded. RabbitMQ is silent about what makes its
// reader or its channel crash, and so it is here.
func (c *conn) decode(payload []byte) codec.Method {
	m, err := codec.DecodeMethod(payload)
	if err == nil {
		return m
	}
	if len(payload) < 4 && c.state == stateRunning {
		c.shut(unknownFrame(codec.Frame{Type: codec.FrameMethod, Payload: payload}))
		return nil
	}
	flaw := codecError(err)
	if c.state != stateRunning || flaw.Code == codec.NotImplemented || isTableFlaw(payload, flaw) {
		c.hangUp("%v", flaw)
		return nil
	}
	c.shut(&codec.Error{
		Code: codec.FrameError, Text: "cannot decode " + octets(payload[4:]),
		ClassID: flaw.ClassID, MethodID: flaw.MethodID,
	})
	return nil
}

// arrive lets the faults look at a method, and executes it.
func (c *conn) arrive(in inbound) {
	dec := c.b.watch(c.source.event(FromClient, in.channel, in.method, in.props, in.body))
	if dec.passes() {
		c.execute(&in, nil)
	} else {
		if dec.delay > 0 && !c.sleep(dec.delay) && c.state < stateClosing {
			c.done = true // it is as if the connection had ended before
			return
		}
		if dec.hold > 0 {
			c.hold(in, dec)
			return
		}
		c.carryOut(in, &dec)
	}
	if len(c.held) > 0 {
		name := in.method.Name()
		c.releaseIf(func(h *heldInbound) bool { return h.method.Name() == name })
	}
}

// carryOut executes a method as a decision wants it. A heartbeat is an inbound without a method.
func (c *conn) carryOut(in inbound, dec *decision) {
	if dec.severBefore {
		c.cut()
	}
	switch {
	case dec.severBefore, in.method == nil:
	case dec.closeConnection != nil || dec.closeChannel != nil:
		c.closeOver(in.channel, in.method, dec)
	case dec.drop:
		c.dropped(&in)
	default:
		if dec.severAfter || dec.halfOpen {
			// The client shall not hear of the effect, and of all before it.
			c.tellConfirms()
			c.awaitWritten()
			c.out.mute()
		}
		for range 1 + dec.copies {
			c.execute(&in, dec)
			in.tag = 0 // it is confirmed once
		}
	}
	c.runEffects(dec.after)
	if dec.severAfter {
		c.cut()
	}
	if dec.stall != 0 {
		c.stalled.begin(dec.stall)
	}
	if dec.halfOpen {
		c.freeze()
		c.done = true
	}
}

// dropped treats a method as if the client had not sent it.
func (c *conn) dropped(in *inbound) {
	if in.tag > 0 {
		in.ch.confirms.never(in.tag)
	}
}

// hold keeps a method back.
func (c *conn) hold(in inbound, dec decision) {
	h := &heldInbound{inbound: in, decision: dec}
	if in.tag > 0 {
		in.ch.confirms.await(in.tag)
	}
	c.held = append(c.held, h)
	h.timer = time.AfterFunc(dec.hold, func() {
		c.acquire()
		defer c.release()
		c.releaseIf(func(o *heldInbound) bool { return o == h })
		c.tellConfirms()
	})
}

func (c *conn) releaseIf(due func(*heldInbound) bool) {
	list := c.held
	c.held = nil
	for _, h := range list {
		if !due(h) {
			c.held = append(c.held, h)
			continue
		}
		h.timer.Stop()
		if c.state == stateRunning {
			c.carryOut(h.inbound, &h.decision)
		}
	}
}

// closeOver closes what a decision wants closed, over a method.
func (c *conn) closeOver(channel uint16, m codec.Method, dec *decision) {
	if r := dec.closeConnection; r != nil {
		c.shut(reasonAt(m, r))
	}
	if r := dec.closeChannel; r != nil {
		if ch := c.channels[channel]; ch != nil && !ch.closing {
			ch.shut(reasonAt(m, r))
		}
	}
}

// closeByFault is closeOver for the writer.
func (c *conn) closeByFault(channel uint16, m codec.Method, dec *decision) {
	c.acquire()
	defer c.release()
	if c.state == stateRunning {
		c.closeOver(channel, m, dec)
	}
}
