package broker

import (
	"context"
	"errors"
	"sync/atomic"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// stream is one channel on which the queue is consumed.
type stream struct {
	c        *Consumer
	s        *Session
	ch       *amqp.Channel
	wire     *frames.Channel
	acker    *acker // set before the queue is consumed
	flow     flow
	queue    string
	tag      string
	canceled chan struct{} // one token: the broker has cancelled the consumer
	ended    chan struct{} // closed after the last delivery
	err      error         // why, set before that

	// Guarded by the consumer's workers:
	stopped bool     // nothing that comes is handled
	left    []uint64 // the tags of what came and was not handled
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
	st := &stream{
		c: c, s: s, flow: flow, queue: queue, tag: s.consumerTag(),
		canceled: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	ch, wire, err := s.handled(st)
	if err != nil {
		return nil, err
	}
	st.ch, st.wire = ch, wire
	acks := &ackChannel{s: s, ch: ch, wire: wire, batch: wire.NewBatch(), prefetch: flow.prefetch}
	st.acker = newAcker(s, acks, c.cfg.AckDelay, c.cfg.AckBatch)
	var decided atomic.Bool // by who comes first: the broker's answer, or the end of the wait for it
	err = s.do("consume "+queue, func() error {
		if err := ch.Qos(flow.prefetch, 0, false); err != nil {
			return err
		}
		var args amqp.Table
		if c.cfg.RisingPriority {
			args = amqp.Table{"x-priority": int32(s.Number)}
		}
		_, err := ch.Consume(queue, st.tag, false, false, false, false, args) // the library is handed no delivery
		if err == nil && decided.Swap(true) {
			return ch.Close() // nobody waits for the consumer any more; it would keep what it is sent
		}
		return err
	})
	if c.cfg.Consumed != nil {
		c.cfg.Consumed(err)
	}
	if err != nil {
		c.workers.leave(st)
		if decided.Swap(true) {
			s.closeChannel(ch)
		} else {
			s.abandon(ch, err)
		}
		return nil, withAdvice(s, queue, err)
	}
	return st, nil
}

// Delivered implements frames.Handler.
func (st *stream) Delivered(d *frames.Delivery) {
	st.acker.come()
	st.c.workers.deliver(delivered{d, st})
}

// Canceled implements frames.Handler.
func (st *stream) Canceled(string) { notify(st.canceled) }

// Ended implements frames.Handler.
func (st *stream) Ended(err error) {
	st.err = err
	close(st.ended)
}

// Returned and Confirmed implement frames.Handler. Nothing is published on the channel.
func (st *stream) Returned(*frames.Return)      {}
func (st *stream) Confirmed(uint64, bool, bool) {}

// run has messages handled until the stream ends, and says why it did. done is called
// later, when what was handed out has ended too.
func (st *stream) run(ctx context.Context, done func()) error {
	err := st.serve(ctx)
	st.c.workers.leave(st)
	if errors.Is(err, errDraining) {
		// Without a wait for the answer: messages on their way go back when the
		// channel closes.
		_ = st.ch.Cancel(st.tag, true)
	}
	go func() {
		defer done()
		if errors.Is(err, errFlowChanged) {
			st.requeueLeft()
		}
		st.retire(ctx)
	}()
	return err
}

// serve waits until the stream ends.
func (st *stream) serve(ctx context.Context) error {
	select {
	case <-st.ended:
		return st.s.channelEnd(st.err)
	case <-st.canceled:
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
	}
}

// requeueLeft cancels the consumer and puts back what no worker has begun. The
// channel lives on for those that have, and would keep the rest as long.
func (st *stream) requeueLeft() {
	if err := st.s.do("cancel", func() error { return st.ch.Cancel(st.tag, false) }); err != nil {
		return // what was not begun goes back when the channel closes
	}
	// The cancel's answer follows the last delivery.
	w := st.c.workers
	w.mu.Lock()
	left := st.left
	w.mu.Unlock()
	st.acker.requeue(left...)
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
	st.s.closeHandled(st.ch, st.wire)
}
