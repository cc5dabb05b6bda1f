package amqptest

import (
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// session is a client's connection with a channel in confirm mode, in a bubble.
type session struct {
	t       *testing.T
	b       *Broker
	conn    *amqp.Connection
	ch      *amqp.Channel
	sent    []*amqp.DeferredConfirmation // by tag, less 1
	told    map[int]bool                 // what confirmed has returned
	returns chan amqp.Return
	blocked chan amqp.Blocking
	lost    chan *amqp.Error // of the connection
	closed  chan *amqp.Error // of the channel
}

const sessionHeartbeat = 30 * time.Second

// inBubble runs a test with a broker that has some rules. Time passes when all that is left to do is to wait.
func inBubble(t *testing.T, rules []Rule, test func(t *testing.T, b *Broker)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		test(t, New(t, Options{Listen: noListener, Faults: rules}))
	})
}

// withSession is inBubble with a session and the durable queue q.
func withSession(t *testing.T, rules []Rule, test func(s *session)) {
	t.Helper()
	inBubble(t, rules, func(t *testing.T, b *Broker) {
		s := dialSession(t, b)
		s.declare("q")
		test(s)
	})
}

func dialSession(t *testing.T, b *Broker) *session {
	t.Helper()
	conn, err := amqp.DialConfig(b.URL(), amqp.Config{Dial: dialer(b), Heartbeat: sessionHeartbeat})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(time.Second)) })
	s := &session{
		t: t, b: b, conn: conn, told: map[int]bool{},
		lost: conn.NotifyClose(make(chan *amqp.Error, 1)), blocked: conn.NotifyBlocked(make(chan amqp.Blocking, 10)),
	}
	if s.ch, err = conn.Channel(); err != nil {
		t.Fatal(err)
	}
	s.returns = s.ch.NotifyReturn(make(chan amqp.Return, 100))
	s.closed = s.ch.NotifyClose(make(chan *amqp.Error, 1))
	if err := s.ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *session) declare(queue string) {
	s.t.Helper()
	if _, err := s.ch.QueueDeclare(queue, true, false, false, false, nil); err != nil {
		s.t.Fatal(err)
	}
}

// publish sends persistent messages to q, and waits until all that follows from them at once has happened.
func (s *session) publish(bodies ...string) {
	s.t.Helper()
	s.send(bodies...)
	synctest.Wait()
}

// send does not wait.
func (s *session) send(bodies ...string) {
	s.t.Helper()
	for _, body := range bodies {
		confirm, err := s.ch.PublishWithDeferredConfirm("", "q", true, false,
			amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte(body)})
		if err != nil {
			s.t.Fatal(err)
		}
		s.sent = append(s.sent, confirm)
	}
}

func (s *session) consume() <-chan amqp.Delivery {
	s.t.Helper()
	deliveries, err := s.ch.Consume("q", "consumer", false, false, false, false, nil)
	if err != nil {
		s.t.Fatal(err)
	}
	// The client throws away what is not taken from it when the connection ends.
	taken := make(chan amqp.Delivery, 100)
	go func() {
		defer close(taken)
		for d := range deliveries {
			taken <- d
		}
	}()
	return taken
}

// confirmed returns the publishes that have been confirmed since it was last called: the tag, or if it is a nack its
// negative. The client says that it is a nack, too, when the channel has ended.
func (s *session) confirmed() []int {
	synctest.Wait()
	var tags []int
	for i, confirm := range s.sent {
		tag := i + 1
		select {
		case <-confirm.Done():
			if s.told[tag] {
				continue
			}
			s.told[tag] = true
			if !confirm.Acked() {
				tag = -tag
			}
			tags = append(tags, tag)
		default:
		}
	}
	return tags
}

// delivered takes the deliveries that have come.
func delivered(deliveries <-chan amqp.Delivery) []string {
	var bodies []string
	for {
		synctest.Wait()
		select {
		case d, ok := <-deliveries:
			if !ok {
				return bodies
			}
			bodies = append(bodies, string(d.Body))
		default:
			return bodies
		}
	}
}

// queued takes what is ready in a queue, in order, over a connection of its own.
func queued(t *testing.T, b *Broker, queue string) []string {
	t.Helper()
	s := dialSession(t, b)
	defer func() { _ = s.conn.Close() }()
	var bodies []string
	for {
		d, ok, err := s.ch.Get(queue, true)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(d.Body))
	}
}

// isLost checks that the connection has ended, with a code if it is not 0.
func (s *session) isLost(code int) {
	s.t.Helper()
	synctest.Wait()
	select {
	case err := <-s.lost:
		if err == nil || code != 0 && err.Code != code {
			s.t.Errorf("the connection ended with %v; want code %d", err, code)
		}
	default:
		s.t.Error("the connection has not ended")
	}
}

func (s *session) isOpen() {
	s.t.Helper()
	synctest.Wait()
	if s.conn.IsClosed() || s.ch.IsClosed() {
		s.t.Error("the connection or the channel has ended")
	}
}

// awaitClosed waits for the end of the channel.
func (s *session) awaitClosed() {
	s.t.Helper()
	select {
	case err := <-s.closed:
		_ = err // nil if it was closed in order
	case <-time.After(time.Hour):
		s.t.Error("the channel has not ended")
	}
}

// closedWith waits for the end of a channel or connection, and checks why.
func closedWith(t *testing.T, closed <-chan *amqp.Error, code int, text string) {
	t.Helper()
	select {
	case err := <-closed:
		if err == nil || err.Code != code || err.Reason != text || !err.Server {
			t.Errorf("closed with %v; want %d %s", err, code, text)
		}
	case <-time.After(time.Hour):
		t.Error("not closed")
	}
}
