package bench

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What RabbitMQ's tutorial on remote procedure calls teaches, in Go: a server
// that holds and serves one request at a time and acks it after the reply, and a
// client with an exclusive reply queue. Nothing is mandatory or confirmed. The
// one liberty is that the client takes many calls at a time; the tutorial's makes
// a single one.
var (
	rawTutorial = variant{
		name:    "raw-tutorial",
		serve:   tutorialServer(amqp.QueueTypeClassic),
		connect: connectTutorial,
	}

	// rawTutorialQuorum uses the type of queue that the tutorials declare today.
	rawTutorialQuorum = variant{
		name:    "raw-tutorial-quorum",
		quorum:  true,
		serve:   tutorialServer(amqp.QueueTypeQuorum),
		connect: connectTutorial,
	}
)

func tutorialServer(queueType string) func(context.Context, spec, func()) error {
	return func(ctx context.Context, s spec, ready func()) error {
		conn, ch, err := dialChannel(s.URL)
		if err != nil {
			return err
		}
		defer conn.Close()
		if err := declareQueue(ch, s.Queue, queueType); err != nil {
			return err
		}
		if err := ch.Qos(1, 0, false); err != nil {
			return err
		}
		requests, err := ch.Consume(s.Queue, "", false, false, false, false, nil)
		if err != nil {
			return err
		}
		ready()
		return eachRequest(ctx, conn, requests, 1, replyPlainly(ch))
	}
}

// replyPlainly publishes the reply, hopes, and acks the request.
func replyPlainly(ch *amqp.Channel) func(amqp.Delivery) error {
	return func(d amqp.Delivery) error {
		err := ch.Publish("", d.ReplyTo, false, false, amqp.Publishing{
			CorrelationId: d.CorrelationId,
			Body:          d.Body,
		})
		if err != nil {
			return err
		}
		return d.Ack(false)
	}
}

// plainCaller publishes requests, hopes, and waits for replies. It is safe for
// concurrent use: the library's channel is.
type plainCaller struct {
	conn    *amqp.Connection
	ch      *amqp.Channel
	queue   string
	replyTo string
	*waiters
}

func connectTutorial(_ context.Context, s spec) (caller, error) {
	conn, ch, err := dialChannel(s.URL)
	if err != nil {
		return nil, err
	}
	replyTo, err := ch.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return newPlainCaller(conn, ch, s.Queue, replyTo.Name)
}

func newPlainCaller(conn *amqp.Connection, ch *amqp.Channel, queue, replyTo string) (caller, error) {
	replies, err := ch.Consume(replyTo, "", true, false, false, false, nil)
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	c := &plainCaller{conn: conn, ch: ch, queue: queue, replyTo: replyTo, waiters: newWaiters()}
	go c.settleAll(replies)
	return c, nil
}

func (c *plainCaller) call(ctx context.Context, body []byte) ([]byte, error) {
	id, answers, err := c.begin()
	if err != nil {
		return nil, err
	}
	err = c.ch.PublishWithContext(ctx, "", c.queue, false, false, amqp.Publishing{
		CorrelationId: id,
		ReplyTo:       c.replyTo,
		Body:          body,
	})
	if err != nil {
		c.settle(id, answer{err: err})
	}
	return c.await(ctx, id, answers)
}

func (c *plainCaller) close() error { return c.conn.Close() }
