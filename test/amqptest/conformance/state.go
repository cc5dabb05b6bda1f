package conformance

import (
	"errors"

	amqp "github.com/rabbitmq/amqp091-go"
)

// counts reports a queue's ready messages and consumers.
func (s *session) counts(queue string) (messages, consumers int) {
	s.t.Helper()
	q, err := s.QueueDeclarePassive(queue, false, false, false, false, nil)
	s.ok(err)
	return q.Messages, q.Consumers
}

// has reports whether a queue exists.
func (s *session) has(queue string) bool {
	s.t.Helper()
	probe := s.channel()
	_, err := probe.QueueDeclarePassive(queue, false, false, false, false, nil)
	if err == nil {
		s.ok(probe.Close())
	}
	return s.exists(err)
}

// hasExchange reports whether an exchange exists.
func (s *session) hasExchange(name string) bool {
	s.t.Helper()
	probe := s.channel()
	err := probe.ExchangeDeclarePassive(name, "direct", false, false, false, false, nil)
	if err == nil {
		s.ok(probe.Close())
	}
	return s.exists(err)
}

func (s *session) exists(err error) bool {
	s.t.Helper()
	if refusal, ok := errors.AsType[*amqp.Error](err); ok {
		switch refusal.Code {
		case amqp.ResourceLocked:
			return true // and another's
		case amqp.NotFound, amqp.ChannelError:
		default:
			s.t.Fatal(err)
		}
	}
	return err == nil
}
