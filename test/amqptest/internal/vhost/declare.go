package vhost

import (
	"crypto/rand"
	"slices"
	"strings"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// queueName is what a client means by a queue's name: none is the queue that the
// channel has declared last.
func (ch *Channel) queueName(name string) (string, error) {
	if name != "" {
		return name, nil
	}
	if ch.lastQueue == "" {
		return "", fail(codec.NotFound, noQueueDeclared)
	}
	return ch.lastQueue, nil
}

const noQueueDeclared = "no previously declared queue"

func (h *Host) queue(name string) (*queue, error) {
	if q := h.queues[name]; q != nil {
		return q, nil
	}
	return nil, fail(codec.NotFound, "no queue '%s' in vhost '%s'", name, h.name)
}

// ownQueue finds a queue that the connection may use: one that is not exclusive
// to another.
func (ch *Channel) ownQueue(name string) (*queue, error) {
	q, err := ch.host.queue(name)
	if err == nil && q.owner != nil && q.owner != ch.conn {
		return nil, ch.host.locked(q)
	}
	return q, err
}

func (h *Host) locked(q *queue) error {
	return fail(codec.ResourceLocked, "cannot obtain exclusive access to locked %s. It could be originally declared on another "+
		"connection or the exclusive property value does not match that of the original declaration.", h.label("queue", q.name))
}

// QueueDeclare makes a queue, or checks one that exists.
func (ch *Channel) QueueDeclare(m *codec.QueueDeclare) (*codec.QueueDeclareOk, error) {
	h := ch.host
	h.enter()
	defer h.leave()
	if err := ch.open(); err != nil {
		return nil, err
	}
	if m.Passive {
		return ch.declarePassive(m.Queue)
	}
	wanted := &queue{
		host: h, name: cleanName(m.Queue), durable: m.Durable, autoDelete: m.AutoDelete, arguments: m.Arguments,
	}
	if m.Exclusive {
		wanted.owner = ch.conn
	}
	switch {
	case wanted.name == "":
		wanted.name = "amq.gen-" + randomName()
	case wanted.name == replyTo:
		return ch.declarePassive(replyTo)
	case strings.HasPrefix(wanted.name, "amq."):
		return nil, fail(codec.AccessRefused, "queue name '%s' contains reserved prefix 'amq.*'", wanted.name)
	}
	if err := ch.conn.allow(configure, "queue", wanted.name); err != nil {
		return nil, err
	}
	q := h.queues[wanted.name]
	if q == nil {
		if err := ch.newQueue(wanted, m.Queue); err != nil {
			return nil, err
		}
		q = wanted
	} else if err := h.sameQueue(q, wanted); err != nil {
		return nil, err
	}
	ch.lastQueue = q.name
	q.used()
	return q.declared(), nil
}

func (ch *Channel) declarePassive(given string) (*codec.QueueDeclareOk, error) {
	if strings.HasPrefix(given, replyToPrefix) {
		if ch.host.replies[given] == nil {
			return nil, fail(codec.NotFound, "no queue '%s' in vhost '%s'", given, ch.host.name)
		}
		return &codec.QueueDeclareOk{Queue: given, ConsumerCount: 1}, nil
	}
	if given == replyTo {
		return &codec.QueueDeclareOk{Queue: given, ConsumerCount: 1}, nil
	}
	q, err := ch.ownQueue(given)
	if err != nil {
		return nil, err
	}
	ch.lastQueue = q.name
	q.used()
	return q.declared(), nil
}

func (q *queue) declared() *codec.QueueDeclareOk {
	return &codec.QueueDeclareOk{
		Queue: q.name, MessageCount: uint32(q.ready.len()), ConsumerCount: uint32(len(q.consumers)),
	}
}

func (ch *Channel) newQueue(q *queue, given string) error {
	if err := q.configure(given); err != nil {
		return err
	}
	switch h := ch.host; {
	case h.maxQueues > 0 && len(h.queues) >= h.maxQueues:
		return fail(codec.PreconditionFailed, "cannot declare queue '%s': queue limit in vhost '%s' (%d) is reached",
			q.name, h.name, h.maxQueues)
	case h.denyTransient && !q.durable && q.owner == nil:
		return fail(codec.InternalError, "queue '%s' is neither durable nor exclusive: `transient_nonexcl_queues` is not permitted", q.name)
	}
	if q.hasDeadLetters {
		if err := ch.conn.allow(read, "queue", q.name); err != nil {
			return err
		}
		if err := ch.conn.allow(write, "exchange", q.deadLetterExchange); err != nil {
			return err
		}
	}
	q.consumers = nil
	ch.host.queues[q.name] = q
	return nil
}

// sameQueue checks a declaration against the queue that has the name.
func (h *Host) sameQueue(q, wanted *queue) error {
	if q.owner != wanted.owner {
		return h.locked(q)
	}
	where := h.label("queue", q.name)
	if err := sameProperty(where, "durable", word(wanted.durable), word(q.durable)); err != nil {
		return err
	}
	if err := sameProperty(where, "auto_delete", word(wanted.autoDelete), word(q.autoDelete)); err != nil {
		return err
	}
	for _, a := range queueArguments {
		if a.name == argQueueType && !q.quorum && wanted.names(typeClassic) {
			continue // which is the same as naming none
		}
		if err := sameArgument(where, a.name, wanted.arguments, q.arguments); err != nil {
			return err
		}
	}
	return nil
}

// names says whether the arguments ask for a type of queue, if for any.
func (q *queue) names(kind string) bool {
	v, set := q.arguments.Get(argQueueType)
	return !set || v == kind
}

// randomName is a name that nobody guesses, as long as RabbitMQ's.
func randomName() string { return rand.Text()[:22] }

// QueuePurge removes the ready messages and counts them.
func (ch *Channel) QueuePurge(m *codec.QueuePurge) (uint32, error) {
	ch.host.enter()
	defer ch.host.leave()
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return 0, err
	}
	if err := ch.conn.allow(read, "queue", name); err != nil {
		return 0, err
	}
	q, err := ch.ownQueue(name)
	if err != nil {
		return 0, err
	}
	return uint32(q.purge()), nil
}

// QueueDelete removes a queue and counts its ready messages. It is no error if
// there is none.
func (ch *Channel) QueueDelete(m *codec.QueueDelete) (uint32, error) {
	h := ch.host
	h.enter()
	defer h.leave()
	name, err := ch.queueName(m.Queue)
	if err != nil {
		return 0, err
	}
	if err := ch.conn.allow(configure, "queue", name); err != nil {
		return 0, err
	}
	if h.queues[name] == nil {
		return 0, nil
	}
	q, err := ch.ownQueue(name)
	switch {
	case err != nil:
		return 0, err
	case q.quorum && (m.IfUnused || m.IfEmpty):
		condition := "if-empty"
		if m.IfUnused {
			condition = "if-unused"
		}
		return 0, fail(codec.NotImplemented, "cannot delete %s. queue.delete operations with %s flag set are not supported by "+
			"quorum queues", q.label(), condition)
	case m.IfUnused && len(q.consumers) > 0:
		return 0, fail(codec.PreconditionFailed, "%s in use", h.label("queue", name))
	case m.IfEmpty && q.ready.len() > 0:
		return 0, fail(codec.PreconditionFailed, "%s not empty", h.label("queue", name))
	}
	n := q.ready.len()
	h.removeQueue(q)
	return uint32(n), nil
}

// removeQueue deletes a queue with what it holds, and cancels its consumers.
func (h *Host) removeQueue(q *queue) {
	if h.queues[q.name] != q {
		return
	}
	delete(h.queues, q.name)
	for _, c := range slices.Clone(q.consumers) {
		c.ch.out.Cancel(c.tag)
		c.ch.consumers = remove(c.ch.consumers, c)
	}
	q.discard()
	h.unbindAll(func(b *binding) bool { return b.queue == q })
}
