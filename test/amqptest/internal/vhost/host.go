// Package vhost is a virtual host of an AMQP 0-9-1 broker as RabbitMQ has it:
// exchanges, bindings, queues, consumers and the messages between them. It does
// no I/O: what a client asks for comes in as calls of a Channel's methods, and
// deliveries go out through the channel's Outlet.
//
// One lock guards a host, and each call runs to its end under it, deliveries,
// expiries and dead letters included. So what one client has done is seen by all
// others at once, where RabbitMQ's queues are processes of their own that hear
// of it a moment later.
//
// Errors are *codec.Error. Their texts are RabbitMQ's without the name of the
// code in front.
package vhost

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// Host is a virtual host. Its methods, and those of its Conns and Channels, are
// safe for concurrent use.
type Host struct {
	name string

	mu        sync.Mutex
	exchanges map[string]*exchange
	queues    map[string]*queue
	conns     map[*Conn]struct{}
	replies   map[string]*Channel // by the name that stands for amq.rabbitmq.reply-to
	moved     []*queue            // those that may have something to do; see settle
	round     uint64              // numbers the messages routed; see routing
	bytes     int64
	closed    bool // connections are closed from the start

	maxQueues     int // 0 is no bound
	denyTransient bool
}

// New makes a host with the exchanges that every host has.
func New(name string) *Host {
	h := &Host{name: name, conns: map[*Conn]struct{}{}, replies: map[string]*Channel{}}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.reset()
	return h
}

// Limit bounds the queues that may be declared: how many there are, 0 for any number,
// and whether those that are neither durable nor exclusive are denied.
func (h *Host) Limit(queues int, denyTransient bool) {
	h.enter()
	defer h.leave()
	h.maxQueues, h.denyTransient = queues, denyTransient
}

// Name is the host's name.
func (h *Host) Name() string { return h.name }

// Close ends the host with its connections, and stops its timers. It holds no
// messages afterwards, whatever is called.
func (h *Host) Close() {
	h.enter()
	defer h.leave()
	for c := range h.conns {
		c.close()
	}
	h.closed = true
	h.reset()
}

// enter takes the lock; leave lets the queues deliver what can be delivered now
// and gives it back.
func (h *Host) enter() { h.mu.Lock() }

func (h *Host) leave() {
	h.settle()
	h.mu.Unlock()
}

// settle runs the queues until none has anything to do. It ends, because a dead
// letter that would come to the same queue again by itself is dropped.
func (h *Host) settle() {
	for i := 0; i < len(h.moved); i++ {
		q := h.moved[i]
		h.moved[i] = nil
		q.listed = false
		if !q.deleted {
			q.run()
		}
	}
	h.moved = h.moved[:0]
}

// reset forgets everything, and makes the exchanges that are always there.
func (h *Host) reset() {
	for _, q := range h.queues {
		q.discard()
	}
	h.queues = map[string]*queue{}
	h.exchanges = map[string]*exchange{}
	for name, kind := range map[string]string{
		"": kindDirect, "amq.direct": kindDirect, "amq.fanout": kindFanout, "amq.topic": kindTopic,
		"amq.headers": kindHeaders, "amq.match": kindHeaders,
	} {
		h.exchanges[name] = newExchange(exchange{name: name, kind: kind, durable: true})
	}
	h.exchanges["amq.rabbitmq.trace"] = newExchange(exchange{name: "amq.rabbitmq.trace", kind: kindTopic, durable: true, internal: true})
}

// Reset removes all queues, messages, bindings and exchanges. All connections
// must have been closed.
func (h *Host) Reset() {
	h.enter()
	defer h.leave()
	h.reset()
}

// Restart keeps what a broker keeps that is stopped and started: durable queues
// and exchanges and the bindings between them; of the messages, persistent ones
// in classic queues and all in quorum queues, unless keepMessages is false. All
// connections must have been closed.
func (h *Host) Restart(keepMessages bool) {
	h.enter()
	defer h.leave()
	for _, q := range h.queues {
		if !q.durable {
			h.removeQueue(q)
			continue
		}
		q.restart(keepMessages)
	}
	for _, x := range h.exchanges {
		if !x.durable {
			h.removeExchange(x)
		}
	}
}

// User is who a connection acts for. A nil expression allows everything.
type User struct {
	Name                   string
	Configure, Write, Read *regexp.Regexp
}

// Conn is what one client connection has in a host.
type Conn struct {
	host     *Host
	user     User
	channels []*Channel // in the order in which they were opened
}

// Connect opens a host for a connection.
func (h *Host) Connect(user User) *Conn {
	h.enter()
	defer h.leave()
	c := &Conn{host: h, user: user}
	if !h.closed {
		h.conns[c] = struct{}{}
	}
	return c
}

// Close closes the connection's channels and deletes its exclusive queues. It
// may be called twice.
func (c *Conn) Close() {
	c.host.enter()
	defer c.host.leave()
	c.close()
}

func (c *Conn) close() {
	h := c.host
	if _, open := h.conns[c]; !open {
		return
	}
	delete(h.conns, c)
	for _, ch := range c.channels {
		ch.close()
	}
	for _, q := range h.queues {
		if q.owner == c {
			h.removeQueue(q)
		}
	}
}

type access int

const (
	configure access = iota
	write
	read
)

// allow checks a permission. kind is "queue" or "exchange".
func (c *Conn) allow(a access, kind, name string) error {
	expression := [...]*regexp.Regexp{configure: c.user.Configure, write: c.user.Write, read: c.user.Read}[a]
	if kind == "exchange" && name == "" {
		name = "amq.default"
	}
	if expression == nil || expression.MatchString(name) {
		return nil
	}
	return fail(codec.AccessRefused, "access to %s '%s' in vhost '%s' refused for user '%s'", kind, name, c.host.name, c.user.Name)
}

func fail(code uint16, format string, args ...any) error {
	return &codec.Error{Code: code, Text: fmt.Sprintf(format, args...)}
}

// QueueInfo is what is known of a queue at one moment.
type QueueInfo struct {
	Name, Type                     string
	Durable, Exclusive, AutoDelete bool
	Ready, Unacked, Consumers      int
	Arguments                      codec.Table
}

// Queues lists the queues by name.
func (h *Host) Queues() []QueueInfo {
	h.enter()
	defer h.leave()
	list := make([]QueueInfo, 0, len(h.queues))
	for _, q := range h.queues {
		list = append(list, QueueInfo{
			Name: q.name, Type: q.kind(), Durable: q.durable, Exclusive: q.owner != nil, AutoDelete: q.autoDelete,
			Ready: q.ready.len(), Unacked: q.unacked, Consumers: len(q.consumers), Arguments: q.arguments,
		})
	}
	slices.SortFunc(list, func(a, b QueueInfo) int { return strings.Compare(a.Name, b.Name) })
	return list
}

// Bytes is the size of the messages that the host holds, in bytes of their
// bodies and headers. One that lies in two queues counts twice.
func (h *Host) Bytes() int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.bytes
}

// DeleteQueue removes a queue as an operator does: used or not, with what it
// holds. Its consumers are cancelled.
func (h *Host) DeleteQueue(name string) error {
	h.enter()
	defer h.leave()
	q, err := h.queue(name)
	if err == nil {
		h.removeQueue(q)
	}
	return err
}

// PurgeQueue removes a queue's ready messages and counts them.
func (h *Host) PurgeQueue(name string) (int, error) {
	h.enter()
	defer h.leave()
	q, err := h.queue(name)
	if err != nil {
		return 0, err
	}
	return q.purge(), nil
}

// CancelConsumers cancels the consumers of a queue, as the broker does when the
// queue goes, and counts them. The queue stays, unless it is to be deleted with
// its last consumer.
func (h *Host) CancelConsumers(name string) int {
	h.enter()
	defer h.leave()
	q := h.queues[name]
	if q == nil {
		return 0
	}
	list := slices.Clone(q.consumers)
	for _, c := range list {
		c.ch.out.Cancel(c.tag)
		c.remove()
	}
	return len(list)
}
