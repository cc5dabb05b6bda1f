package amqptest

import (
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

// channel is an open channel of a connection, or one that the broker has closed and the client not yet. It belongs to
// the holder of the connection's exec, but for what it is to its virtual host.
type channel struct {
	c      *conn
	id     uint16
	queues *vhost.Channel
	// closing: all but close and close-ok is ignored.
	closing bool

	// What is being received: a publish, then its header, then the body, of which so much has come.
	publish  *codec.BasicPublish
	header   *codec.Header
	body     []byte
	excess   bool // more has come than was announced
	confirms confirms

	starved bool // guarded by the outbox

	look *time.Timer // for deliveries that are not acknowledged in time
}

// takeChannelFrame takes a frame of a channel other than 0.
func (c *conn) takeChannelFrame(f codec.Frame) {
	ch := c.channels[f.Channel]
	switch {
	case ch != nil && ch.closing:
		ch.takeWhileClosing(f)
	case ch != nil:
		ch.takeFrame(f)
	default:
		c.takeFirstFrame(f)
	}
}

// takeFirstFrame takes a frame of a channel that is not open.
func (c *conn) takeFirstFrame(f codec.Frame) {
	if len(c.channels) >= int(c.channelMax) {
		c.shut(errorAt(nil, codec.NotAllowed, "number of channels opened (%d) has reached the negotiated channel_max (%d)",
			len(c.channels), c.channelMax))
		return
	}
	if f.Type != codec.FrameMethod {
		c.shut(errorAt(nil, codec.UnexpectedFrame, "expected method frame, got non method frame instead"))
		return
	}
	m := c.decode(f.Payload)
	if m == nil {
		return
	}
	if _, ok := m.(*codec.ChannelOpen); !ok {
		c.shut(errorAt(m, codec.ChannelError, "expected 'channel.open'"))
		return
	}
	c.arrive(inbound{channel: f.Channel, method: m})
}

// openChannel opens a channel.
func (c *conn) openChannel(id uint16, m *codec.ChannelOpen) {
	if c.channels[id] != nil {
		c.shut(errorAt(m, codec.ChannelError, "second 'channel.open' seen"))
		return
	}
	ch := &channel{c: c, id: id}
	ch.queues = c.host.Channel(ch)
	c.channels[id] = ch
	c.countChannels()
	ch.put(&codec.ChannelOpenOk{})
	if every := c.b.options.ConsumerTimeout / 10; every > 0 {
		ch.look = time.AfterFunc(every, ch.lookForOverdue)
	}
}

// lookForOverdue closes the channel if it has not acknowledged a delivery in time.
func (ch *channel) lookForOverdue() {
	c := ch.c
	c.acquire()
	defer c.release()
	if ch.closing || c.done || c.state != stateRunning || c.channels[ch.id] != ch {
		return
	}
	timeout := c.b.options.ConsumerTimeout
	if ch.queues.Overdue(time.Now().Add(-timeout)) {
		ch.shut(errorAt(nil, codec.PreconditionFailed, "delivery acknowledgement on channel %d timed out. Timeout value used: %d ms. "+
			"This timeout value can be configured, see consumers doc guide to learn more", ch.id, timeout.Milliseconds()))
		return
	}
	ch.look.Reset(timeout / 10)
}

func (c *conn) countChannels() { c.inform(func(i *connInfo) { i.channels = len(c.channels) }) }

// takeWhileClosing waits for the client to agree that the channel is closed.
func (ch *channel) takeWhileClosing(f codec.Frame) {
	if f.Type != codec.FrameMethod {
		return
	}
	m, err := codec.DecodeMethod(f.Payload)
	if err != nil {
		return
	}
	switch m.(type) {
	case *codec.ChannelClose, *codec.ChannelCloseOk:
		ch.c.arrive(inbound{channel: ch.id, ch: ch, method: m})
	}
}

// takeFrame puts methods and their content together.
func (ch *channel) takeFrame(f codec.Frame) {
	switch {
	case ch.publish == nil:
		ch.takeMethod(f)
	case ch.header == nil:
		ch.takeHeader(f)
	default:
		ch.takeBody(f)
	}
}

func (ch *channel) takeMethod(f codec.Frame) {
	c := ch.c
	if f.Type != codec.FrameMethod {
		c.shut(errorAt(nil, codec.UnexpectedFrame, "expected method frame, got non method frame instead"))
		return
	}
	switch m := c.decode(f.Payload).(type) {
	case nil:
	case *codec.BasicPublish:
		ch.publish = m
	default:
		c.arrive(inbound{channel: ch.id, ch: ch, method: m})
	}
}

// shortestHeader is the length of a content header less its properties.
const shortestHeader = 12

func (ch *channel) takeHeader(f codec.Frame) {
	c := ch.c
	class, _ := ch.publish.ID()
	if f.Type != codec.FrameHeader {
		c.shut(errorAt(ch.publish, codec.UnexpectedFrame,
			"expected content header for class %d, got non content header frame instead", class))
		return
	}
	if len(f.Payload) < shortestHeader {
		c.shut(unknownFrame(f))
		return
	}
	h, err := codec.DecodeHeader(f.Payload)
	if err != nil {
		c.shut(errorAt(nil, codec.InternalError, "%s", codecError(err).Text))
		return
	}
	limit := c.b.options.MaxMessageSize
	switch {
	case h.ClassID != class:
		c.shut(errorAt(ch.publish, codec.UnexpectedFrame,
			"expected content header for class %d, got one for class %d instead", class, h.ClassID))
		return
	case h.BodySize > uint64(limit):
		ch.fail(ch.publish, errorAt(nil, codec.PreconditionFailed,
			"message size %d is larger than configured max size %d", h.BodySize, limit))
		return
	}
	ch.header = &h
	c.publishes()
	if h.BodySize == 0 && c.state == stateRunning && !ch.closing {
		ch.complete()
	}
}

func (ch *channel) takeBody(f codec.Frame) {
	c := ch.c
	if f.Type != codec.FrameBody {
		c.shut(errorAt(ch.publish, codec.UnexpectedFrame,
			"expected content body, got non content body frame instead"))
		return
	}
	size := ch.header.BodySize
	if ch.excess || uint64(len(ch.body)+len(f.Payload)) > size {
		// RabbitMQ goes on waiting for the end, and so notices with the next method.
		ch.excess = true
		ch.forgetBody()
		return
	}
	c.b.receiving.Add(int64(len(f.Payload)))
	if ch.body == nil {
		ch.body = f.Payload // most often it is the whole
	} else {
		ch.body = append(ch.body, f.Payload...)
	}
	if uint64(len(ch.body)) == size {
		ch.complete()
		return
	}
	c.b.weigh(int64(len(f.Payload)))
}

// complete hands a publish on.
func (ch *channel) complete() {
	in := inbound{channel: ch.id, ch: ch, method: ch.publish, props: &ch.header.Properties, body: ch.body}
	ch.c.b.receiving.Add(-int64(len(ch.body)))
	ch.publish, ch.header, ch.body = nil, nil, nil
	in.tag = ch.confirms.count()
	ch.c.arrive(in)
}

func (ch *channel) forgetBody() {
	ch.c.b.receiving.Add(-int64(len(ch.body)))
	ch.body = nil
}

// fail closes the channel, or the connection, over a method.
func (ch *channel) fail(m codec.Method, err error) {
	e := *codecError(err)
	e.ClassID, e.MethodID = m.ID()
	if closesChannel(e.Code) {
		ch.shut(&e)
		return
	}
	ch.c.shut(&e)
}

// shut closes the channel with an error, on which the client is to answer.
func (ch *channel) shut(e *codec.Error) {
	ch.c.logf("channel %d: closing: %s", ch.id, replyText(e))
	// What was confirmed before stays confirmed, and the client is told.
	ch.c.tellConfirms()
	ch.drop()
	ch.closing = true
	ch.put(&codec.ChannelClose{ReplyCode: e.Code, ReplyText: replyText(e), ClassID: e.ClassID, MethodID: e.MethodID})
}

// drop gives back what the channel holds.
func (ch *channel) drop() {
	ch.forgetBody()
	ch.publish, ch.header = nil, nil
	ch.confirms = confirms{}
	ch.queues.Close()
}

// closed ends the channel for good.
func (ch *channel) closed() {
	ch.drop()
	delete(ch.c.channels, ch.id)
	ch.c.countChannels()
}

func (ch *channel) put(m codec.Method) { ch.c.out.put(ch.id, m, nil) }

// Deliver implements vhost.Outlet.
func (ch *channel) Deliver(m *codec.BasicDeliver, msg *vhost.Message) { ch.c.out.put(ch.id, m, msg) }

// Cancel implements vhost.Outlet.
func (ch *channel) Cancel(consumerTag string) {
	if ch.c.understands.cancel {
		ch.put(&codec.BasicCancel{ConsumerTag: consumerTag, NoWait: true})
	}
}

// Writable implements vhost.Outlet.
func (ch *channel) Writable() bool { return ch.c.out.writable(ch) }
