package broker

import (
	"context"
	"errors"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Gauge looks regularly at how long a queue is and how many consumers it has,
// on a channel of its own.
type Gauge struct {
	Queue string
	Every time.Duration
	// Due, called each time, says whether to look.
	Due func() bool
	// Seen is told what there is: the messages that are with no consumer, and the
	// consumers. It is not called if the broker does not say.
	Seen func(ready, consumers int)
}

// Serve implements Component.
func (g *Gauge) Serve(ctx context.Context, s *Session) {
	var ch *amqp.Channel
	defer func() {
		if ch != nil {
			s.closeChannel(ch)
		}
	}()
	ticker := time.NewTicker(g.Every)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-s.Done():
			return
		case <-ctx.Done():
			return
		}
		if !g.Due() {
			continue
		}
		var err error
		if ch == nil || ch.IsClosed() {
			if ch, err = s.channel(); err != nil {
				ch = nil
				continue
			}
		}
		q, err := lookUp(s, ch, g.Queue)
		switch {
		case err == nil:
			g.Seen(q.Messages, q.Consumers)
		case errors.Is(err, errNoAnswer):
			ch = nil // it cannot be used any more
		}
	}
}
