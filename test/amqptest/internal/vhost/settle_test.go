package vhost

import (
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestDeliveryIsSettledOnce(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.queue("q")
	c.consume("q", "c")
	c.fill("q", "1", "2", "3", "4", "5")
	c.ack(2)
	for _, multiple := range []bool{false, true} {
		refused(t, c.Ack(&codec.BasicAck{DeliveryTag: 2, Multiple: multiple}), codec.PreconditionFailed)
	}
	refused(t, c.Reject(&codec.BasicReject{DeliveryTag: 2, Requeue: true}), codec.PreconditionFailed)
	same(t, "unacked", c.info("q").Unacked, 4)
	c.ok(c.Ack(&codec.BasicAck{DeliveryTag: 4, Multiple: true}))
	same(t, "unacked", c.info("q").Unacked, 1)
	c.ok(c.Ack(&codec.BasicAck{Multiple: true}))
	c.ok(c.Ack(&codec.BasicAck{Multiple: true}))
	same(t, "bytes", c.host.Bytes(), 0)
}

func TestReturnedMessagesGoToTheirPlaceOrToTheHead(t *testing.T) {
	t.Parallel()
	for kind, want := range map[string]string{typeClassic: "1 2 3 4", typeQuorum: "3 1 2 4"} {
		c := alone(t)
		c.queue("q", argQueueType, kind)
		c.limit(3)
		c.consume("q", "c")
		c.fill("q", "1", "2", "3", "4")
		c.Flow(false)
		for _, tag := range []uint64{3, 1, 2} {
			c.nack(tag, false, true)
		}
		same(t, kind, c.bodies("q"), want)
	}
}

func TestGlobalPrefetchBoundsAChannelsConsumersTogether(t *testing.T) {
	t.Parallel()
	c := alone(t)
	c.queue("a")
	c.queue("b")
	c.queue("quorum", argQueueType, typeQuorum)
	c.ok(c.Qos(&codec.BasicQos{PrefetchCount: 3, Global: true}))
	refused(t, c.Consume(&codec.BasicConsume{Queue: "quorum"}, func(string) {}), codec.NotImplemented)
	c.consume("a", "a")
	c.consume("b", "b")
	c.fill("a", "a1", "a2", "a3", "a4")
	c.fill("b", "b1", "b2")
	same(t, "at first", c.gotBodies(), "a1 a2 a3")
	c.ack(2)
	same(t, "after an ack", len(c.got), 4)
	c.ok(c.Qos(&codec.BasicQos{Global: true}))
	same(t, "without a bound", len(c.got), 6)
}
