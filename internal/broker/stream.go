package broker

import (
	"context"
	"errors"

	"github.com/google/uuid"
	amqp "github.com/rabbitmq/amqp091-go"
)

// stream is one channel on which the queue is consumed.
type stream struct {
	c          *Consumer
	s          *Session
	ch         *amqp.Channel
	acker      *acker
	workers    *workers
	flow       flow
	queue, tag string
	cancels    chan string
	closes     chan *amqp.Error
	requeues   bool // what is not handled goes back at once; set before the workers are stopped
}

func newStream(c *Consumer, s *Session, flow flow) (*stream, error) {
	if c.cfg.Hold != nil {
		if err := c.cfg.Hold(s); err != nil {
			return nil, err
		}
	}
	queue, err := c.cfg.Declare(s)
	if err != nil {
		return nil, err
	}
	ch, err := s.channel()
	if err != nil {
		return nil, err
	}
	st := &stream{
		c: c, s: s, ch: ch, flow: flow, acker: newAcker(s, ch, flow.prefetch, c.cfg.AckDelay, c.cfg.AckBatch),
		queue: queue, tag: newTag(queue),
		cancels: ch.NotifyCancel(make(chan string, 1)),
		closes:  ch.NotifyClose(make(chan *amqp.Error, 1)),
	}
	var deliveries <-chan amqp.Delivery
	err = s.do("consume "+queue, func() error {
		if err := ch.Qos(flow.prefetch, 0, false); err != nil {
			return err
		}
		var args amqp.Table
		if c.cfg.RisingPriority {
			args = amqp.Table{"x-priority": int32(s.Number)}
		}
		var err error
		deliveries, err = ch.Consume(queue, st.tag, false, false, false, false, args)
		return err
	})
	if c.cfg.Consumed != nil {
		c.cfg.Consumed(err)
	}
	if err != nil {
		s.abandon(ch, err)
		return nil, withAdvice(s, queue, err)
	}
	st.workers = newWorkers(deliveries, c.slots, st.handle)
	return st, nil
}

// newTag returns a consumer's tag, which names the queue to whoever reads the log or
// the broker's list of consumers.
func newTag(queue string) string {
	return "warren-" + uuid.NewString() + "-" + queue[:min(len(queue), 200)]
}

// run has the workers handle messages until the stream ends, and says why it did. done
// is called later, when what was handed out has ended too.
func (st *stream) run(ctx context.Context, done func()) error {
	err := st.serve(ctx)
	st.requeues = errors.Is(err, errFlowChanged)
	st.workers.stop()
	if errors.Is(err, errDraining) {
		// Without a wait for the answer: messages on their way go back when the
		// channel closes.
		_ = st.ch.Cancel(st.tag, true)
	}
	go func() {
		defer done()
		if st.requeues {
			st.requeueRest()
		}
		st.retire(ctx)
	}()
	return err
}

// serve keeps the workers going until the stream ends.
func (st *stream) serve(ctx context.Context) error {
	w := st.workers
	for {
		select {
		case e := <-st.closes:
			return channelEnded(e)
		case _, ok := <-st.cancels:
			if !ok { // the end of the channel ends both
				return channelEnded(<-st.closes)
			}
			return errCanceledByBroker
		case <-st.s.Done():
			return st.s.Err()
		case <-st.flow.changed:
			if st.c.current().drained {
				return errDraining
			}
			return errFlowChanged
		case <-ctx.Done():
			return ctx.Err()
		case w.slot() <- struct{}{}:
			w.receive()
		case d, ok := <-w.next():
			w.received(d, ok)
		case <-w.asked: // slot is to be looked at again
		case <-w.shrink.C:
			w.shrunk()
		}
	}
}

// handle is called by the workers.
func (st *stream) handle(d amqp.Delivery) {
	select {
	case <-st.workers.stopped:
		if st.requeues {
			st.acker.requeue(d.DeliveryTag)
		}
		return // not handled: else it goes back when the channel closes
	default:
	}
	st.acker.take()
	st.c.cfg.Handle(Delivery{d, st.acker})
}

// requeueRest cancels the consumer and puts back what no worker has begun. The
// channel lives on for those that have, and would keep the rest as long.
func (st *stream) requeueRest() {
	if err := st.s.do("cancel", func() error { return st.ch.Cancel(st.tag, false) }); err != nil {
		return // what was not begun goes back when the channel closes
	}
	// The cancel's answer follows the last delivery, and ends the channel of them.
	for d := range st.workers.deliveries {
		st.acker.requeue(d.DeliveryTag)
	}
}

// retire closes the channel once everything that was handed out on it has been
// acknowledged, or cannot be any more.
func (st *stream) retire(ctx context.Context) {
	for st.acker.outstanding() > 0 {
		select {
		case <-st.acker.idle:
		case <-st.s.Done():
			// A handler that is still at work must not hold up the next session.
			st.acker.stop()
			return
		case <-ctx.Done():
			// The link stops: what is unfinished goes back to the queue now.
			st.close()
			return
		}
	}
	st.close()
}

func (st *stream) close() {
	st.acker.stop()
	st.s.closeChannel(st.ch)
}
