package amqptest

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestEventsPrintOnOneLine(t *testing.T) {
	t.Parallel()
	at := time.Date(2030, 1, 2, 15, 4, 5, 6000, time.UTC)
	long := strings.Repeat("ä", 100)
	for _, test := range []struct {
		event Event
		want  string
	}{
		{
			Event{
				Seq: 12, At: at, Conn: 2, ConnName: "orders", Direction: FromClient, Channel: 1, Method: "basic.publish",
				RoutingKey: "a b", Mandatory: true, Message: &Message{CorrelationID: "7", Body: []byte("hello\n")},
				Faults: []string{"x: nack", "y"},
			},
			`#12 15:04:05.000006 conn 2 "orders" > basic.publish ch 1 exchange=amq.default key="a b" mandatory correlation=7 6 B "hello\n" [x: nack; y]`,
		},
		{
			Event{Seq: 1, At: at, Conn: 1, Direction: FromBroker, Method: "connection.close", ReplyCode: 320, ReplyText: "CONNECTION_FORCED - x"},
			`#1 15:04:05.000006 conn 1 < connection.close 320 "CONNECTION_FORCED - x"`,
		},
		{
			Event{
				Seq: 2, At: at, Conn: 1, Direction: FromBroker, Channel: 3, Method: "basic.deliver", Queue: "q", Exchange: "amq.topic",
				RoutingKey: "k", ConsumerTag: "c", DeliveryTag: 4, Redelivered: true,
				props: &codec.Properties{}, body: []byte(long),
			},
			`#2 15:04:05.000006 conn 1 < basic.deliver ch 3 queue=q exchange=amq.topic key=k consumer=c tag=4 redelivered 200 B "` +
				strings.Repeat("ä", 32) + `…"`,
		},
		{
			Event{Seq: 3, At: at, Conn: 1, Direction: FromClient, Channel: 3, Method: "basic.ack", DeliveryTag: 4, Multiple: true},
			`#3 15:04:05.000006 conn 1 > basic.ack ch 3 tag=4 multiple`,
		},
		{
			Event{Seq: 4, At: at, Conn: 1, Direction: FromBroker, Channel: 1, Method: "basic.return", Message: &Message{Body: []byte{0xff, 0}}},
			`#4 15:04:05.000006 conn 1 < basic.return ch 1 exchange=amq.default 2 B ff00`,
		},
		{
			Event{Seq: 5, At: at, Conn: 1, Direction: FromClient, Channel: 1, Method: "basic.publish", Message: &Message{}},
			`#5 15:04:05.000006 conn 1 > basic.publish ch 1 exchange=amq.default 0 B`,
		},
	} {
		if got := test.event.String(); got != test.want {
			t.Errorf("printed as\n%s; want\n%s", got, test.want)
		}
	}
}

func TestStoryTellsSeedRulesAndLastEvents(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{Seed: 77, Faults: []Rule{{Name: "own", Do: Nack()}}})
	s := newSource(1)
	for range 60 {
		b.watch(publish(s, "a", "x"))
	}
	b.watch(s.heartbeat(FromClient))
	failureReport := b.failureReport("TestX/case 1")
	lines := strings.Split(strings.TrimSpace(failureReport), "\n")
	if len(lines) != 1+1+4+1+50 {
		t.Fatalf("%d lines:\n%s", len(lines), failureReport)
	}
	for i, want := range map[int]string{
		0:  "3 faults were drawn from seed 77; to draw them again: AMQPTEST_SEED=77 go test -count=1 -run '^TestX$/^case 1$'",
		2:  "  name=own: nack (met 1 of 60 matches)",
		6:  "the last 50 events, but for heartbeats:",
		7:  "  #11 ",
		56: "  #60 ",
	} {
		if !strings.HasPrefix(lines[i], want) {
			t.Errorf("line %d is %q; want %q", i, lines[i], want)
		}
	}
}

func TestHeadersBecomeGoValues(t *testing.T) {
	t.Parallel()
	m := newMessage(&codec.Properties{Present: codec.HasHeaders | codec.HasPriority, Priority: 3, Headers: codec.Table{
		{Key: "n", Value: int32(1)}, {Key: "n", Value: int32(2)},
		{Key: "d", Value: codec.Decimal{Scale: 2, Value: 314}},
		{Key: "t", Value: codec.Table{{Key: "list", Value: []any{codec.Table{{Key: "x", Value: nil}}}}}},
	}}, []byte("x"))
	want := map[string]any{
		"n": int32(2), "d": 3.14, "t": map[string]any{"list": []any{map[string]any{"x": nil}}},
	}
	if !reflect.DeepEqual(m.Headers, want) || m.Priority != 3 {
		t.Errorf("message is %+v", m)
	}
}
