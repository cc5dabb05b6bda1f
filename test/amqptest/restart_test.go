package amqptest

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestRestartKeepsWhatItIsToldTo(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		keep           Keep
		queue          bool
		ready, dropped int
	}{
		{KeepMessages, true, 2, 0}, // one was unacknowledged, one waits
		{LoseMessages, true, 0, 0},
		{LoseAll, false, 0, 0},
	} {
		b := New(t, Options{})
		conn, err := amqp.Dial(b.URL())
		if err != nil {
			t.Fatal(err)
		}
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		for _, durable := range []bool{true, false} {
			name := map[bool]string{true: "durable", false: "transient"}[durable]
			if _, err := ch.QueueDeclare(name, durable, false, false, false, nil); err != nil {
				t.Fatal(err)
			}
		}
		for range 2 {
			if err := ch.Publish("", "durable", false, false, amqp.Publishing{DeliveryMode: amqp.Persistent, Body: []byte("x")}); err != nil {
				t.Fatal(err)
			}
		}
		if _, ok, err := ch.Get("durable", false); !ok || err != nil {
			t.Fatal(ok, err)
		}
		b.Restart(tt.keep)
		if err := <-closed; err == nil {
			t.Error("the connection ended properly")
		}
		if q, found := b.Queue("/", "durable"); found != tt.queue || q.Ready != tt.ready || q.Unacked != 0 {
			t.Errorf("keep %v: %+v, %v", tt.keep, q, found)
		}
		if _, found := b.Queue("/", "transient"); found {
			t.Error("a transient queue has survived")
		}
		serves(t, b)
	}
}

func TestStoppedBrokerKeepsItsPortAndDropsClients(t *testing.T) {
	t.Parallel()
	b := New(t, Options{})
	p := login(t, b)
	b.Stop()
	p.ends()
	if _, err := amqp.Dial(b.URL()); err == nil {
		t.Error("a stopped broker lets clients in")
	}
	if _, err := b.Dial(context.Background(), "", ""); !errors.Is(err, errStopped) {
		t.Errorf("dial: %v", err)
	}
	b.Resume()
	serves(t, b)
}

func TestSeverGivesBackWhatWasUnacknowledged(t *testing.T) {
	t.Parallel()
	b := New(t, Options{})
	p := login(t, b)
	p.send(1, &codec.QueueDeclare{Queue: "q"})
	expect[*codec.QueueDeclareOk](p, 1)
	p.raw(publishFrames(1, &codec.BasicPublish{RoutingKey: "q"}, []byte("x")))
	p.send(1, &codec.BasicGet{Queue: "q"})
	expect[*codec.BasicGetOk](p, 1)
	p.content()
	if q, _ := b.Queue("/", "q"); q.Unacked != 1 {
		t.Fatalf("%+v", q)
	}
	b.Connections()[0].Sever()
	if q, _ := b.Queue("/", "q"); q.Unacked != 0 || q.Ready != 1 {
		t.Errorf("%+v", q)
	}
	p.ends()
}

func TestConnectionsAreClosedWithTheReason(t *testing.T) {
	t.Parallel()
	for name, end := range map[string]func(*Broker){
		"CONNECTION_FORCED - maintenance":                                             func(b *Broker) { b.CloseConnections("maintenance") },
		"CONNECTION_FORCED - this one":                                                func(b *Broker) { b.Connections()[0].Close("this one") },
		"CONNECTION_FORCED - vhost '/' is down":                                       func(b *Broker) { b.RemoveVHost("/") },
		"CONNECTION_FORCED - broker forced connection closure with reason 'shutdown'": func(b *Broker) { _ = b.Close() },
	} {
		b := New(t, Options{})
		conn, err := amqp.Dial(b.URL())
		if err != nil {
			t.Fatal(err)
		}
		closed := conn.NotifyClose(make(chan *amqp.Error, 1))
		end(b)
		if err := <-closed; err == nil || err.Code != amqp.ConnectionForced || err.Reason != name {
			t.Errorf("closed with %v; want %s", err, name)
		}
		if list := b.Connections(); len(list) != 0 {
			t.Errorf("after %s there are %+v", name, list)
		}
	}
}

func TestCloseDoesNotWaitLongForClientsThatDoNotAnswer(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *Broker) {
		for range 3 {
			login(t, b)
		}
		connect(t, b) // and one that says nothing
		began := time.Now()
		_ = b.Close()
		if took := time.Since(began); took > 2*closeGrace {
			t.Errorf("took %v", took)
		}
	})
}

func TestPortIsFreeAfterClose(t *testing.T) {
	t.Parallel()
	b := New(t, Options{})
	login(t, b)
	_ = b.Close()
	if nc, err := net.Dial("tcp", b.Addr()); err == nil {
		_ = nc.Close()
		t.Error("the port is still open")
	}
}
