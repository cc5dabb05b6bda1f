package interop

import (
	"context"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

const directReplyTo = "amq.rabbitmq.reply-to"

// dialPlain opens a channel of amqp091-go on a connection of its own, which is
// closed when the test has ended.
func dialPlain(t *testing.T, url string) *amqp.Channel {
	t.Helper()
	_, ch := rabbit.Channel(t, url)
	return ch
}

// goCaller is a recipe client in plain amqp091-go.
type goCaller struct {
	conn    *amqp.Connection
	ch      *amqp.Channel
	replyTo string
	replies <-chan amqp.Delivery
}

func newGoCaller(t *testing.T, url string, direct bool) *goCaller {
	t.Helper()
	c := &goCaller{replyTo: directReplyTo}
	c.conn, c.ch = rabbit.Channel(t, url)
	if !direct {
		queue, err := c.ch.QueueDeclare("", false, false, true, false, nil)
		if err != nil {
			t.Fatal(err)
		}
		c.replyTo = queue.Name
	}
	replies, err := c.ch.Consume(c.replyTo, "", true, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	c.replies = replies
	return c
}

// send publishes a request to a queue as the recipe has it, with whatever p
// holds besides.
func (c *goCaller) send(t *testing.T, queue string, p amqp.Publishing) {
	t.Helper()
	p.ContentType, p.ReplyTo = "text/plain", c.replyTo
	if err := c.ch.PublishWithContext(t.Context(), "", queue, false, false, p); err != nil {
		t.Fatal(err)
	}
}

// receive returns the next message on the reply queue, whatever it is.
func (c *goCaller) receive(t *testing.T) amqp.Delivery {
	t.Helper()
	select {
	case reply, open := <-c.replies:
		if !open {
			t.Fatal("the plain client's channel was closed")
		}
		return reply
	case <-time.After(patience.Soon):
		t.Fatalf("no reply within %v", patience.Soon)
	}
	return amqp.Delivery{}
}

func callByGo(t *testing.T, url string, req plainRequest) func() plainReply {
	t.Helper()
	id := req.id()
	c := newGoCaller(t, url, req.direct)
	c.send(t, req.queue, amqp.Publishing{CorrelationId: id, Body: req.body})
	return func() plainReply {
		t.Helper()
		reply := c.receive(t)
		if reply.CorrelationId != id {
			t.Errorf("amqp091-go got a reply to %q for its call %q", reply.CorrelationId, id)
		}
		return plainReply{
			Type: reply.Type, ContentType: reply.ContentType, CorrelationID: reply.CorrelationId,
			Headers: reply.Headers, Body: reply.Body,
		}
	}
}

// declarePlain declares a request queue as recipes do: quorum, classic (durable)
// or transient.
func declarePlain(t *testing.T, ch *amqp.Channel, queue, queueType string) {
	t.Helper()
	var args amqp.Table
	if queueType == "quorum" {
		args = amqp.Table{amqp.QueueTypeArg: amqp.QueueTypeQuorum}
	}
	if _, err := ch.QueueDeclare(queue, queueType != "transient", false, false, false, args); err != nil {
		t.Fatal(err)
	}
}

// serveByGo is a recipe server in plain amqp091-go. Killing it closes its
// connection; it runs in this process.
func serveByGo(t *testing.T, url string, opts serverOptions) *plainServer {
	t.Helper()
	opts = opts.withDefaults()
	conn, err := amqp.Dial(url)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	s := &goServer{reporter: reporter{new(output)}, opts: opts}
	kill := func() {
		_ = conn.Close()
		<-ended
	}
	if opts.confirm {
		if s.confirmed, err = openConfirmed(conn); err == nil {
			s.ch = s.confirmed.Channel
		}
	} else {
		s.ch, err = conn.Channel()
	}
	if err != nil {
		_ = conn.Close()
		t.Fatal(err)
	}
	declarePlain(t, s.ch, opts.queue, opts.queueType)
	if err := s.ch.Qos(1, 0, false); err != nil {
		t.Fatal(err)
	}
	deliveries, err := s.ch.Consume(opts.queue, "", false, false, false, false, nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(ended)
		for d := range deliveries {
			if err := s.serve(d); err != nil {
				s.report(event{Event: "failed: " + err.Error()})
				_ = conn.Close()
			}
		}
	}()
	t.Cleanup(func() {
		kill()
		if t.Failed() {
			t.Logf("amqp091-go's server reported:\n%s", s.events.bytes())
		}
	})
	s.report(event{Event: "ready"})
	return &plainServer{name: "amqp091-go", events: s.events, ended: ended, kill: kill}
}

// addresses are those of the user look-up service, by the users' numbers.
var addresses = map[int64]string{
	1: "ada@example.org", 2: "blaise@example.org", 3: "charles@example.org",
	4: "donald@example.org", 5: "edsger@example.org",
}

type goServer struct {
	reporter
	opts      serverOptions
	ch        *amqp.Channel
	confirmed *goConfirmed // on ch; nil unless opts.confirm
}

func (s *goServer) serve(d amqp.Delivery) error {
	s.report(event{
		Event: "request", CorrelationID: d.CorrelationId, ReplyTo: d.ReplyTo, Type: d.Type,
		ContentType: d.ContentType, Expiration: d.Expiration, DeliveryMode: d.DeliveryMode,
		Headers: d.Headers, Redelivered: d.Redelivered, Size: len(d.Body),
	})
	answer, err := s.result(d.Body)
	if err != nil || s.opts.hold == "before-reply" {
		return err
	}
	for range s.opts.replies {
		reply := amqp.Publishing{CorrelationId: d.CorrelationId, Body: answer}
		if err := s.publish(d.ReplyTo, reply); err != nil {
			return err
		}
	}
	s.report(event{Event: "replied", CorrelationID: d.CorrelationId})
	if s.opts.hold == "before-ack" {
		return nil
	}
	if err := d.Ack(false); err != nil {
		return err
	}
	s.report(event{Event: "acked", CorrelationID: d.CorrelationId})
	return nil
}

func (s *goServer) publish(replyTo string, reply amqp.Publishing) error {
	if s.confirmed == nil {
		return s.ch.PublishWithContext(context.Background(), "", replyTo, false, false, reply)
	}
	told, err := s.confirmed.outcome(replyTo, reply, true)
	if told != "confirmed" {
		s.report(event{Event: "returned", CorrelationID: reply.CorrelationId})
	}
	return err
}

func (s *goServer) result(body []byte) ([]byte, error) {
	if s.opts.mode == "echo" {
		return body, nil
	}
	n, err := strconv.ParseInt(string(body), 10, 64)
	if err != nil {
		return nil, err
	}
	if s.opts.mode == "email" {
		return []byte(addresses[n]), nil
	}
	return fmt.Append(nil, fib(n)), nil
}

// reporter reports as the scripts do.
type reporter struct{ events *output }

func (r reporter) report(e event) {
	line, err := json.Marshal(e)
	if err != nil {
		panic(err) // AMQP has no header that JSON cannot show, but for NaN
	}
	_, _ = r.events.Write(append(line, '\n'))
}

// fib returns the nth Fibonacci number.
func fib(n int64) *big.Int {
	a, b := big.NewInt(0), big.NewInt(1)
	for range n {
		a, b = b, a.Add(a, b)
	}
	return a
}
