package bench

import (
	"context"
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
)

// What Warren promises on the wire, written by hand as someone would who knows
// the broker and the library: requests and replies are mandatory and confirmed,
// a request is acked once its reply is confirmed, and publishing and consuming
// have connections of their own, so that a blocked publisher does not stop the
// replies. Each message is written, and each request acked, for itself.
var (
	rawGuarantees = variant{
		name:    "raw-guarantees",
		serve:   guaranteesServer(amqp.QueueTypeClassic, nil),
		connect: connectGuarantees,
	}

	rawGuaranteesQuorum = variant{
		name:    "raw-guarantees-quorum",
		quorum:  true,
		serve:   guaranteesServer(amqp.QueueTypeQuorum, nil),
		connect: connectGuarantees,
	}
)

// guaranteesServer serves a queue of that type. remember, if there is one, is done
// before a request is answered.
func guaranteesServer(queueType string, remember func(amqp.Delivery) error) func(context.Context, spec, func()) error {
	return func(ctx context.Context, s spec, ready func()) error {
		conn, ch, err := dialChannel(s.URL)
		if err != nil {
			return err
		}
		defer conn.Close()
		out, outCh, err := dialChannel(s.URL)
		if err != nil {
			return err
		}
		defer out.Close()

		replies, err := newConfirmedPublisher(outCh, prefetch)
		if err != nil {
			return err
		}
		if err := declareQueue(ch, s.Queue, queueType); err != nil {
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
		return eachRequest(ctx, conn, requests, handlers, func(d amqp.Delivery) error {
			if remember != nil {
				if err := remember(d); err != nil {
					return err
				}
			}
			return replies.publish(ctx, d.ReplyTo, amqp.Publishing{
				CorrelationId: d.CorrelationId,
				Body:          d.Body,
			}, func(err error) {
				// A request whose caller is gone is done too. One whose reply may be lost
				// stays unacked, so that the broker hands it out again.
				if err == nil || errors.Is(err, errNoRoute) {
					_ = d.Ack(false)
				}
			})
		})
	}
}

type guaranteesCaller struct {
	in, out  *amqp.Connection
	requests *confirmedPublisher
	queue    string
	replyTo  string
	*waiters
}

func connectGuarantees(_ context.Context, s spec) (_ caller, err error) {
	in, inCh, err := dialChannel(s.URL)
	if err != nil {
		return nil, err
	}
	out, outCh, err := dialChannel(s.URL)
	if err != nil {
		_ = in.Close()
		return nil, err
	}
	c := &guaranteesCaller{in: in, out: out, queue: s.Queue, waiters: newWaiters()}
	defer func() {
		if err != nil {
			_ = c.close()
		}
	}()

	if c.requests, err = newConfirmedPublisher(outCh, s.Inflight); err != nil {
		return nil, err
	}
	replyTo, err := inCh.QueueDeclare("", false, false, true, false, nil)
	if err != nil {
		return nil, err
	}
	c.replyTo = replyTo.Name
	replies, err := inCh.Consume(c.replyTo, "", true, true, false, false, nil)
	if err != nil {
		return nil, err
	}
	go c.settleAll(replies)
	return c, nil
}

// call returns with the reply, which may come before the confirm and makes it
// meaningless; a return or a nack ends the call at once.
func (c *guaranteesCaller) call(ctx context.Context, body []byte) ([]byte, error) {
	id, answers, err := c.begin()
	if err != nil {
		return nil, err
	}
	err = c.requests.publish(ctx, c.queue, amqp.Publishing{
		CorrelationId: id,
		ReplyTo:       c.replyTo,
		Body:          body,
	}, func(err error) {
		if err != nil {
			c.settle(id, answer{err: err})
		}
	})
	if err != nil {
		c.settle(id, answer{err: err})
	}
	return c.await(ctx, id, answers)
}

func (c *guaranteesCaller) close() error {
	err := c.out.Close()
	if inErr := c.in.Close(); err == nil {
		err = inErr
	}
	return err
}
