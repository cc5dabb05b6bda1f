package vhost

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// client is a channel, with what it has been sent. Its methods fail the test on
// an error.
type client struct {
	*Channel
	t        testing.TB
	busy     atomic.Int32
	blocked  atomic.Bool
	got      []received
	canceled []string
}

type received struct {
	*codec.BasicDeliver
	msg *Message
}

func (r received) body() string { return string(r.msg.Body) }

func newClient(t testing.TB, c *Conn) *client {
	t.Helper()
	out := &client{t: t}
	out.Channel = c.Channel(out)
	return out
}

// alone is a client with a host of its own.
func alone(t testing.TB) *client {
	t.Helper()
	h := New("/")
	t.Cleanup(h.Close)
	return newClient(t, h.Connect(User{}))
}

// another opens a channel on a new connection to the same host.
func (c *client) another() *client { return newClient(c.t, c.host.Connect(User{})) }

// entered sees to it that no two calls run at once.
func (c *client) entered() func() {
	if c.busy.Add(1) != 1 {
		c.t.Error("the outlet was called twice at once")
	}
	return func() { c.busy.Add(-1) }
}

func (c *client) Deliver(m *codec.BasicDeliver, msg *Message) {
	defer c.entered()()
	c.got = append(c.got, received{m, msg})
}

func (c *client) Cancel(tag string) {
	defer c.entered()()
	c.canceled = append(c.canceled, tag)
}

func (c *client) Writable() bool {
	defer c.entered()()
	return !c.blocked.Load()
}

func (c *client) ok(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) queue(name string, pairs ...any) {
	c.t.Helper()
	_, err := c.QueueDeclare(&codec.QueueDeclare{Queue: name, Durable: true, Arguments: table(pairs...)})
	c.ok(err)
}

// table makes a table of keys and values in turn.
func table(pairs ...any) codec.Table {
	var t codec.Table
	for pair := range slices.Chunk(pairs, 2) {
		t = append(t, codec.Entry{Key: fmt.Sprint(pair[0]), Value: pair[1]})
	}
	return t
}

func (c *client) exchange(name, kind string, pairs ...any) {
	c.t.Helper()
	c.ok(c.ExchangeDeclare(&codec.ExchangeDeclare{Exchange: name, Type: kind, Arguments: table(pairs...)}))
}

func (c *client) bind(queue, exchange, key string, pairs ...any) {
	c.t.Helper()
	c.ok(c.QueueBind(&codec.QueueBind{Queue: queue, Exchange: exchange, RoutingKey: key, Arguments: table(pairs...)}))
}

func (c *client) consume(queue, tag string, pairs ...any) {
	c.t.Helper()
	c.ok(c.Consume(&codec.BasicConsume{Queue: queue, ConsumerTag: tag, Arguments: table(pairs...)}, func(string) {}))
}

func (c *client) limit(prefetch uint16) {
	c.t.Helper()
	c.ok(c.Qos(&codec.BasicQos{PrefetchCount: prefetch}))
}

func (c *client) send(exchange, key, body string, props codec.Properties) Result {
	c.t.Helper()
	result, err := c.Publish(&codec.BasicPublish{Exchange: exchange, RoutingKey: key}, props, []byte(body))
	c.ok(err)
	return result
}

// fill publishes bodies to a queue by its name.
func (c *client) fill(queue string, bodies ...string) {
	c.t.Helper()
	for _, body := range bodies {
		c.send("", queue, body, codec.Properties{})
	}
}

func (c *client) ack(tag uint64) {
	c.t.Helper()
	c.ok(c.Ack(&codec.BasicAck{DeliveryTag: tag}))
}

func (c *client) nack(tag uint64, multiple, requeue bool) {
	c.t.Helper()
	c.ok(c.Nack(&codec.BasicNack{DeliveryTag: tag, Multiple: multiple, Requeue: requeue}))
}

// get takes the first message of a queue for good; nil is none.
func (c *client) get(queue string) *Message {
	c.t.Helper()
	_, msg, err := c.Channel.Get(&codec.BasicGet{Queue: queue, NoAck: true})
	c.ok(err)
	return msg
}

// bodies empties a queue.
func (c *client) bodies(queue string) string {
	c.t.Helper()
	var all []string
	for msg := c.get(queue); msg != nil; msg = c.get(queue) {
		all = append(all, string(msg.Body))
	}
	return strings.Join(all, " ")
}

// gotBodies are those of the deliveries so far.
func (c *client) gotBodies() string {
	var all []string
	for _, r := range c.got {
		all = append(all, r.body())
	}
	return strings.Join(all, " ")
}

func expiring(milliseconds int) codec.Properties {
	return codec.Properties{Present: codec.HasExpiration, Expiration: strconv.Itoa(milliseconds)}
}

func withHeaders(pairs ...any) codec.Properties {
	return codec.Properties{Present: codec.HasHeaders, Headers: table(pairs...)}
}

func same[T comparable](t testing.TB, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// failer is what tests and properties have in common.
type failer interface {
	Helper()
	Errorf(format string, args ...any)
}

// refused expects an error with a reply code.
func refused(t failer, err error, code uint16) {
	t.Helper()
	e, ok := err.(*codec.Error) //nolint:errorlint // by contract it is just this
	if !ok || e.Code != code {
		t.Errorf("%v, want code %d", err, code)
	}
}
