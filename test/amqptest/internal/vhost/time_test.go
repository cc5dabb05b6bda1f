package vhost

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// inBubble gives a test time that passes when nothing runs. No timer may be left
// behind: it would go off, and the bubble would wait for it.
func inBubble(t *testing.T, run func(c *client)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		run(alone(t))
	})
}

func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (c *client) info(queue string) QueueInfo {
	c.t.Helper()
	for _, info := range c.host.Queues() {
		if info.Name == queue {
			return info
		}
	}
	return QueueInfo{}
}

func TestMessageExpiresWhenItsTimeIsUpAndNotBefore(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("q")
		c.send("", "q", "m", expiring(1000))
		pass(999 * time.Millisecond)
		same(c.t, "ready just before", c.info("q").Ready, 1)
		pass(time.Millisecond)
		same(c.t, "ready", c.info("q").Ready, 0)
		same(c.t, "bytes", c.host.Bytes(), 0)
	})
}

func TestMessageExpiresAtTheHeadOnly(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("q", argMessageTTL, int32(5000))
		c.fill("q", "long")
		c.send("", "q", "short", expiring(100))
		c.fill("q", "last")
		pass(time.Second)
		same(c.t, "ready", c.info("q").Ready, 3)
		same(c.t, "first", string(c.get("q").Body), "long")
		synctest.Wait()
		same(c.t, "ready with the short one at the head", c.info("q").Ready, 1)
		pass(4 * time.Second)
		same(c.t, "ready at the end", c.info("q").Ready, 0)
	})
}

func TestMessageThatIsOutExpiresWhenItComesBack(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("q")
		c.consume("q", "c")
		c.send("", "q", "m", expiring(100))
		pass(time.Hour)
		same(c.t, "unacked", c.info("q").Unacked, 1)
		c.nack(1, false, true)
		same(c.t, "deliveries", len(c.got), 1)
		same(c.t, "bytes", c.host.Bytes(), 0)
	})
}

func TestExpirationZeroReachesOnlyAConsumerThatWaits(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("q")
		c.limit(1)
		c.consume("q", "c")
		c.send("", "q", "waited for", expiring(0))
		c.send("", "q", "too many", expiring(0))
		c.blocked.Store(true)
		c.ack(1)
		c.send("", "q", "not writable", expiring(0))
		c.blocked.Store(false)
		c.Resume()
		c.Flow(false)
		c.send("", "q", "paused", expiring(0))
		c.Flow(true)
		c.fill("q", "last")
		same(c.t, "deliveries", c.gotBodies(), "waited for last")
	})
}

func TestExpiredMessagesAreDeadLetteredInOrder(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("dead")
		c.queue("q", argMessageTTL, int32(100), argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead")
		c.fill("q", "1", "2")
		pass(50 * time.Millisecond)
		c.send("", "q", "3", expiring(10)) // behind 2
		pass(50 * time.Millisecond)
		msg := c.get("dead")
		same(c.t, "body", string(msg.Body), "1")
		same(c.t, "has an expiration", msg.Properties.Present.Has(codec.HasExpiration), false)
		list := deaths(msg.Properties.Headers)
		same(c.t, "deaths", len(list), 1)
		same(c.t, "reason", field(list[0], "reason"), any(reasonExpired))
		same(c.t, "queue", field(list[0], "queue"), any("q"))
		last := ""
		for msg := c.get("dead"); msg != nil; msg = c.get("dead") {
			last = string(msg.Body)
			if v := field(deaths(msg.Properties.Headers)[0], "original-expiration"); last == "3" && v != "10" {
				c.t.Errorf("original expiration %v", v)
			}
		}
		same(c.t, "last", last, "3")
	})
}

func TestRejectedMessageMayGoRound(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("wait", argMessageTTL, int32(1000), argDeadLetterExchange, "", argDeadLetterRoutingKey, "work")
		c.queue("work", argDeadLetterExchange, "", argDeadLetterRoutingKey, "wait")
		c.consume("work", "c")
		c.fill("work", "m")
		for i := range 5 {
			same(c.t, "deliveries", len(c.got), i+1)
			c.nack(uint64(i+1), false, false)
			pass(time.Second)
		}
		list := deaths(c.got[5].msg.Properties.Headers)
		same(c.t, "deaths", len(list), 2)
		for _, death := range list {
			same(c.t, "count", field(death, "count"), any(int64(5)))
		}
		c.ack(6)
		same(c.t, "bytes", c.host.Bytes(), 0)
	})
}

func TestDeliveryLimitCountsReturns(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("dead")
		c.queue("q", argQueueType, typeQuorum, argDeliveryLimit, int32(2), argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead")
		c.consume("q", "c")
		c.fill("q", "m")
		for i := range 3 {
			count, _ := c.got[i].msg.Properties.Headers.Get(headerDeliveryCount)
			if i > 0 {
				same(c.t, "count", count, any(int64(i)))
			}
			c.nack(uint64(i+1), false, true)
		}
		same(c.t, "deliveries", len(c.got), 3)
		msg := c.get("dead")
		same(c.t, "reason", field(deaths(msg.Properties.Headers)[0], "reason"), any(reasonDeliveryLimit))
	})
}

func TestQueueExpiresWhenNobodyUsesIt(t *testing.T) {
	inBubble(t, func(c *client) {
		c.queue("dead")
		c.queue("q", argExpires, int32(1000), argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead")
		use := func(what string, run func()) {
			c.t.Helper()
			pass(900 * time.Millisecond)
			run()
			pass(999 * time.Millisecond)
			same(c.t, "there after "+what, c.info("q").Name, "q")
		}
		use("declare", func() {
			c.queue("q", argExpires, int32(1000), argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead")
		})
		c.queue("q", argExpires, int32(1000), argDeadLetterExchange, "", argDeadLetterRoutingKey, "dead")
		use("get", func() { c.get("q") })
		c.get("q")
		use("consume", func() { c.consume("q", "c") })
		pass(time.Hour)
		same(c.t, "there with a consumer", c.info("q").Name, "q")
		use("cancel", func() { c.ok(c.Channel.Cancel(&codec.BasicCancel{ConsumerTag: "c"})) })
		c.fill("q", "publishing is no use")
		pass(time.Millisecond)
		same(c.t, "gone", c.info("q").Name, "")
		same(c.t, "dead letters", c.info("dead").Ready, 0)
		same(c.t, "bytes", c.host.Bytes(), 0)
	})
}

func TestHostThatIsClosedLeavesNoTimers(t *testing.T) {
	inBubble(t, func(c *client) {
		other := c.another()
		c.queue("q", argExpires, int32(1000), argMessageTTL, int32(1000))
		c.queue("held")
		c.consume("held", "c")
		c.fill("q", "m")
		c.fill("held", "m")
		c.host.Close()
		same(c.t, "bytes", c.host.Bytes(), 0)
		for _, late := range []*client{c, other, c.another()} {
			_, err := late.QueueDeclare(&codec.QueueDeclare{Queue: "q", Arguments: table(argExpires, int32(1000))})
			refused(c.t, err, codec.ChannelError)
			refused(c.t, late.Consume(&codec.BasicConsume{Queue: replyTo, NoAck: true}, func(string) {}), codec.ChannelError)
			late.send("", "q", "m", codec.Properties{})
		}
		same(c.t, "bytes", c.host.Bytes(), 0)
		same(c.t, "queues", len(c.host.Queues()), 0)
		start := time.Now()
		synctest.Wait()
		same(c.t, "time passed", time.Since(start), 0)
	})
}
