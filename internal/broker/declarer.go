package broker

import (
	"errors"
	"fmt"
	"log/slog"
	"sync"

	amqp "github.com/rabbitmq/amqp091-go"
)

// Declarer declares one queue, as often as sessions ask for it.
type Declarer struct {
	Queue  Queue
	Logger *slog.Logger

	warned sync.Once
	fresh  freshQueue
}

// Declare makes the queue exist. One that exists with other arguments is used
// as it is; the first time that is found, one warning names the difference.
func (d *Declarer) Declare(s *Session) (string, error) {
	q := &d.Queue
	switch q.Type {
	case Existing:
		_, err := inspect(s, q.Name)
		return q.Name, err
	case Quorum:
		return q.Name, d.declareQuorum(s)
	case Classic:
	}
	return q.Name, d.declare(s)
}

// declareQuorum declares the queue and notes whether it was made.
func (d *Declarer) declareQuorum(s *Session) error {
	there, err := Exists(s, d.Queue.Name)
	if err != nil {
		return err
	}
	if there && d.fresh.dead() {
		d.Logger.Warn("the queue was made by this process and cannot be consumed; making it again", "queue", d.Queue.Name)
		if err := Delete(s, d.Queue.Name); err != nil {
			return fmt.Errorf("delete queue %s, which is broken: %w", d.Queue.Name, err)
		}
		there = false
	}
	if !there {
		// Before it is made: the connection may end with it.
		d.fresh.begin()
	}
	return d.declare(s)
}

func (d *Declarer) declare(s *Session) error {
	q := &d.Queue
	err := q.Declare(s)
	var refusal *amqp.Error
	if !errors.As(err, &refusal) || refusal.Code != amqp.PreconditionFailed {
		return err
	}
	if _, err := inspect(s, q.Name); IsNotFound(err) {
		// It does not differ, it may not be made: there are too many.
		return fmt.Errorf("declare queue %s: %w", q.Name, refusal)
	} else if err != nil {
		return err
	}
	d.warned.Do(func() {
		d.Logger.Warn("the queue exists with other arguments; using it as it is",
			"queue", q.Name, "difference", refusal.Reason)
	})
	return nil
}

// Consumed says how an attempt to consume the queue ended.
func (d *Declarer) Consumed(err error) { d.fresh.consumed(err) }

// Ended says that the queue is not consumed any more.
func (d *Declarer) Ended() { d.fresh.ended() }
