package vhost

import (
	"strconv"
	"testing"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// TestMessagesAreNeitherLostNorDoubledNorDisordered makes random calls on
// several connections, and compares the host with a model after each.
func TestMessagesAreNeitherLostNorDoubledNorDisordered(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		m := newModel(t)
		defer m.host.Close()
		t.Repeat(map[string]func(*rapid.T){
			"":             func(t *rapid.T) { m.T = t; m.check() },
			"publish once": m.do(func() { m.publish(m.queue()) }),
			"publish":      m.do(m.publishSome), "publish more": m.do(m.publishSome),
			"consume": m.do(m.consume), "cancel": m.do(m.cancel), "get": m.do(m.get),
			"ack":    m.do(func() { m.settle("ack") }),
			"ack 2":  m.do(func() { m.settle("ack") }),
			"nack 2": m.do(func() { m.settle("nack") }),
			"get 2":  m.do(m.get), "consume 2": m.do(m.consume),
			"nack":   m.do(func() { m.settle("nack") }),
			"reject": m.do(func() { m.settle("reject") }),
			"recover": m.do(func() {
				c := m.channel()
				m.ok(c.Recover(true))
				var tags []uint64
				for tag := range c.unacked {
					tags = append(tags, tag)
				}
				m.giveBack(c, tags)
			}),
			"flow": m.do(func() { m.channel().Flow(rapid.Bool().Draw(m.T, "active")) }),
			"writable": m.do(func() {
				c := m.channel()
				if c.blocked = !c.blocked; !c.blocked {
					c.Resume()
				}
			}),
			"close channel":    m.do(func() { c := m.channel(); c.Channel.Close(); m.closed(c) }),
			"close connection": m.do(m.closeConnection),
			"purge":            m.do(m.purge), "delete": m.do(m.deleteQueue), "cancel all": m.do(m.cancelAll), "restart": m.do(m.restart),
		})
		for i, c := range m.channels {
			c.Channel.Close()
			if i%2 == 1 {
				m.conns[c.conn].Close()
			}
		}
		for _, q := range m.host.Queues() {
			m.ok(m.host.DeleteQueue(q.Name))
		}
		if n := m.host.Bytes(); n != 0 {
			t.Fatalf("%d bytes are left", n)
		}
	})
}

func (m *model) do(act func()) func(*rapid.T) {
	return func(t *rapid.T) {
		m.T = t
		act()
	}
}

// publishSome fills a queue.
func (m *model) publishSome() {
	q := m.queue()
	m.declare(q)
	for range rapid.IntRange(1, 6).Draw(m.T, "messages") {
		m.publish(q)
		m.check()
	}
}

func (m *model) publish(q *modelQueue) {
	m.lastID++
	msg := modelMessage{
		id: m.lastID, priority: rapid.IntRange(0, 5).Draw(m.T, "priority"),
		persistent: rapid.Bool().Draw(m.T, "persistent"), brief: rapid.IntRange(0, 4).Draw(m.T, "brief") == 0,
	}
	props := codec.Properties{Present: codec.HasPriority | codec.HasDeliveryMode, Priority: uint8(msg.priority), DeliveryMode: 1}
	if msg.persistent {
		props.DeliveryMode = deliveryPersistent
	}
	if msg.brief {
		props.Present |= codec.HasExpiration
		props.Expiration = "0"
	}
	if q.name == "limited" { // whose expired messages would be dead letters
		msg.brief, props.Expiration, props.Present = false, "", props.Present&^codec.HasExpiration
	}
	m.add(q, msg)
	result, err := m.channel().Publish(&codec.BasicPublish{RoutingKey: q.name}, props, []byte(strconv.Itoa(msg.id)))
	m.ok(err)
	if result.Routed != q.declared {
		m.Fatalf("routed: %v", result.Routed)
	}
}

func (m *model) consume() {
	c, q := m.channel(), m.queue()
	m.declare(q)
	tag := strconv.Itoa(rapid.IntRange(0, 3).Draw(m.T, "consumer"))
	if c.queueOf[tag] != "" {
		m.Skip("taken")
	}
	m.ok(c.Qos(&codec.BasicQos{PrefetchCount: uint16(rapid.IntRange(0, 4).Draw(m.T, "prefetch"))}))
	noAck := rapid.IntRange(0, 3).Draw(m.T, "noAck") == 0
	consume := &codec.BasicConsume{
		Queue: q.name, ConsumerTag: tag, NoAck: noAck,
		Exclusive: !q.quorum() && rapid.IntRange(0, 3).Draw(m.T, "exclusive") == 0,
		Arguments: table(argPriority, int32(rapid.IntRange(0, 2).Draw(m.T, "priority"))),
	}
	live := m.host.queues[q.name]
	allowed := live.exclusive == nil && (!consume.Exclusive || len(live.consumers) == 0)
	err := c.Consume(consume, func(string) { c.queueOf[tag], c.noAck[tag] = q.name, noAck })
	if allowed {
		m.ok(err)
		return
	}
	refused(m, err, codec.AccessRefused)
	c.Channel.Close()
	m.closed(c)
}

func (m *model) cancel() {
	c := m.channel()
	tag := strconv.Itoa(rapid.IntRange(0, 3).Draw(m.T, "consumer"))
	m.ok(c.Channel.Cancel(&codec.BasicCancel{ConsumerTag: tag}))
	delete(c.queueOf, tag)
}

func (m *model) get() {
	c, q := m.channel(), m.queue()
	m.declare(q)
	for range rapid.IntRange(1, 5).Draw(m.T, "messages") {
		m.getOne(c, q)
		m.check()
	}
}

func (m *model) getOne(c *modelChannel, q *modelQueue) {
	noAck := rapid.IntRange(0, 3).Draw(m.T, "noAck") == 0
	got, msg, err := c.Get(&codec.BasicGet{Queue: q.name, NoAck: noAck})
	m.ok(err)
	q.expire(false)
	if got == nil {
		if len(q.ready) > 0 {
			m.Fatalf("queue %s gives nothing of %v", q.name, q)
		}
		return
	}
	m.deliver(c, q, noAck, got.DeliveryTag, got.Redelivered, msg)
	if int(got.MessageCount) != len(q.ready) {
		m.Fatalf("queue %s says that %d are left of %v", q.name, got.MessageCount, q)
	}
}

func (m *model) closeConnection() {
	i := rapid.IntRange(0, 1).Draw(m.T, "connection")
	m.disconnect(i)
}

func (m *model) disconnect(i int) {
	channels := m.conns[i].channels
	m.conns[i].Close()
	m.conns[i] = m.host.Connect(User{})
	for _, c := range channels {
		m.closed(c.out.(*modelChannel)) //nolint:errcheck // all are
	}
}

func (m *model) purge() {
	q := m.queue()
	m.declare(q)
	n, err := m.channel().QueuePurge(&codec.QueuePurge{Queue: q.name})
	m.ok(err)
	if int(n) != len(q.ready) {
		m.Fatalf("purged %d of %v", n, q)
	}
	q.ready = nil
}

func (m *model) deleteQueue() {
	q := m.queue()
	n, err := m.channel().QueueDelete(&codec.QueueDelete{Queue: q.name})
	m.ok(err)
	if int(n) != len(q.ready) {
		m.Fatalf("deleted %d of %v", n, q)
	}
	m.lose(q)
}

func (m *model) cancelAll() {
	q := m.queue()
	n := m.host.CancelConsumers(q.name)
	if n != len(m.events) {
		m.Fatalf("%d cancelled, %d told", n, len(m.events))
	}
}

// restart begins when all connections have nothing, which is as good as none.
func (m *model) restart() {
	for i := range m.conns {
		m.disconnect(i)
		m.check()
	}
	keep := rapid.Bool().Draw(m.T, "keep messages")
	m.host.Restart(keep)
	for _, q := range m.queues {
		var kept []*modelMessage
		for _, msg := range q.ready {
			if keep && (q.quorum() || msg.persistent) {
				kept = append(kept, msg)
			}
		}
		q.ready = kept
	}
}
