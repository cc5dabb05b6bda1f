package bench

import (
	"context"

	amqp "github.com/rabbitmq/amqp091-go"
)

// directReplyTo is RabbitMQ's pseudo-queue that hands a reply to the channel
// that the request came from.
const directReplyTo = "amq.rabbitmq.reply-to"

// rawFast leaves out everything that keeps a call from being lost, and all
// queues that it can: what is left is about the least that a call by hand costs.
var rawFast = variant{
	name:    "raw-fast",
	serve:   serveFast,
	connect: connectFast,
}

func serveFast(ctx context.Context, s spec, ready func()) error {
	conn, ch, err := dialChannel(s.URL)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := declareQueue(ch, s.Queue, amqp.QueueTypeClassic); err != nil {
		return err
	}
	if err := ch.Qos(prefetch, 0, false); err != nil {
		return err
	}
	requests, err := ch.Consume(s.Queue, "", false, false, false, false, nil)
	if err != nil {
		return err
	}
	ready()
	return eachRequest(ctx, conn, requests, handlers, replyPlainly(ch))
}

func connectFast(_ context.Context, s spec) (caller, error) {
	conn, ch, err := dialChannel(s.URL)
	if err != nil {
		return nil, err
	}
	return newPlainCaller(conn, ch, s.Queue, directReplyTo)
}
