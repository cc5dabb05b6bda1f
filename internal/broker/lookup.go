package broker

import (
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
)

// lookup asks the broker about queues, on a channel of its own: asking for a queue that
// is not there closes the channel. It serves one goroutine.
type lookup struct {
	s  *Session
	ch *amqp.Channel // nil if it has to be opened
}

// queue returns how many messages are ready in the queue, and how many consumers it has.
func (l *lookup) queue(name string) (amqp.Queue, error) {
	if l.ch == nil || l.ch.IsClosed() {
		ch, err := l.s.channel()
		if err != nil {
			return amqp.Queue{}, err
		}
		l.ch = ch
	}
	var q amqp.Queue
	err := l.s.do("look up queue", func() (err error) {
		q, err = l.ch.QueueDeclarePassive(name, false, false, false, false, nil)
		return err
	})
	if err != nil {
		if errors.Is(err, errNoAnswer) {
			l.ch = nil // it cannot be used any more
		}
		return amqp.Queue{}, err
	}
	return q, nil
}

func (l *lookup) close() {
	if l.ch != nil {
		l.s.closeChannel(l.ch)
	}
}
