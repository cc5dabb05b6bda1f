package vhost

import (
	"slices"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

type consumer struct {
	ch       *Channel
	queue    *queue
	tag      string
	noAck    bool
	priority int64
	limit    int // of unacked messages, 0 is none
	used     int
}

const argPriority = "x-priority"

// Consume starts a consumer. It calls ok with the consumer's tag, under the
// host's lock, before the first delivery.
func (ch *Channel) Consume(m *codec.BasicConsume, ok func(consumerTag string)) error {
	ch.host.enter()
	defer ch.host.leave()
	if err := ch.open(); err != nil {
		return err
	}
	tag := m.ConsumerTag
	switch {
	case tag == "":
		tag = "amq.ctag-" + randomName()
	case ch.consumer(tag) != nil || ch.replyTag == tag:
		return fail(codec.NotAllowed, "attempt to reuse consumer tag '%s'", tag)
	}
	if m.Queue == replyTo {
		return ch.consumeReplies(m, tag, ok)
	}
	q, err := ch.readable(m.Queue)
	if err != nil {
		return err
	}
	// A quorum queue takes the flag and does nothing about it.
	exclusive := m.Exclusive && !q.quorum
	if q.exclusive != nil || exclusive && len(q.consumers) > 0 {
		return fail(codec.AccessRefused, "%s in exclusive use", q.label())
	}
	if q.quorum && ch.channelLimit > 0 {
		return fail(codec.NotImplemented, "%s does not support global qos", q.label())
	}
	c := &consumer{ch: ch, queue: q, tag: tag, noAck: m.NoAck, limit: ch.prefetch}
	if v, set := m.Arguments.Get(argPriority); set {
		n, isNumber := codec.Integer(v)
		if !isNumber {
			return fail(codec.PreconditionFailed, "invalid arg '%s' for %s: %v", argPriority, q.label(), unacceptable(v))
		}
		c.priority = n
	}
	if exclusive {
		q.exclusive = c
	}
	q.queueUp(c)
	if q.singleActive && q.active == nil {
		q.active = c
	}
	if q.idle != nil {
		q.idle.Stop()
	}
	q.touch()
	ch.consumers = append(ch.consumers, c)
	ok(tag)
	return nil
}

// readable finds a queue to take messages from.
func (ch *Channel) readable(given string) (*queue, error) {
	name, err := ch.queueName(given)
	if err != nil {
		return nil, err
	}
	if err := ch.conn.allow(read, "queue", name); err != nil {
		return nil, err
	}
	return ch.ownQueue(name)
}

// queueUp puts a consumer behind those whose turn comes before.
func (q *queue) queueUp(c *consumer) {
	i := 0
	for i < len(q.consumers) && q.consumers[i].priority >= c.priority {
		i++
	}
	q.consumers = slices.Insert(q.consumers, i, c)
}

// nextConsumer chooses who gets the next message: of the consumers that can take
// one, the first in turn among those of the highest priority. Its turn is over.
func (q *queue) nextConsumer() *consumer {
	if q.singleActive {
		if q.active == nil || !q.active.canTake() {
			return nil
		}
		return q.active
	}
	i := slices.IndexFunc(q.consumers, (*consumer).canTake)
	if i < 0 {
		return nil
	}
	c := q.consumers[i]
	if len(q.consumers) > 1 {
		q.consumers = slices.Delete(q.consumers, i, i+1)
		q.queueUp(c)
	}
	return c
}

func (c *consumer) canTake() bool {
	ch := c.ch
	if ch.paused || !ch.out.Writable() {
		return false
	}
	return c.noAck || (c.limit == 0 || c.used < c.limit) && (ch.channelLimit == 0 || ch.channelUsed < ch.channelLimit)
}

func (c *consumer) deliver(it *item) {
	ch := c.ch
	ch.tag++
	if c.noAck {
		c.queue.forget(it)
	} else {
		ch.hold(&delivery{tag: ch.tag, item: it, queue: c.queue, consumer: c})
	}
	ch.out.Deliver(&codec.BasicDeliver{
		ConsumerTag: c.tag, DeliveryTag: ch.tag, Redelivered: it.redelivered,
		Exchange: it.msg.Exchange, RoutingKey: it.msg.RoutingKey,
	}, c.queue.shown(it))
}

const headerDeliveryCount = "x-delivery-count"

// shown is what a client sees of a message: a quorum queue tells how often it
// has come back.
func (q *queue) shown(it *item) *Message {
	if !q.quorum || it.deliveries == 0 {
		return it.msg
	}
	return it.msg.withHeaders(it.msg.Properties.Headers.With(headerDeliveryCount, int64(it.deliveries)))
}

// detach takes a consumer off its queue.
func (c *consumer) detach() {
	q := c.queue
	q.consumers = slices.DeleteFunc(q.consumers, func(o *consumer) bool { return o == c })
	if q.active == c {
		q.active = nil
		if len(q.consumers) > 0 {
			q.active = q.consumers[0]
		}
	}
	if q.exclusive == c {
		q.exclusive = nil
	}
	q.touch()
}

// lostConsumer deletes a queue that lives no longer than its consumers.
func (q *queue) lostConsumer() {
	if len(q.consumers) > 0 || q.deleted {
		return
	}
	if q.autoDelete {
		q.host.removeQueue(q)
		return
	}
	q.used()
}

func (c *consumer) remove() {
	c.detach()
	c.ch.consumers = remove(c.ch.consumers, c)
	c.queue.lostConsumer()
}

// Cancel ends a consumer. What it has not acknowledged stays the channel's. It
// is no error if there is none.
func (ch *Channel) Cancel(m *codec.BasicCancel) error {
	ch.host.enter()
	defer ch.host.leave()
	if c := ch.consumer(m.ConsumerTag); c != nil {
		c.remove()
	} else if ch.replyTag == m.ConsumerTag {
		ch.dropReplyConsumer()
	}
	return nil
}

// Get takes one message. All results are nil if the queue is empty.
func (ch *Channel) Get(m *codec.BasicGet) (*codec.BasicGetOk, *Message, error) {
	ch.host.enter()
	defer ch.host.leave()
	if err := ch.open(); err != nil {
		return nil, nil, err
	}
	q, err := ch.readable(m.Queue)
	if err != nil {
		return nil, nil, err
	}
	if q.quorum && q.singleActive {
		return nil, nil, fail(codec.ResourceLocked, "cannot obtain access to locked %s. basic.get operations are not supported by "+
			"quorum queues with single active consumer", q.label())
	}
	q.used()
	q.dropExpired(time.Now().UnixNano())
	it := q.ready.pop()
	q.touch()
	if it == nil {
		return nil, nil, nil
	}
	ch.tag++
	if m.NoAck {
		q.forget(it)
	} else {
		ch.hold(&delivery{tag: ch.tag, item: it, queue: q})
	}
	return &codec.BasicGetOk{
		DeliveryTag: ch.tag, Redelivered: it.redelivered, Exchange: it.msg.Exchange, RoutingKey: it.msg.RoutingKey,
		MessageCount: uint32(q.ready.len()),
	}, q.shown(it), nil
}
