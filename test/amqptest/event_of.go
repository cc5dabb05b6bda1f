package amqptest

import (
	"sync"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// source makes the events of one connection. It keeps what the connection is called, and from which queue a consumer
// tag delivers, which AMQP says in basic.consume only. Its methods are safe for concurrent use.
type source struct {
	conn int

	mu                sync.Mutex
	name, user, vhost string
	channels          map[uint16]*sourceChannel
}

// sourceChannel is what later events of a channel refer to.
type sourceChannel struct {
	declared  string            // what an empty queue name stands for
	consuming []string          // queues of basic.consume that were sent without a tag and wait for their answer
	getting   []string          // queues of basic.get that wait for their answer
	queues    map[string]string // by consumer tag
}

func newSource(conn int) *source {
	return &source{conn: conn, channels: make(map[uint16]*sourceChannel)}
}

// identify sets what the handshake brought to light; events that were made before keep what they have.
func (s *source) identify(name, user, vhost string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.name, s.user, s.vhost = name, user, vhost
}

// event makes the event of a method and, if it has content, of the content. It must be called in the order in which
// the methods of a channel and direction pass, and props and body, which it keeps, must not change any more.
func (s *source) event(d Direction, channel uint16, m codec.Method, props *codec.Properties, body []byte) *Event {
	ev := &Event{Direction: d, Channel: channel, Method: m.Name()}
	fillEvent(ev, m)
	ev.Size = methodSize(m)
	if codec.HasContent(m) && props != nil {
		ev.props, ev.body = props, body
		ev.Size += contentSize(props, len(body))
	}
	s.fill(ev, m)
	return ev
}

// heartbeat makes the event of a heartbeat.
func (s *source) heartbeat(d Direction) *Event {
	ev := &Event{Direction: d, Method: methodHeartbeat, Size: codec.FrameOverhead}
	s.fill(ev, nil)
	return ev
}

// frame makes the event of a single frame, for watchFrame.
func (s *source) frame(d Direction, f codec.Frame) *Event {
	ev := &Event{
		Direction: d, Channel: f.Channel, Method: framePrefix + f.Type.String(),
		Size: codec.FrameOverhead + len(f.Payload),
	}
	s.fill(ev, nil)
	return ev
}

const (
	methodHeartbeat = "heartbeat"
	framePrefix     = "frame."
)

// fill sets what the connection and its channels know.
func (s *source) fill(ev *Event, m codec.Method) {
	ev.At = time.Now()
	ev.Conn = s.conn
	s.mu.Lock()
	defer s.mu.Unlock()
	ev.ConnName, ev.User, ev.VHost = s.name, s.user, s.vhost
	if ev.Channel == 0 || m == nil {
		return
	}
	s.follow(ev, m)
}

// follow learns the queues that a channel's methods name, and names them in the events that do not.
func (s *source) follow(ev *Event, m codec.Method) {
	switch m.(type) {
	case *codec.BasicPublish, *codec.BasicAck, *codec.BasicReturn:
		return // the most frequent, and they have nothing to do with queues
	case *codec.ChannelOpen, *codec.ChannelCloseOk:
		delete(s.channels, ev.Channel)
		return
	}
	ch := s.channels[ev.Channel]
	if ch == nil {
		ch = &sourceChannel{queues: make(map[string]string)}
		s.channels[ev.Channel] = ch
	}
	switch m := m.(type) {
	case *codec.QueueDeclareOk:
		ch.declared = m.Queue
	case *codec.QueueBind, *codec.QueueUnbind, *codec.QueuePurge, *codec.QueueDelete:
		ev.Queue = ch.named(ev.Queue)
	case *codec.BasicConsume:
		ev.Queue = ch.named(ev.Queue)
		if m.ConsumerTag != "" {
			ch.queues[m.ConsumerTag] = ev.Queue
		} else if !m.NoWait {
			ch.consuming = append(ch.consuming, ev.Queue)
		}
	case *codec.BasicConsumeOk:
		if _, ok := ch.queues[m.ConsumerTag]; !ok {
			ch.queues[m.ConsumerTag] = shift(&ch.consuming)
		}
		ev.Queue = ch.queues[m.ConsumerTag]
	case *codec.BasicDeliver:
		ev.Queue = ch.queues[m.ConsumerTag]
	case *codec.BasicCancel:
		ev.Queue = ch.queues[m.ConsumerTag]
		if m.NoWait {
			delete(ch.queues, m.ConsumerTag)
		}
	case *codec.BasicCancelOk:
		ev.Queue = ch.queues[m.ConsumerTag]
		delete(ch.queues, m.ConsumerTag)
	case *codec.BasicGet:
		ev.Queue = ch.named(ev.Queue)
		ch.getting = append(ch.getting, ev.Queue)
	case *codec.BasicGetOk, *codec.BasicGetEmpty:
		ev.Queue = shift(&ch.getting)
	}
}

func (ch *sourceChannel) named(queue string) string {
	if queue == "" {
		return ch.declared
	}
	return queue
}

func shift(s *[]string) string {
	if len(*s) == 0 {
		return ""
	}
	first := (*s)[0]
	*s = (*s)[1:]
	return first
}

// fillEvent sets what the method itself says.
func fillEvent(ev *Event, m codec.Method) {
	switch m := m.(type) {
	case *codec.BasicPublish:
		ev.Exchange, ev.RoutingKey, ev.Mandatory = m.Exchange, m.RoutingKey, m.Mandatory
	case *codec.BasicDeliver:
		ev.ConsumerTag, ev.DeliveryTag, ev.Redelivered = m.ConsumerTag, m.DeliveryTag, m.Redelivered
		ev.Exchange, ev.RoutingKey = m.Exchange, m.RoutingKey
	case *codec.BasicReturn:
		ev.ReplyCode, ev.ReplyText, ev.Exchange, ev.RoutingKey = m.ReplyCode, m.ReplyText, m.Exchange, m.RoutingKey
	case *codec.BasicGetOk:
		ev.DeliveryTag, ev.Redelivered, ev.Exchange, ev.RoutingKey = m.DeliveryTag, m.Redelivered, m.Exchange, m.RoutingKey
	case *codec.BasicAck:
		ev.DeliveryTag, ev.Multiple = m.DeliveryTag, m.Multiple
	case *codec.BasicNack:
		ev.DeliveryTag, ev.Multiple = m.DeliveryTag, m.Multiple
	case *codec.BasicReject:
		ev.DeliveryTag = m.DeliveryTag
	case *codec.BasicGet:
		ev.Queue = m.Queue
	case *codec.BasicConsume:
		ev.Queue, ev.ConsumerTag = m.Queue, m.ConsumerTag
	case *codec.BasicConsumeOk:
		ev.ConsumerTag = m.ConsumerTag
	case *codec.BasicCancel:
		ev.ConsumerTag = m.ConsumerTag
	case *codec.BasicCancelOk:
		ev.ConsumerTag = m.ConsumerTag
	case *codec.QueueDeclare:
		ev.Queue = m.Queue
	case *codec.QueueDeclareOk:
		ev.Queue = m.Queue
	case *codec.QueueBind:
		ev.Queue, ev.Exchange, ev.RoutingKey = m.Queue, m.Exchange, m.RoutingKey
	case *codec.QueueUnbind:
		ev.Queue, ev.Exchange, ev.RoutingKey = m.Queue, m.Exchange, m.RoutingKey
	case *codec.QueuePurge:
		ev.Queue = m.Queue
	case *codec.QueueDelete:
		ev.Queue = m.Queue
	case *codec.ExchangeDeclare:
		ev.Exchange = m.Exchange
	case *codec.ExchangeDelete:
		ev.Exchange = m.Exchange
	case *codec.ExchangeBind:
		ev.Exchange, ev.RoutingKey = m.Destination, m.RoutingKey
	case *codec.ExchangeUnbind:
		ev.Exchange, ev.RoutingKey = m.Destination, m.RoutingKey
	case *codec.ChannelClose:
		ev.ReplyCode, ev.ReplyText = m.ReplyCode, m.ReplyText
	case *codec.ConnectionClose:
		ev.ReplyCode, ev.ReplyText = m.ReplyCode, m.ReplyText
	case *codec.ConnectionBlocked:
		ev.ReplyText = m.Reason
	}
}
