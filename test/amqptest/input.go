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
	verdict verdict
	timer   *time.Timer
}

// arriveFrame lets the faults of single frames look at a frame, and takes it.
func (c *conn) arriveFrame(f codec.Frame) {
	if !c.b.watchesFrames() {
		c.takeFrame(f)
		return
	}
	v := c.b.watchFrame(c.source.frame(FromClient, f))
	if v.delay > 0 {
		c.sleep(v.delay)
	}
	if v.severBefore {
		c.cut()
		return
	}
	if !v.drop {
		for range 1 + v.copies {
			c.takeFrame(f)
		}
	}
	c.runEffects(v.after)
	if v.severAfter {
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
	v := c.b.watch(c.source.heartbeat(FromClient))
	if !v.passes() {
		c.carryOut(inbound{}, &v)
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
	v := c.b.watch(c.source.event(FromClient, in.channel, in.method, in.props, in.body))
	if v.passes() {
		c.execute(&in, nil)
	} else {
		if v.delay > 0 && !c.sleep(v.delay) && c.state < stateClosing {
			c.done = true // it is as if the connection had ended before
			return
		}
		if v.hold > 0 {
			c.hold(in, v)
			return
		}
		c.carryOut(in, &v)
	}
	if len(c.held) > 0 {
		name := in.method.Name()
		c.releaseIf(func(h *heldInbound) bool { return h.method.Name() == name })
	}
}

// carryOut executes a method as a verdict wants it. A heartbeat is an inbound without a method.
func (c *conn) carryOut(in inbound, v *verdict) {
	if v.severBefore {
		c.cut()
	}
	switch {
	case v.severBefore, in.method == nil:
	case v.closeConnection != nil || v.closeChannel != nil:
		c.closeOver(in.channel, in.method, v)
	case v.drop:
		c.dropped(&in)
	default:
		if v.severAfter || v.halfOpen {
			// The client shall not hear of the effect, and of all before it.
			c.tellConfirms()
			c.awaitWritten()
			c.out.mute()
		}
		for range 1 + v.copies {
			c.execute(&in, v)
			in.tag = 0 // it is confirmed once
		}
	}
	c.runEffects(v.after)
	if v.severAfter {
		c.cut()
	}
	if v.stall != 0 {
		c.stalled.begin(v.stall)
	}
	if v.halfOpen {
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
func (c *conn) hold(in inbound, v verdict) {
	h := &heldInbound{inbound: in, verdict: v}
	if in.tag > 0 {
		in.ch.confirms.await(in.tag)
	}
	c.held = append(c.held, h)
	h.timer = time.AfterFunc(v.hold, func() {
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
			c.carryOut(h.inbound, &h.verdict)
		}
	}
}

// closeOver closes what a verdict wants closed, over a method.
func (c *conn) closeOver(channel uint16, m codec.Method, v *verdict) {
	if r := v.closeConnection; r != nil {
		c.shut(reasonAt(m, r))
	}
	if r := v.closeChannel; r != nil {
		if ch := c.channels[channel]; ch != nil && !ch.closing {
			ch.shut(reasonAt(m, r))
		}
	}
}

// closeByFault is closeOver for the writer.
func (c *conn) closeByFault(channel uint16, m codec.Method, v *verdict) {
	c.acquire()
	defer c.release()
	if c.state == stateRunning {
		c.closeOver(channel, m, v)
	}
}
