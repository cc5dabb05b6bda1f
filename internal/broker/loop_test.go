package broker

import (
	"bytes"
	"context"
	"log/slog"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/test/amqptest"
)

// choking breaks the header frames that hold "poison" after the socket has checked them, as if the library could not read them.
type choking struct{ *socket }

func (c choking) Read(p []byte) (int, error) {
	n, err := c.socket.Read(p)
	if p[0] == 2 && bytes.Contains(p[:n], []byte("poison")) {
		p[0] = 99
	}
	return n, err
}

// A message on which the library ends every connection would stop its queue for ever. RabbitMQ hands it out with each
// redelivery in another form: it counts them in the headers.
func TestAMessageThatEndsEveryConnectionIsTakenOutOfTheLoop(t *testing.T) {
	t.Parallel()
	b := amqptest.New(t, amqptest.Options{})
	var log syncBuffer
	served := make(chan Delivery, 10)
	queue := Queue{Name: "orders", Type: Quorum, Durable: true}
	declarer := Declarer{Queue: queue, Logger: silent}
	consumer := NewConsumer(ConsumerConfig{
		Name: "orders", Declare: declarer.Declare, Prefetch: 10, Workers: 1, Logger: silent,
		Handle: func(d Delivery) {
			d.Ack(nil)
			served <- d
		},
	})
	settings := warren.Broker{URLs: []string{b.URL()}}.WithDefaults()
	l := NewLink(settings, "test", slog.New(slog.NewTextHandler(&log, nil)), consumer)
	publishLoop(t, b.URL(), queue.Name)

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for n := 1; n <= 2; n++ {
		l.serve(ctx, chokingSession(t, l, n, b.URL()))
	}
	if ctx.Err() != nil {
		t.Fatal("the library has not choked")
	}
	var third sync.WaitGroup
	third.Go(func() { l.serve(ctx, chokingSession(t, l, 3, b.URL())) })
	// What was acknowledged in the last moment of a session comes again.
	for left := map[string]bool{"before": true, "lost": true, "after": true}; len(left) > 0; {
		select {
		case d := <-served:
			if body := string(d.Body); d.Lost() != (body == "lost") {
				t.Errorf("%s: lost is %v, the headers are %v", body, d.Lost(), d.Headers)
			}
			delete(left, string(d.Body))
		case <-ctx.Done():
			t.Fatalf("not served: %v", left)
		}
	}
	cancel()
	third.Wait()
	if said := log.String(); strings.Count(said, "cannot read") != 2 || !strings.Contains(said, "-orders") ||
		!strings.Contains(said, "delivery_tag=") || strings.Count(said, "kept_from_it=true") != 1 {
		t.Errorf("the log: %s", said)
	}
}

// publishLoop fills a queue: the message in the middle is the one that is choked on.
func publishLoop(t *testing.T, rawURL, queue string) {
	t.Helper()
	conn, err := amqp.Dial(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := ch.QueueDeclare(queue, true, false, false, false, amqp.Table{"x-queue-type": "quorum"}); err != nil {
		t.Fatal(err)
	}
	if err := ch.Confirm(false); err != nil {
		t.Fatal(err)
	}
	for _, m := range []amqp.Publishing{
		{Body: []byte("before")}, {Headers: amqp.Table{"z": "poison", "a": "1"}, Body: []byte("lost")}, {Body: []byte("after")},
	} {
		confirm, err := ch.PublishWithDeferredConfirm("", queue, false, false, m)
		if err != nil || !confirm.Wait() {
			t.Fatal("not published", err)
		}
	}
}

// chokingSession is what a link makes, but for the library's choking.
func chokingSession(t *testing.T, l *Link, number int, rawURL string) *Session {
	at, err := url.Parse(rawURL)
	if err != nil {
		t.Error(err)
	}
	conn, err := net.Dial("tcp", at.Host)
	if err != nil {
		t.Error(err)
	}
	sock := newSocket(conn, time.Minute)
	sock.frames.Refuse(&l.fatal)
	connection, err := amqp.Open(choking{sock}, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "guest", Password: "guest"}}, Vhost: "/"})
	if err != nil {
		t.Error(err)
	}
	return newSession(number, connection, sock, func(bool, string) {})
}

// syncBuffer is a buffer that several goroutines write to.
type syncBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}
