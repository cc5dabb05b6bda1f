package interop

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// goGuarded is the careful client of peers/*/guarded.* in plain amqp091-go. It
// prints what they print.
type goGuarded struct {
	t    *testing.T
	conn *amqp.Connection
	ch   *goConfirmed
	said bytes.Buffer
}

// guardedByGo runs the client to its end and returns what it printed.
func guardedByGo(t *testing.T, url, queue string) string {
	t.Helper()
	conn, err := amqp.DialConfig(url, amqp.Config{Heartbeat: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	g := &goGuarded{t: t, conn: conn}
	g.say("heartbeats", "every", conn.Config.Heartbeat.Seconds(), "s")
	g.ch = g.channel()
	g.calls(queue)
	g.refusals()
	g.cancelled()
	g.expired()
	g.headers()
	// Three times as long as either side would wait for the other's heartbeats.
	time.Sleep(3 * time.Second)
	g.say("after a rest", g.declare("late", nil).Messages, "messages")
	ended := conn.NotifyClose(make(chan *amqp.Error, 1))
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	g.say("connection", map[bool]any{true: "closed", false: "open"}[<-ended == nil && conn.IsClosed()])
	return g.said.String()
}

func (g *goGuarded) say(chapter string, words ...any) {
	fmt.Fprintln(&g.said, append([]any{chapter + ":"}, words...)...)
}

func (g *goGuarded) calls(queue string) {
	g.t.Helper()
	declared := g.declare(queue, amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum})
	g.say("request queue", declared.Messages, "messages,", declared.Consumers, "consumer")
	large := make([]byte, 900<<10)
	for i := range large {
		large[i] = byte(i * i % 251)
	}
	for _, direct := range []bool{false, true} {
		name, replies := "exclusive queue", ""
		ch := g.channel()
		if direct {
			name, replies = "direct reply-to", directReplyTo
		} else {
			own, err := ch.QueueDeclare("", false, false, true, false, nil)
			g.must(err)
			replies = own.Name
		}
		deliveries, err := ch.Consume(replies, "", true, false, false, false, nil)
		g.must(err)
		call := func(body []byte) []byte {
			g.t.Helper()
			id := uuid.NewString()
			request := amqp.Publishing{CorrelationId: id, ReplyTo: replies, Body: body}
			if told := g.outcome(ch, queue, request, true); told != "confirmed" {
				g.t.Fatalf("the request was %s", told)
			}
			for {
				if reply := g.next(deliveries); reply.CorrelationId == id {
					return reply.Body
				}
			}
		}
		g.say(name, string(call([]byte("first"))), string(call([]byte("second"))))
		g.say(name, fmt.Sprintf("%x", sha256.Sum256(call(large))))
	}
}

func (g *goGuarded) refusals() {
	g.t.Helper()
	message := amqp.Publishing{Body: []byte("x")}
	g.say("no such queue", g.outcome(g.ch, "nowhere", message, true))
	g.say("no such queue, not mandatory", g.outcome(g.ch, "nowhere", message, false))
	g.declare("full", amqp.Table{amqp.QueueMaxLenArg: 1, amqp.QueueOverflowArg: amqp.QueueOverflowRejectPublish})
	for _, nth := range []string{"first", "second"} {
		g.say("full queue", nth, g.outcome(g.ch, "full", message, true))
	}
}

func (g *goGuarded) cancelled() {
	g.t.Helper()
	g.declare("doomed", nil)
	cancelled := g.ch.NotifyCancel(make(chan string, 1))
	deliveries, err := g.ch.Consume("doomed", "watcher", false, false, false, false, nil)
	g.must(err)
	other, err := g.conn.Channel()
	g.must(err)
	_, err = other.QueueDelete("doomed", false, false, false)
	g.must(err)
	select {
	case tag := <-cancelled:
		g.say("queue deleted", tag, "is cancelled")
	case <-time.After(patience.Soon):
		g.t.Fatal("the consumer is not told that its queue has gone")
	}
	if _, open := <-deliveries; open {
		g.t.Error("a cancelled consumer got a message")
	}
}

func (g *goGuarded) expired() {
	g.t.Helper()
	g.declare("late", nil)
	declare := func(ttl int) {
		g.t.Helper()
		g.declare("brief", amqp.Table{
			amqp.QueueMessageTTLArg: ttl, "x-dead-letter-exchange": "", "x-dead-letter-routing-key": "late",
		})
	}
	declare(60000)
	for _, expiration := range []string{"50", ""} {
		if expiration == "" {
			_, err := g.ch.QueueDelete("brief", false, false, false)
			g.must(err)
			declare(50)
		}
		g.outcome(g.ch, "brief", amqp.Publishing{Expiration: expiration, Body: []byte("x")}, true)
		late := g.first("late")
		deaths, ok := late.Headers["x-death"].([]any)
		if !ok || len(deaths) != 1 {
			g.t.Fatalf("x-death is %v, want one entry", late.Headers["x-death"])
		}
		death, ok := deaths[0].(amqp.Table)
		if !ok {
			g.t.Fatalf("x-death holds %v, want a table", deaths[0])
		}
		delete(death, "time")
		g.say("dead letter", g.json(death), late.Headers["x-first-death-reason"],
			map[bool]any{true: "stays", false: "expires"}[late.Expiration == ""])
	}
}

func (g *goGuarded) headers() {
	g.t.Helper()
	values := amqp.Table{
		"yes": true, "small": int32(-5), "large": int64(1) << 40, "half": 0.5, "text": "grüße", "nothing": nil,
		"bytes": []byte{0, 255}, "list": []any{int32(1), "two", []any{int32(3)}},
		"table": amqp.Table{"deep": amqp.Table{"deeper": true}}, "at": time.Unix(1700000000, 0),
	}
	g.outcome(g.ch, "late", amqp.Publishing{
		Headers: values, ContentType: "text/plain", DeliveryMode: amqp.Persistent, Priority: 3, MessageId: "7",
		Type: "kind", AppId: "app", Timestamp: time.Unix(1700000000, 0),
	}, false)
	d := g.first("late")
	g.say("headers", g.json(d.Headers))
	g.say("properties", d.ContentType, d.DeliveryMode, d.Priority, d.MessageId, d.Type, d.AppId, d.Timestamp.Unix(),
		len(d.Body), "bytes")
}

func (g *goGuarded) channel() *goConfirmed {
	g.t.Helper()
	ch, err := openConfirmed(g.conn)
	g.must(err)
	return ch
}

func (g *goGuarded) outcome(ch *goConfirmed, queue string, p amqp.Publishing, mandatory bool) string {
	g.t.Helper()
	told, err := ch.outcome(queue, p, mandatory)
	g.must(err)
	return told
}

// declare declares a durable queue.
func (g *goGuarded) declare(name string, args amqp.Table) amqp.Queue {
	g.t.Helper()
	queue, err := g.ch.QueueDeclare(name, true, false, false, false, args)
	g.must(err)
	return queue
}

// first returns the queue's next message.
func (g *goGuarded) first(queue string) amqp.Delivery {
	g.t.Helper()
	tag := uuid.NewString()
	deliveries, err := g.ch.Consume(queue, tag, false, false, false, false, nil)
	g.must(err)
	d := g.next(deliveries)
	g.must(cmp.Or(d.Ack(false), g.ch.Cancel(tag, false)))
	return d
}

func (g *goGuarded) next(deliveries <-chan amqp.Delivery) amqp.Delivery {
	g.t.Helper()
	select {
	case d, open := <-deliveries:
		if !open {
			g.t.Fatal("the consumer has ended")
		}
		return d
	case <-time.After(patience.Soon):
		g.t.Fatal("no message")
	}
	return amqp.Delivery{}
}

// json shows a table in the same way as the scripts do.
func (g *goGuarded) json(table amqp.Table) string {
	g.t.Helper()
	var line bytes.Buffer
	e := json.NewEncoder(&line)
	e.SetEscapeHTML(false)
	g.must(e.Encode(shown(table)))
	return string(bytes.TrimSpace(line.Bytes()))
}

func shown(value any) any {
	switch v := value.(type) {
	case amqp.Table:
		table := map[string]any{}
		for key, field := range v {
			table[key] = shown(field)
		}
		return table
	case []any:
		list := []any{}
		for _, item := range v {
			list = append(list, shown(item))
		}
		return list
	case []byte:
		return fmt.Sprintf("hex %x", v)
	case time.Time:
		return fmt.Sprintf("second %d", v.Unix())
	}
	return value
}

func (g *goGuarded) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}
