package amqptest

import (
	"fmt"
	"slices"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/amqptest/internal/vhost"
)

// Queue is what is known of a queue at one moment.
type Queue struct {
	Name       string
	Type       string // classic or quorum
	Durable    bool
	Exclusive  bool
	AutoDelete bool
	Ready      int // messages that wait for a consumer
	Unacked    int // messages that consumers have and not yet acknowledged
	Consumers  int
	Arguments  map[string]any // see Message for the types
}

// Queues lists the queues of a virtual host by name; none if there is no such
// host.
func (b *Broker) Queues(vhost string) []Queue {
	h := b.host(vhost)
	if h == nil {
		return nil
	}
	var list []Queue
	for _, q := range h.Queues() {
		list = append(list, Queue{
			Name: q.Name, Type: q.Type, Durable: q.Durable, Exclusive: q.Exclusive, AutoDelete: q.AutoDelete,
			Ready: q.Ready, Unacked: q.Unacked, Consumers: q.Consumers, Arguments: goTable(q.Arguments),
		})
	}
	return list
}

// Queue finds a queue of a virtual host.
func (b *Broker) Queue(vhost, name string) (Queue, bool) {
	list := b.Queues(vhost)
	i := slices.IndexFunc(list, func(q Queue) bool { return q.Name == name })
	if i < 0 {
		return Queue{}, false
	}
	return list[i], true
}

// DeleteQueue removes a queue with what it holds. Its consumers are cancelled. It
// fails if there is no such queue.
func (b *Broker) DeleteQueue(vhost, name string) error {
	h, err := b.hostOf(vhost)
	if err != nil {
		return err
	}
	return inQueue(h.DeleteQueue(name))
}

// PurgeQueue removes the messages that wait in a queue, and counts them. Those
// that consumers have stay. It fails if there is no such queue.
func (b *Broker) PurgeQueue(vhost, name string) (int, error) {
	h, err := b.hostOf(vhost)
	if err != nil {
		return 0, err
	}
	n, err := h.PurgeQueue(name)
	return n, inQueue(err)
}

// CancelConsumers cancels the consumers of a queue, as the broker does when the
// queue goes, and counts them. The queue stays, unless it is deleted with its
// last consumer. There are none if there is no such queue.
func (b *Broker) CancelConsumers(vhost, queue string) int {
	h, err := b.hostOf(vhost)
	if err != nil {
		return 0
	}
	return h.CancelConsumers(queue)
}

func (b *Broker) hostOf(name string) (*vhost.Host, error) {
	if h := b.host(name); h != nil {
		return h, nil
	}
	return nil, fmt.Errorf("amqptest: no virtual host %q", name)
}

func inQueue(err error) error {
	if err != nil {
		return fmt.Errorf("amqptest: %w", err)
	}
	return nil
}

// Connection is what is known of an open connection at one moment, and a handle
// on it.
type Connection struct {
	// ID is the Conn of its events.
	ID int
	// Name is connection_name of the client's properties.
	Name       string
	User       string // "" before it has logged in
	VHost      string // "" before it was opened
	RemoteAddr string
	Since      time.Time
	Channels   int
	// Published says whether it has published anything, Blocked whether an alarm
	// blocks it for that.
	Published, Blocked bool

	conn *conn
}

// Connections lists the open connections in the order of accepting them.
func (b *Broker) Connections() []Connection {
	var list []Connection
	for _, c := range b.allConns() {
		if !c.frozen.Load() {
			list = append(list, c.describe())
		}
	}
	slices.SortFunc(list, func(x, y Connection) int { return x.ID - y.ID })
	return list
}

func (c *conn) describe() Connection {
	c.mu.Lock()
	defer c.mu.Unlock()
	i := &c.info
	return Connection{
		ID: c.id, Name: i.name, User: i.user, VHost: i.vhost, RemoteAddr: c.nc.RemoteAddr().String(),
		Since: i.since, Channels: i.channels, Published: i.published, Blocked: i.blocked, conn: c,
	}
}

// Sever drops the connection without a word, and returns when it has ended. The
// zero Connection and one that has ended already are left alone.
func (c Connection) Sever() {
	if c.conn != nil {
		c.conn.cut()
		<-c.conn.ended
	}
}

// Close closes the connection as an operator does, with 320 and the reason. It
// waits until the client has answered, for a second at most.
func (c Connection) Close(reason string) {
	if c.conn != nil {
		c.conn.b.closeConnections(reason, func(o *conn) bool { return o == c.conn })
	}
}

// goTable shows a table as Go has it. Of a key that occurs twice the last counts.
func goTable(t codec.Table) map[string]any {
	m := make(map[string]any, len(t))
	for _, e := range t {
		m[e.Key] = goValue(e.Value)
	}
	return m
}

func goValue(v any) any {
	switch v := v.(type) {
	case codec.Table:
		return goTable(v)
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = goValue(v[i])
		}
		return list
	case codec.Long:
		return int64(v)
	default:
		return v
	}
}
