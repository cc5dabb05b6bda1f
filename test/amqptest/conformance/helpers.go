package conformance

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// session is a channel on a connection, and what a check says of them. Its
// methods fail the check on an error, in the check's own goroutine.
type session struct {
	*amqp.Channel
	t      testing.TB
	url    string
	conn   *amqp.Connection
	closed chan *amqp.Error
}

// begin opens a session in an empty virtual host.
func begin(t testing.TB, target Target) *session {
	t.Helper()
	return dial(t, target.VHost(t))
}

// dial opens a session on a connection of its own, which is closed with the check.
func dial(t testing.TB, url string) *session {
	t.Helper()
	return dialConfig(t, url, amqp.Config{})
}

func dialConfig(t testing.TB, url string, config amqp.Config) *session {
	t.Helper()
	conn, err := amqp.DialConfig(url, config)
	if err != nil {
		t.Fatalf("dial: %v", err)
	}
	t.Cleanup(func() { _ = conn.CloseDeadline(time.Now().Add(patience.Soon)) })
	return (&session{t: t, url: url, conn: conn}).channel()
}

// channel opens another channel on the same connection.
func (s *session) channel() *session {
	s.t.Helper()
	ch, err := s.conn.Channel()
	if err != nil {
		s.t.Fatalf("open a channel: %v", err)
	}
	return &session{Channel: ch, t: s.t, url: s.url, conn: s.conn, closed: ch.NotifyClose(make(chan *amqp.Error, 1))}
}

// another opens a session on a new connection to the same virtual host.
func (s *session) another() *session {
	s.t.Helper()
	return dial(s.t, s.url)
}

// ok fails the check on an error.
func (s *session) ok(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// refused expects that the broker answered with an error, by closing the channel
// or, if that is what the code asks for, the connection. A text of "" stands for
// any; VHOST in it is the virtual host's name.
func (s *session) refused(err error, code int, text string) {
	s.t.Helper()
	if err == nil {
		s.t.Fatalf("accepted; want %d %s", code, text)
	}
	s.closes(code, text)
}

// closes is refused for what has no answer, such as a publish.
func (s *session) closes(code int, text string) {
	s.t.Helper()
	select {
	case got := <-s.closed:
		s.sameError(got, code, text)
	case <-time.After(patience.Soon):
		s.t.Fatalf("the channel stays open; want %d %s", code, text)
	}
	if hardError(code) {
		s.eventually("the connection is closed", s.conn.IsClosed)
		return
	}
	s.ok(s.channel().Close())
}

func (s *session) sameError(got *amqp.Error, code int, text string) {
	s.t.Helper()
	text = strings.ReplaceAll(text, "VHOST", vhostOf(s.t, s.url))
	if got == nil || got.Code != code || text != "" && got.Reason != text {
		s.t.Fatalf("closed with %+v; want %d %q", got, code, text)
	}
}

// hardError says which reply codes close the connection.
func hardError(code int) bool {
	return !slices.Contains([]int{311, 313, 403, 404, 405, 406}, code)
}

func vhostOf(t testing.TB, raw string) string {
	t.Helper()
	u, err := url.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	if u.Path == "" || u.Path == "/" {
		return "/"
	}
	return u.Path[1:]
}

// eventually waits for a condition.
func (s *session) eventually(what string, is func() bool) {
	s.t.Helper()
	patience.Eventually(s.t, what, is)
}

// queue declares a durable queue and returns its name.
func (s *session) queue(name string, args amqp.Table) string {
	s.t.Helper()
	q, err := s.QueueDeclare(name, true, false, false, false, args)
	if err != nil {
		s.t.Fatalf("declare queue %q: %v", name, err)
	}
	return q.Name
}

// exchange declares a durable exchange.
func (s *session) exchange(name, kind string, args amqp.Table) {
	s.t.Helper()
	if err := s.ExchangeDeclare(name, kind, true, false, false, false, args); err != nil {
		s.t.Fatalf("declare exchange %q: %v", name, err)
	}
}

func (s *session) bind(queue, key, exchange string, args amqp.Table) {
	s.t.Helper()
	if err := s.QueueBind(queue, key, exchange, false, args); err != nil {
		s.t.Fatalf("bind %q to %q: %v", queue, exchange, err)
	}
}

// publish sends a message with a body and waits until the broker has confirmed
// it: it is in its queues then.
func (s *session) publish(exchange, key, body string) {
	s.t.Helper()
	s.send(exchange, key, amqp.Publishing{Body: []byte(body)})
}

func (s *session) send(exchange, key string, message amqp.Publishing) {
	s.t.Helper()
	if !s.confirmed(exchange, key, message) {
		s.t.Fatalf("%q to %q by %q: nacked", message.Body, exchange, key)
	}
}

// confirmed publishes and reports whether the broker acked or nacked.
func (s *session) confirmed(exchange, key string, message amqp.Publishing) bool {
	s.t.Helper()
	s.ok(s.Confirm(false))
	confirm, err := s.PublishWithDeferredConfirm(exchange, key, false, false, message)
	s.ok(err)
	select {
	case <-confirm.Done():
		return confirm.Acked()
	case err := <-s.closed:
		s.t.Fatalf("%q to %q by %q: %v", message.Body, exchange, key, err)
	case <-time.After(patience.Soon):
		s.t.Fatalf("%q to %q by %q: no confirm", message.Body, exchange, key)
	}
	return false
}

// get takes the message at the head of a queue, waiting for one, acknowledged at once.
func (s *session) get(queue string) amqp.Delivery {
	s.t.Helper()
	var message amqp.Delivery
	s.eventually("a message in "+queue, func() (ok bool) {
		var err error
		message, ok, err = s.Get(queue, true)
		s.ok(err)
		return ok
	})
	return message
}

// bodies takes all messages that are in a queue now.
func (s *session) bodies(queue string) []string {
	s.t.Helper()
	bodies := []string{}
	for {
		message, ok, err := s.Get(queue, true)
		s.ok(err)
		if !ok {
			return bodies
		}
		bodies = append(bodies, string(message.Body))
	}
}

// holds expects exactly these messages in a queue, and takes them.
func (s *session) holds(queue string, want ...string) {
	s.t.Helper()
	if got := s.bodies(queue); !slices.Equal(got, want) {
		s.t.Fatalf("queue %q holds %q, want %q", queue, got, want)
	}
}

// consume starts a consumer with a tag of the library's choice.
func (s *session) consume(queue string, autoAck bool) <-chan amqp.Delivery {
	s.t.Helper()
	deliveries, err := s.Consume(queue, "", autoAck, false, false, false, nil)
	s.ok(err)
	return deliveries
}

// receive waits for a delivery.
func (s *session) receive(deliveries <-chan amqp.Delivery) amqp.Delivery {
	s.t.Helper()
	return receive(s.t, deliveries)
}

func receive[T any](t testing.TB, from <-chan T) T {
	t.Helper()
	select {
	case got, open := <-from:
		if !open {
			t.Fatalf("the channel of %T is closed", got)
		}
		return got
	case <-time.After(patience.Soon):
		var none T
		t.Fatalf("nothing came: %T", none)
		return none
	}
}

// same fails the check unless both are equal.
func same[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprintf("%#v", got), fmt.Sprintf("%#v", want); g != w {
		t.Fatalf("%s: %s, want %s", what, g, w)
	}
}
