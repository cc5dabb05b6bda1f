package vhost

import (
	"slices"
	"sort"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Outlet takes what a host sends to a channel. Its methods are called under the
// host's lock, in the order in which the client shall see it: they must neither
// block nor call the host.
type Outlet interface {
	Deliver(m *codec.BasicDeliver, msg *Message)
	// Cancel says that the broker has cancelled a consumer.
	Cancel(consumerTag string)
	// Writable says whether deliveries may be sent; once it has said no, it is
	// asked again after Resume.
	Writable() bool
}

// Channel is a client's channel. All methods but Close may return an error that
// ends the channel or the connection, as its code says; the caller then closes
// it. Once closed it gets no more messages, and declares and consumes nothing.
type Channel struct {
	conn *Conn
	host *Host
	out  Outlet

	tag       uint64      // of the last delivery
	unacked   []*delivery // by tag
	settled   int         // how many of unacked are settled and only keep a place
	consumers []*consumer // in the order in which they began

	prefetch     int // for consumers to come; 0 is no limit
	channelLimit int // for all of them together
	channelUsed  int
	paused       bool
	closed       bool
	lastQueue    string // what an empty queue name stands for
	replyTag     string // the consumer of amq.rabbitmq.reply-to, if any
	replyName    string // what amq.rabbitmq.reply-to stands for on this channel
}

// delivery is a message that the client has yet to acknowledge.
type delivery struct {
	tag      uint64
	item     *item
	queue    *queue
	consumer *consumer // nil if the message was got
	at       time.Time
	settled  bool
}

// Channel opens a channel. If the connection is closed, so is the channel.
func (c *Conn) Channel(out Outlet) *Channel {
	c.host.enter()
	defer c.host.leave()
	ch := &Channel{conn: c, host: c.host, out: out}
	if _, open := c.host.conns[c]; open {
		c.channels = append(c.channels, ch)
	} else {
		ch.closed = true
	}
	return ch
}

// open refuses what a closed channel must not begin: nobody would end it.
func (ch *Channel) open() error {
	if ch.closed {
		return fail(codec.ChannelError, "the channel is closed")
	}
	return nil
}

// Close cancels the channel's consumers and gives back what is unacked. It may
// be called twice, and after the connection's Close.
func (ch *Channel) Close() {
	ch.host.enter()
	defer ch.host.leave()
	ch.close()
}

func (ch *Channel) close() {
	if ch.closed {
		return
	}
	ch.closed = true
	ch.conn.channels = remove(ch.conn.channels, ch)
	ch.dropReplyConsumer()
	// First out, then back: what comes back must not go to this channel again,
	// and a queue that is deleted with its last consumer takes it along.
	for _, c := range ch.consumers {
		c.detach()
	}
	giveBack(ch.takeAll())
	for _, c := range ch.consumers {
		c.queue.lostConsumer()
	}
	ch.consumers = nil
}

// remove takes one out of a list, which may be ranged over meanwhile.
func remove[T comparable](list []T, one T) []T {
	i := slices.Index(list, one)
	if i < 0 {
		return list
	}
	return slices.Concat(list[:i], list[i+1:])
}

// Resume lets deliveries go on that waited for the outlet.
func (ch *Channel) Resume() {
	ch.host.enter()
	defer ch.host.leave()
	ch.wake()
}

// Flow stops deliveries to the channel, or lets them go on.
func (ch *Channel) Flow(active bool) {
	ch.host.enter()
	defer ch.host.leave()
	ch.paused = !active
	ch.wake()
}

// consumer finds a consumer by its tag.
func (ch *Channel) consumer(tag string) *consumer {
	i := slices.IndexFunc(ch.consumers, func(c *consumer) bool { return c.tag == tag })
	if i < 0 {
		return nil
	}
	return ch.consumers[i]
}

// wake looks at all queues again that the channel consumes from.
func (ch *Channel) wake() {
	for _, c := range ch.consumers {
		c.queue.touch()
	}
}

// Qos sets how many unacked messages a consumer may have: each consumer that
// starts later, or all of the channel together if global.
func (ch *Channel) Qos(m *codec.BasicQos) error {
	ch.host.enter()
	defer ch.host.leave()
	if m.PrefetchSize != 0 {
		return fail(codec.NotImplemented, "prefetch_size!=0 (%d)", m.PrefetchSize)
	}
	if !m.Global {
		ch.prefetch = int(m.PrefetchCount)
		return nil
	}
	if m.PrefetchCount > 0 {
		for _, c := range ch.consumers {
			if c.queue.quorum {
				return fail(codec.NotImplemented, "queue '%s' in vhost '%s' does not support global qos", c.queue.name, ch.host.name)
			}
		}
	}
	ch.channelLimit = int(m.PrefetchCount)
	ch.wake()
	return nil
}

// hold notes a delivery that is to be acknowledged.
func (ch *Channel) hold(d *delivery) {
	d.at = time.Now()
	ch.unacked = append(ch.unacked, d)
	d.queue.unacked++
	if d.consumer != nil {
		d.consumer.used++
		ch.channelUsed++
	}
}

// take removes a range of the unacked deliveries, and makes room for others.
func (ch *Channel) take(from, to int) []*delivery {
	list := make([]*delivery, 0, to-from)
	for _, d := range ch.unacked[from:to] {
		if d.settled {
			continue
		}
		d.settled = true
		list = append(list, d)
		d.queue.unacked--
		if d.consumer != nil {
			d.consumer.used--
			ch.channelUsed--
			d.queue.touch()
		}
	}
	ch.settled += len(list)
	ch.trim()
	if ch.channelLimit > 0 {
		ch.wake()
	}
	return list
}

// trim drops what is settled: all at the front, and the rest once it is the
// larger part, so that to settle in any order costs the same.
func (ch *Channel) trim() {
	for len(ch.unacked) > 0 && ch.unacked[0].settled {
		ch.unacked[0] = nil
		ch.unacked = ch.unacked[1:]
		ch.settled--
	}
	if ch.settled > len(ch.unacked)/2 {
		ch.unacked = slices.DeleteFunc(ch.unacked, func(d *delivery) bool { return d.settled })
		ch.settled = 0
	}
}

// Overdue reports whether there is a delivery from before then that is not
// acknowledged.
func (ch *Channel) Overdue(then time.Time) bool {
	ch.host.enter()
	defer ch.host.leave()
	return len(ch.unacked) > 0 && ch.unacked[0].at.Before(then) // the first is not settled; see trim
}

func (ch *Channel) takeAll() []*delivery { return ch.take(0, len(ch.unacked)) }

// named takes the deliveries that an acknowledgement names. Tag 0 with multiple
// names all.
func (ch *Channel) named(tag uint64, multiple bool) ([]*delivery, error) {
	if multiple && tag == 0 {
		return ch.takeAll(), nil
	}
	i := sort.Search(len(ch.unacked), func(i int) bool { return ch.unacked[i].tag >= tag })
	if i == len(ch.unacked) || ch.unacked[i].tag != tag || ch.unacked[i].settled {
		return nil, fail(codec.PreconditionFailed, "unknown delivery tag %d", tag)
	}
	if multiple {
		return ch.take(0, i+1), nil
	}
	return ch.take(i, i+1), nil
}

// Ack removes messages for good.
func (ch *Channel) Ack(m *codec.BasicAck) error {
	ch.host.enter()
	defer ch.host.leave()
	list, err := ch.named(m.DeliveryTag, m.Multiple)
	for _, d := range list {
		d.queue.forget(d.item)
	}
	return err
}

// Nack gives messages back or, without requeue, dead-letters them.
func (ch *Channel) Nack(m *codec.BasicNack) error {
	ch.host.enter()
	defer ch.host.leave()
	return ch.refuse(m.DeliveryTag, m.Multiple, m.Requeue)
}

// Reject is Nack for one message.
func (ch *Channel) Reject(m *codec.BasicReject) error {
	ch.host.enter()
	defer ch.host.leave()
	return ch.refuse(m.DeliveryTag, false, m.Requeue)
}

func (ch *Channel) refuse(tag uint64, multiple, requeue bool) error {
	list, err := ch.named(tag, multiple)
	if requeue {
		giveBack(list)
		return err
	}
	for _, d := range list {
		d.queue.forget(d.item)
		if !d.queue.deleted {
			d.queue.deadLetter(d.item, reasonRejected)
		}
	}
	return err
}

// Recover gives back all that is unacked. RabbitMQ has no recovery to the same
// consumer.
func (ch *Channel) Recover(requeue bool) error {
	ch.host.enter()
	defer ch.host.leave()
	if !requeue {
		return fail(codec.NotImplemented, "requeue=false")
	}
	giveBack(ch.takeAll())
	return nil
}

// giveBack returns deliveries to their queues, those of one queue together.
func giveBack(list []*delivery) {
	for len(list) > 0 {
		q := list[0].queue
		var items []*item
		list = slices.DeleteFunc(list, func(d *delivery) bool {
			if d.queue == q {
				items = append(items, d.item)
			}
			return d.queue == q
		})
		q.takeBack(items)
	}
}
