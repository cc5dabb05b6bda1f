package broker

import (
	"context"
	"errors"
	"fmt"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Prober asks how many consumers queues have, on a channel of its own, since
// asking for a queue that is not there closes the channel.
type Prober struct {
	asks chan probe
}

type probe struct {
	queue  string
	answer chan<- probed // buffered
}

type probed struct {
	queue amqp.Queue
	err   error
}

// NewProber returns a prober to be put on a link.
func NewProber() *Prober { return &Prober{asks: make(chan probe)} }

// Consumers returns how many consumers the queue has. It fails with the
// broker's 404 (see [IsNotFound]) if there is no such queue, with its 405 if
// the queue is exclusive to somebody else, and with ctx's error if no answer
// came in time.
func (p *Prober) Consumers(ctx context.Context, queue string) (int, error) {
	answer := make(chan probed, 1)
	select {
	case p.asks <- probe{queue, answer}:
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	select {
	case a := <-answer:
		return a.queue.Consumers, a.err
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

func lookUp(s *Session, ch *amqp.Channel, name string) (amqp.Queue, error) {
	var q amqp.Queue
	err := s.do("look up queue", func() (err error) {
		q, err = ch.QueueDeclarePassive(name, false, false, false, false, nil)
		return err
	})
	if err != nil {
		return amqp.Queue{}, err
	}
	return q, nil
}

// Serve implements Component.
func (p *Prober) Serve(ctx context.Context, s *Session) {
	var ch *amqp.Channel
	defer func() {
		if ch != nil {
			s.closeChannel(ch)
		}
	}()
	for {
		select {
		case ask := <-p.asks:
			var a probed
			if ch == nil || ch.IsClosed() {
				ch, a.err = s.channel()
			}
			if a.err == nil {
				a.queue, a.err = lookUp(s, ch, ask.queue)
				if errors.Is(a.err, errNoAnswer) {
					ch = nil
				}
			}
			if a.err != nil {
				a.err = fmt.Errorf("queue %s: %w", ask.queue, cure(s, ask.queue, a.err))
			}
			ask.answer <- a
		case <-s.Done():
			return
		case <-ctx.Done():
			return
		}
	}
}
