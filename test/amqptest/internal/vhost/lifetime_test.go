package vhost

import (
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestExclusiveQueueLivesAsLongAsItsConnection(t *testing.T) {
	t.Parallel()
	c := alone(t)
	other := c.another()
	_, err := c.QueueDeclare(&codec.QueueDeclare{Queue: "q", Exclusive: true})
	c.ok(err)
	c.bind("q", "amq.fanout", "")
	refused(t, other.Consume(&codec.BasicConsume{Queue: "q"}, func(string) {}), codec.ResourceLocked)
	_, _, err = other.Channel.Get(&codec.BasicGet{Queue: "q"})
	refused(t, err, codec.ResourceLocked)
	c.consume("q", "c")
	other.fill("q", "m")
	same(t, "deliveries", len(c.got), 1)
	c.Channel.Close()
	same(t, "queues after the channel", len(c.host.Queues()), 1)
	c.conn.Close()
	same(t, "queues after the connection", len(c.host.Queues()), 0)
	same(t, "routed", other.send("amq.fanout", "", "m", codec.Properties{}).Routed, false)
	same(t, "bytes", c.host.Bytes(), 0)
}

func TestAutoDeleteQueueLivesAsLongAsItsConsumers(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(c *client){
		"cancel":     func(c *client) { c.ok(c.Channel.Cancel(&codec.BasicCancel{ConsumerTag: "b"})) },
		"channel":    func(c *client) { c.Channel.Close() },
		"connection": func(c *client) { c.conn.Close() },
		"operator":   func(c *client) { c.host.CancelConsumers("q") },
	} {
		c := alone(t)
		other := c.another()
		_, err := c.QueueDeclare(&codec.QueueDeclare{Queue: "q", AutoDelete: true})
		c.ok(err)
		c.get("q")
		same(t, name+": queues without a consumer yet", len(c.host.Queues()), 1)
		other.consume("q", "a")
		c.consume("q", "b")
		c.fill("q", "1", "2", "3")
		other.Channel.Close()
		same(t, name+": deliveries", len(c.got), 3)
		end(c)
		same(t, name+": queues", len(c.host.Queues()), 0)
		c.Channel.Close()
		same(t, name+": bytes", c.host.Bytes(), 0)
	}
}

func TestAutoDeleteExchangesGoTogether(t *testing.T) {
	t.Parallel()
	c := alone(t)
	for _, name := range []string{"a", "b", "c"} {
		c.ok(c.ExchangeDeclare(&codec.ExchangeDeclare{Exchange: name, Type: kindTopic, AutoDelete: true}))
	}
	for _, pair := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}} {
		c.ok(c.ExchangeBind(&codec.ExchangeBind{Source: pair[0], Destination: pair[1], RoutingKey: "#"}))
	}
	c.queue("q")
	c.bind("q", "c", "#")
	same(t, "routed", c.send("a", "k", "m", codec.Properties{}).Routed, true)
	c.ok(c.ExchangeDelete(&codec.ExchangeDelete{Exchange: "b"}))
	same(t, "a is left", c.host.exchanges["a"] != nil, false)
	same(t, "c is left", c.host.exchanges["c"] != nil, true)
	_, err := c.QueueDelete(&codec.QueueDelete{Queue: "q"})
	c.ok(err)
	same(t, "c is left without its queue", c.host.exchanges["c"] != nil, false)
}

// TestDeletedQueueDoesNotDeadLetter has what RabbitMQ does with a message that is
// rejected after its queue was deleted.
func TestDeletedQueueDoesNotDeadLetter(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.queue("dead")
	c.queue("q", argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead")
	c.consume("q", "c")
	c.fill("q", "m")
	_, err := c.QueueDelete(&codec.QueueDelete{Queue: "q"})
	c.ok(err)
	same(t, "cancelled", len(c.canceled), 1)
	c.nack(1, false, false)
	same(t, "dead letters", c.bodies("dead"), "")
	same(t, "bytes", c.host.Bytes(), 0)
}

// TestSingleActiveConsumerIsTheFirst has what RabbitMQ does with classic queues:
// who came first stays active; after it comes the one of the highest priority.
func TestSingleActiveConsumerIsTheFirst(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.queue("q", argSingleActive, true)
	c.consume("q", "a")
	c.consume("q", "b", argPriority, int32(10))
	c.consume("q", "c", argPriority, int32(20))
	c.fill("q", "1", "2")
	c.ok(c.Channel.Cancel(&codec.BasicCancel{ConsumerTag: "a"}))
	c.fill("q", "3")
	for i, want := range []string{"a", "a", "c"} {
		same(t, "consumer", c.got[i].ConsumerTag, want)
	}
	c.queue("quorum", argSingleActive, true, argQueueType, typeQuorum)
	_, _, err := c.Channel.Get(&codec.BasicGet{Queue: "quorum"})
	refused(t, err, codec.ResourceLocked)
}

func TestNamesOfServerNamedQueuesAreReserved(t *testing.T) {
	t.Parallel()
	c := alone(t)
	got, err := c.QueueDeclare(&codec.QueueDeclare{Queue: "\r\n"})
	c.ok(err)
	_, err = c.QueueDeclare(&codec.QueueDeclare{Queue: got.Queue})
	refused(t, err, codec.AccessRefused)
	_, err = c.QueueDeclare(&codec.QueueDeclare{Queue: got.Queue, Passive: true})
	c.ok(err)
}

func TestClosedConnectionBeginsNothing(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.queue("q")
	c.fill("q", "m")
	c.conn.Close()
	for _, late := range []*client{c, newClient(t, c.conn)} {
		_, err := late.QueueDeclare(&codec.QueueDeclare{Queue: "x", Exclusive: true})
		refused(t, err, codec.ChannelError)
		refused(t, late.Consume(&codec.BasicConsume{Queue: "q"}, func(string) {}), codec.ChannelError)
		_, _, err = late.Channel.Get(&codec.BasicGet{Queue: "q"})
		refused(t, err, codec.ChannelError)
	}
	same(t, "left", c.another().bodies("q"), "m")
}
