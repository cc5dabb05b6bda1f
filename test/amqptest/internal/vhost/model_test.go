package vhost

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// model is what a host should hold: of each queue the ready messages in order,
// of each channel what it has yet to settle.
type model struct {
	*rapid.T
	host     *Host
	conns    []*Conn
	channels []*modelChannel // two for each connection
	queues   map[string]*modelQueue
	events   []event // since the last call, in order
	lastID   int
}

type modelQueue struct {
	name     string
	args     codec.Table
	declared bool
	ready    []*modelMessage
	seq      int
}

type modelMessage struct {
	id, seq, priority int
	queue             *modelQueue
	dead              bool // its queue was deleted
	returns           int
	persistent        bool
	brief, tried      bool // brief: it lives for 0 ms
}

type modelChannel struct {
	*Channel
	m       *model
	conn    int
	lastTag uint64
	settled uint64 // the last tag that was
	unacked map[uint64]*modelMessage
	blocked bool
	queueOf map[string]string // by consumer
	noAck   map[string]bool
}

// event is a delivery, or the cancel of a consumer.
type event struct {
	ch       *modelChannel
	deliver  *codec.BasicDeliver
	msg      *Message
	consumer string
}

func (c *modelChannel) Deliver(d *codec.BasicDeliver, msg *Message) {
	c.m.events = append(c.m.events, event{ch: c, deliver: d, msg: msg})
	consumer := c.consumer(d.ConsumerTag)
	switch {
	case c.paused || c.blocked || c.closed:
		c.m.Errorf("delivery to a channel that takes none")
	case consumer == nil:
		c.m.Errorf("delivery to %q, which is no consumer", d.ConsumerTag)
	case consumer.noAck:
	case consumer.limit > 0 && consumer.used > consumer.limit:
		c.m.Errorf("consumer %q has %d of %d", d.ConsumerTag, consumer.used, consumer.limit)
	case c.channelLimit > 0 && c.channelUsed > c.channelLimit:
		c.m.Errorf("the channel has %d of %d", c.channelUsed, c.channelLimit)
	}
}

func (c *modelChannel) Cancel(tag string) {
	c.m.events = append(c.m.events, event{ch: c, consumer: tag})
}
func (c *modelChannel) Writable() bool { return !c.blocked }

func newModel(t *rapid.T) *model {
	m := &model{T: t, host: New("/"), queues: map[string]*modelQueue{}}
	for name, args := range map[string]codec.Table{
		"classic":  nil,
		"quorum":   table(argQueueType, typeQuorum),
		"limited":  table(argQueueType, typeQuorum, argDeliveryLimit, int32(2), argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead"),
		"priority": table(argMaxPriority, int32(3)),
		"single":   table(argSingleActive, true),
		"dead":     nil,
	} {
		m.queues[name] = &modelQueue{name: name, args: args}
		m.queues[name].seq = 0
	}
	for i := range 2 {
		m.conns = append(m.conns, m.host.Connect(User{}))
		for range 2 {
			m.channels = append(m.channels, m.open(i))
		}
	}
	return m
}

func (m *model) open(conn int) *modelChannel {
	c := &modelChannel{m: m, conn: conn, unacked: map[uint64]*modelMessage{}, queueOf: map[string]string{}, noAck: map[string]bool{}}
	c.Channel = m.conns[conn].Channel(c)
	return c
}

func (m *model) queue() *modelQueue {
	return m.queues[rapid.SampledFrom([]string{"classic", "quorum", "limited", "priority", "single", "dead"}).Draw(m.T, "queue")]
}

func (m *model) channel() *modelChannel { return m.channels[rapid.IntRange(0, 3).Draw(m.T, "channel")] }

func (m *model) ok(err error) {
	if err != nil {
		m.Fatal(err)
	}
}

// declare makes the queue if it is not there.
func (m *model) declare(q *modelQueue) {
	if !q.declared {
		_, err := m.channels[0].QueueDeclare(&codec.QueueDeclare{Queue: q.name, Durable: true, Arguments: q.args})
		m.ok(err)
		*q = modelQueue{name: q.name, args: q.args, declared: true}
	}
}

func (q *modelQueue) quorum() bool { v, _ := q.args.Get(argQueueType); return v == typeQuorum }

// add puts a message to the end of a queue, if there is one.
func (m *model) add(q *modelQueue, msg modelMessage) {
	if q.declared {
		q.seq++
		msg.seq, msg.queue, msg.returns, msg.tried = q.seq, q, 0, false
		q.ready = append(q.ready, &msg)
		q.sort()
	}
}

func (q *modelQueue) sort() {
	slices.SortStableFunc(q.ready, func(a, b *modelMessage) int {
		switch {
		case q.quorum() && (a.returns > 0) != (b.returns > 0):
			return b.returns - a.returns // one of them is 0
		case q.quorum() && a.returns > 0:
			return 0 // in the order of their return
		case q.name == "priority" && min(a.priority, 3) != min(b.priority, 3):
			return min(b.priority, 3) - min(a.priority, 3)
		default:
			return a.seq - b.seq
		}
	})
}

// giveBack returns messages in the order of their tags.
func (m *model) giveBack(c *modelChannel, tags []uint64) {
	slices.Sort(tags)
	for _, tag := range tags {
		msg := c.unacked[tag]
		delete(c.unacked, tag)
		if msg.dead {
			continue
		}
		msg.returns++
		q := msg.queue
		if q.name == "limited" && msg.returns > 2 {
			m.add(m.queues["dead"], modelMessage{id: msg.id, priority: msg.priority, persistent: msg.persistent})
			continue
		}
		q.ready = append(q.ready, msg)
		q.sort()
	}
}

// expire drops what lives for 0 ms and is at the head; if all, also what the
// consumers have not been offered.
func (q *modelQueue) expire(all bool) {
	for len(q.ready) > 0 && q.ready[0].brief && (all || q.ready[0].tried) {
		q.ready = q.ready[1:]
	}
}

func (q *modelQueue) pop(m *model, id string) *modelMessage {
	if len(q.ready) == 0 || strconv.Itoa(q.ready[0].id) != id {
		m.Fatalf("queue %s: got message %s of %v", q.name, id, q)
	}
	msg := q.ready[0]
	q.ready = q.ready[1:]
	return msg
}

func (q *modelQueue) String() string {
	var s []string
	for _, msg := range q.ready {
		s = append(s, fmt.Sprintf("%d(%d)", msg.id, msg.returns))
	}
	return fmt.Sprint(s)
}

// deliver checks a delivery or an answer to get, and moves its message.
func (m *model) deliver(c *modelChannel, q *modelQueue, noAck bool, tag uint64, redelivered bool, msg *Message) {
	q.expire(false)
	got := q.pop(m, string(msg.Body))
	if tag != c.lastTag+1 {
		m.Fatalf("delivery tag %d after %d", tag, c.lastTag)
	}
	c.lastTag = tag
	if redelivered != (got.returns > 0) {
		m.Fatalf("message %d: redelivered is %v after %d returns", got.id, redelivered, got.returns)
	}
	if count, _ := msg.Properties.Headers.Get(headerDeliveryCount); q.quorum() && got.returns > 0 && count != int64(got.returns) {
		m.Fatalf("message %d: delivery count %v after %d returns", got.id, count, got.returns)
	}
	if !noAck {
		got.tried = true
		c.unacked[tag] = got
	}
}

// check compares the host with the model. It runs after each call.
func (m *model) check() {
	for _, e := range m.events {
		if e.deliver == nil {
			delete(e.ch.queueOf, e.consumer)
			continue
		}
		q := m.queues[e.ch.queueOf[e.deliver.ConsumerTag]]
		m.deliver(e.ch, q, e.ch.noAck[e.deliver.ConsumerTag], e.deliver.DeliveryTag, e.deliver.Redelivered, e.msg)
	}
	m.events = nil
	unacked := map[*modelQueue]int{}
	for _, c := range m.channels {
		for _, msg := range c.unacked {
			if !msg.dead {
				unacked[msg.queue]++
			}
		}
	}
	for _, info := range m.host.Queues() {
		q := m.queues[info.Name]
		q.expire(true)
		for _, msg := range q.ready {
			msg.tried = true
		}
		if info.Ready != len(q.ready) || info.Unacked != unacked[q] {
			m.Fatalf("queue %s: %d ready, %d unacked; want %v and %d", q.name, info.Ready, info.Unacked, q, unacked[q])
		}
	}
	m.consistent()
}

// consistent checks what the host reckons against what it holds.
func (m *model) consistent() {
	var bytes int64
	held := map[*item]bool{}
	hold := func(it *item) {
		if held[it] {
			m.Fatalf("message %s is in two places", it.msg.Body)
		}
		held[it] = true
		bytes += it.msg.size()
	}
	for _, q := range m.host.queues {
		items := slices.Concat(q.ready.returned.items[q.ready.returned.head:])
		for _, l := range q.ready.levels {
			items = slices.Concat(items, l.back, l.fresh.items[l.fresh.head:])
		}
		for _, it := range items {
			hold(it)
		}
		if q.ready.len() != len(items) {
			m.Fatalf("queue %s counts %d of %d", q.name, q.ready.len(), len(items))
		}
		if q.ready.len() > 0 && q.nextConsumer() != nil {
			m.Fatalf("queue %s has messages and a consumer that can take them", q.name)
		}
	}
	for _, c := range m.channels {
		used := 0
		for _, d := range c.Channel.unacked {
			if !d.settled {
				hold(d.item)
				if d.consumer != nil {
					used++
				}
			}
		}
		if used != c.channelUsed {
			m.Fatalf("a channel counts %d of %d", c.channelUsed, used)
		}
	}
	if m.host.Bytes() != bytes {
		m.Fatalf("the host counts %d of %d bytes", m.host.Bytes(), bytes)
	}
}

func (m *model) lose(q *modelQueue) {
	q.ready, q.declared = nil, false
	for _, c := range m.channels {
		for _, msg := range c.unacked {
			msg.dead = msg.dead || msg.queue == q
		}
	}
}

func (m *model) closed(c *modelChannel) {
	var tags []uint64
	for tag := range c.unacked {
		tags = append(tags, tag)
	}
	m.giveBack(c, tags)
	m.channels[slices.Index(m.channels, c)] = m.open(c.conn)
}

// someTag draws a tag that is open, or rarely one that is not.
func (m *model) someTag(c *modelChannel) uint64 {
	open := slices.Sorted(maps.Keys(c.unacked))
	if len(open) > 0 && rapid.IntRange(0, 9).Draw(m.T, "open") > 0 {
		return rapid.SampledFrom(open).Draw(m.T, "tag")
	}
	return rapid.SampledFrom([]uint64{0, c.settled, c.lastTag + 1}).Draw(m.T, "tag")
}

// settle is ack, nack and reject.
func (m *model) settle(how string) {
	c := m.channel()
	tag := m.someTag(c)
	multiple := how != "reject" && rapid.Bool().Draw(m.T, "multiple")
	requeue := how != "ack" && rapid.Bool().Draw(m.T, "requeue")
	var tags []uint64
	for t := range c.unacked {
		if t == tag || multiple && (t <= tag || tag == 0) {
			tags = append(tags, t)
		}
	}
	_, known := c.unacked[tag]
	var err error
	switch how {
	case "ack":
		err = c.Ack(&codec.BasicAck{DeliveryTag: tag, Multiple: multiple})
	case "nack":
		err = c.Nack(&codec.BasicNack{DeliveryTag: tag, Multiple: multiple, Requeue: requeue})
	default:
		err = c.Reject(&codec.BasicReject{DeliveryTag: tag, Requeue: requeue})
	}
	if !known && (!multiple || tag != 0) {
		refused(m, err, codec.PreconditionFailed)
		c.Channel.Close()
		m.closed(c)
		return
	}
	m.ok(err)
	c.settled = tag
	if requeue {
		m.giveBack(c, tags)
		return
	}
	slices.Sort(tags)
	for _, t := range tags {
		msg := c.unacked[t]
		delete(c.unacked, t)
		if how != "ack" && !msg.dead && msg.queue.name == "limited" {
			m.add(m.queues["dead"], modelMessage{id: msg.id, priority: msg.priority, persistent: msg.persistent})
		}
	}
}
