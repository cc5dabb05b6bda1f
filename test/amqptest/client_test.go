package amqptest

import (
	"context"
	"fmt"
	"net"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// dialer is how amqp091-go reaches a broker over a pipe.
func dialer(b *Broker) func(string, string) (net.Conn, error) {
	return func(network, address string) (net.Conn, error) { return b.Dial(context.Background(), network, address) }
}

func TestClientPublishesAndConsumes(t *testing.T) {
	t.Parallel()
	t.Run("over TCP", func(t *testing.T) {
		t.Parallel()
		b := New(t, Options{})
		roundTrips(t, b, amqp.Config{})
	})
	t.Run("over a pipe", func(t *testing.T) {
		t.Parallel()
		b := New(t, Options{Listen: "none"})
		roundTrips(t, b, amqp.Config{Dial: dialer(b)})
	})
	t.Run("in a bubble", func(t *testing.T) {
		t.Parallel()
		synctest.Test(t, func(t *testing.T) {
			b := New(t, Options{Listen: "none"})
			roundTrips(t, b, amqp.Config{Dial: dialer(b), Heartbeat: 10 * time.Second})
		})
	})
}

// roundTrips uses what most programs use.
func roundTrips(t *testing.T, b *Broker, config amqp.Config) {
	t.Helper()
	ok := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	config.Properties = amqp.Table{"connection_name": "round trips"}
	conn, err := amqp.DialConfig(b.URL(), config)
	ok(err)
	ch, err := conn.Channel()
	ok(err)
	ok(ch.Confirm(false))
	returns := ch.NotifyReturn(make(chan amqp.Return, 1))
	_, err = ch.QueueDeclare("q", true, false, false, false, nil)
	ok(err)
	ok(ch.Qos(10, 0, false))
	deliveries, err := ch.Consume("q", "", false, false, false, false, nil)
	ok(err)

	const messages = 100
	var confirms []*amqp.DeferredConfirmation
	bodies := make([][]byte, messages)
	for i := range messages {
		bodies[i] = slices.Repeat([]byte{byte(i)}, i*i*30) // up to 300 kB, over several frames
		confirm, err := ch.PublishWithDeferredConfirm("", "q", true, false, amqp.Publishing{
			Body: bodies[i], Headers: amqp.Table{"n": int64(i)}, MessageId: fmt.Sprint(i),
		})
		ok(err)
		confirms = append(confirms, confirm)
	}
	for i := range messages {
		d := <-deliveries
		if d.MessageId != fmt.Sprint(i) || d.Headers["n"] != int64(i) || !slices.Equal(d.Body, bodies[i]) || d.Redelivered {
			t.Fatalf("message %d: got %s with %d bytes", i, d.MessageId, len(d.Body))
		}
		ok(d.Ack(false))
	}
	for _, confirm := range confirms {
		if !confirm.Wait() {
			t.Fatal("nacked")
		}
	}
	confirm, err := ch.PublishWithDeferredConfirm("", "nowhere", true, false, amqp.Publishing{Body: []byte("x")})
	ok(err)
	if !confirm.Wait() {
		t.Error("nacked")
	}
	if r := <-returns; r.ReplyCode != 312 || string(r.Body) != "x" {
		t.Errorf("returned %+v", r)
	}
	if list := b.Connections(); len(list) != 1 || list[0].Name != "round trips" || list[0].User != "guest" ||
		list[0].VHost != "/" || list[0].Channels != 1 || !list[0].Published {
		t.Errorf("connections: %+v", list)
	}
	ok(ch.Close())
	if q, found := b.Queue("/", "q"); !found || q.Ready != 0 || q.Unacked != 0 || q.Consumers != 0 {
		t.Errorf("queue: %+v, %v", q, found)
	}
	ok(conn.Close())
	patience.Eventually(t, "the connection is gone", func() bool { return len(b.Connections()) == 0 })
}

func TestHeartbeatsKeepAnIdleConnectionAndNoneEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := New(t, Options{Listen: "none"})
		conn, err := amqp.DialConfig(b.URL(), amqp.Config{Dial: dialer(b), Heartbeat: 2 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		silent := connect(t, b)
		silent.open(4096, 2)
		began, beats := time.Now(), 0
		for {
			if _, err := silent.in.ReadFrame(); err != nil {
				break
			}
			beats++
		}
		if took := time.Since(began); took < 4*time.Second || took > 6*time.Second || beats < 4 {
			t.Errorf("a silent client was dropped after %v and %d heartbeats", took, beats)
		}
		time.Sleep(time.Hour)
		if conn.IsClosed() {
			t.Error("an idle client was dropped")
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
	})
}
