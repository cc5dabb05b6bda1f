package broker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// Session is one connection, from its opening to its end. It is never reopened.
type Session struct {
	// Number counts the sessions of one link from 1.
	Number int

	*connection

	done chan struct{}
	mu   sync.Mutex
	err  error

	consumers  atomic.Uint64 // how many tags have been given
	unanswered atomic.Int32  // methods that got no answer
	explained  atomic.Bool   // it ended over one message, which is not sent again

	another func(context.Context) (*Session, error) // opens one more session with the same broker
	turn    chan struct{}                           // holds a token for whoever uses another
}

func newSession(number int, c *connection, blocked func(bool, string)) *Session {
	s := &Session{Number: number, connection: c, done: make(chan struct{})}
	closes := c.conn.NotifyClose(make(chan *amqp.Error, 1))
	blocks := c.conn.NotifyBlocked(make(chan amqp.Blocking, 8))
	go func() {
		for {
			select {
			case e, ok := <-closes:
				err := ErrSessionEnded
				if ok && e != nil {
					err = fmt.Errorf("%w: %w", ErrSessionEnded, e)
				}
				s.end(err)
				return
			case b, ok := <-blocks:
				if !ok {
					blocks = nil
					continue
				}
				blocked(b.Active, b.Reason)
			case <-s.done:
				return
			}
		}
	}()
	return s
}

// Done is closed when the session has ended.
func (s *Session) Done() <-chan struct{} { return s.done }

// Err says why the session ended, nil while it lives.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// end marks the session as ended and closes its socket, which frees whoever is
// stuck in it.
func (s *Session) end(err error) {
	s.mu.Lock()
	if s.err != nil {
		s.mu.Unlock()
		return
	}
	s.err = err
	close(s.done)
	s.mu.Unlock()
	_ = s.sock.Close()
}

// Kill ends the session at once, without a word to the broker.
func (s *Session) Kill(err error) { s.end(fmt.Errorf("%w: %w", ErrSessionEnded, err)) }

// close says closeTimeout to the broker, within the bound, and ends the session.
func (s *Session) close() {
	timer := time.AfterFunc(closeTimeout, func() { _ = s.sock.Close() })
	defer timer.Stop()
	_ = s.conn.Close() // the session ends whatever the broker says
	s.end(ErrSessionEnded)
}

// rpcTimeout bounds one synchronous method. Brokers have been seen never to
// answer a basic.consume, or anything else about one queue, while the rest of
// the connection works.
const rpcTimeout = 15 * time.Second

// mostUnanswered is how many methods of one session may go without an answer.
// Each leaves a channel and a goroutine behind until the session ends, while
// ending it interrupts everything else that lives on it.
const mostUnanswered = 8

// do runs one or several synchronous methods of the library, which have no
// context of their own. With an error f may still be running: what it writes
// must not be read then.
func (s *Session) do(what string, f func() error) error {
	done := make(chan error, 1)
	go func() { done <- f() }()
	timer := time.NewTimer(rpcTimeout)
	defer timer.Stop()
	var err error
	select {
	case err = <-done:
	case <-s.done:
		err = s.Err()
	case <-timer.C:
		err = errNoAnswer
		if s.unanswered.Add(1) >= mostUnanswered {
			s.Kill(errNoAnswer)
		}
	}
	if err == nil {
		return nil
	}
	if ended := s.Err(); ended != nil {
		err = ended
	}
	return fmt.Errorf("%s: %w", what, err)
}

// channel opens a channel.
func (s *Session) channel() (*amqp.Channel, error) {
	ch, _, err := s.open()
	return ch, err
}

// handled opens a channel that h is told of: what the library is not to read or write of
// it passes by the second.
func (s *Session) handled(h frames.Handler) (*amqp.Channel, *frames.Channel, error) {
	ch, wire, err := s.open()
	if err == nil {
		wire.Handle(h)
	}
	return ch, wire, err
}

func (s *Session) open() (ch *amqp.Channel, wire *frames.Channel, err error) {
	var opened struct {
		ch   *amqp.Channel
		wire *frames.Channel
	}
	err = s.do("open a channel", func() (err error) {
		opened.wire, err = s.frames.Channel(func() (err error) {
			opened.ch, err = s.conn.Channel()
			return err
		})
		return err
	})
	if err != nil {
		if errors.Is(err, errNoAnswer) {
			s.Kill(err) // nothing on this connection works
		}
		return nil, nil, err
	}
	return opened.ch, opened.wire, nil
}

// channelEnd says why a channel has ended that was told err. If the connection has, it
// waits until the session has too.
func (s *Session) channelEnd(err error) error {
	if e, ok := errors.AsType[*amqp.Error](err); ok && e.Recover {
		return channelEnded(e)
	}
	<-s.done
	return s.Err()
}

// consumerTag returns a tag that no other consumer of the session has. It is short, since
// each delivery carries it.
func (s *Session) consumerTag() string { return strconv.FormatUint(s.consumers.Add(1), 36) }

// closeChannel closes ch. On one that is gone already it does nothing.
func (s *Session) closeChannel(ch *amqp.Channel) {
	_ = s.do("close a channel", ch.Close)
}

// closeHandled closes a channel unless it has ended: the library may learn of that later
// than who is told by the frames.
func (s *Session) closeHandled(ch *amqp.Channel, wire *frames.Channel) {
	if !wire.Closed() {
		s.closeChannel(ch)
	}
}

// abandon closes ch after a method on it ended with err, unless it did not end
// at all: the broker would not answer the close either.
func (s *Session) abandon(ch *amqp.Channel, err error) {
	if !errors.Is(err, errNoAnswer) {
		s.closeChannel(ch)
	}
}

// sleep waits for d, and reports false if the session or ctx ended first.
func (s *Session) sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-s.done:
	case <-ctx.Done():
	}
	return false
}
