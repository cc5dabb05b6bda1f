package amqptest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// newRecorder returns a broker without connections, whose events tests make.
func newRecorder(t *testing.T, options Options) *Broker {
	t.Helper()
	options.Listen = noListener
	return New(t, options)
}

// publish makes the event of a publish.
func publish(s *source, key, body string) *Event {
	return s.event(FromClient, 1, &codec.BasicPublish{RoutingKey: key}, &codec.Properties{}, []byte(body))
}

func TestRecordKeepsTheOrderOfWhatItSaw(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{})
	s := newSource(1)
	for i := range 500 {
		b.watch(publish(s, fmt.Sprint(i%2), fmt.Sprint(i)))
	}
	list := b.Events(When{RoutingKey: "1"})
	if len(list) != 250 || b.Count(When{RoutingKey: "1"}) != 250 {
		t.Fatalf("%d events, and a count of %d", len(list), b.Count(When{RoutingKey: "1"}))
	}
	for i, ev := range list {
		if ev.Seq != uint64(2*i+2) || string(ev.Message.Body) != fmt.Sprint(2*i+1) {
			t.Fatalf("event %d is %v", i, ev)
		}
	}
	if b.Dropped() != 0 {
		t.Errorf("%d were dropped", b.Dropped())
	}
	b.Forget()
	if n := b.Count(When{}); n != 0 {
		t.Errorf("%d events are left", n)
	}
	b.watch(publish(s, "x", ""))
	if list := b.Events(When{}); len(list) != 1 || list[0].Seq != 501 {
		t.Errorf("after Forget the record is %v", list)
	}
}

func TestRecordIsBounded(t *testing.T) {
	t.Parallel()
	s := newSource(1)
	for _, test := range []struct {
		options Options
		body    int
		kept    int
	}{
		{Options{RecordLimit: 100}, 10, 100},
		{Options{RecordLimit: 1}, 10, 1},
		{Options{RecordLimit: -1}, 10, 0},
		{Options{RecordBytes: 10 << 10}, 1 << 10, 6}, // each is reckoned at 512 bytes besides
		{Options{RecordBytes: 1 << 10}, 1 << 10, 0},
	} {
		b := newRecorder(t, test.options)
		const sent = 300
		for i := range sent {
			b.watch(publish(s, fmt.Sprint(i), strings.Repeat("x", test.body)))
		}
		list := b.Events(When{})
		if len(list) != test.kept || b.Dropped() != uint64(sent-test.kept) {
			t.Errorf("%d events kept and %d dropped; want %d kept", len(list), b.Dropped(), test.kept)
		}
		for i, ev := range list {
			if want := uint64(sent - test.kept + 1 + i); ev.Seq != want {
				t.Errorf("event %d has number %d; want %d", i, ev.Seq, want)
			}
		}
	}
}

func TestRecordReckonsHeadersAtWhatTheyTake(t *testing.T) {
	t.Parallel()
	voids := make([]any, codec.MaxValues-1)
	ev := newSource(1).event(FromClient, 1, &codec.BasicPublish{}, &codec.Properties{
		Present: codec.HasHeaders, Headers: codec.Table{{Key: "x", Value: voids}},
	}, nil)
	if m := ev.memory(); m < codec.MaxValues*16 {
		t.Errorf("a table of %d values is reckoned at %d bytes", codec.MaxValues, m)
	}
}

func TestEventsAreReckonedAtTheirLengthOnTheWire(t *testing.T) {
	t.Parallel()
	props := &codec.Properties{
		Present: codec.HasContentType | codec.HasHeaders | codec.HasDeliveryMode | codec.HasPriority | codec.HasCorrelationID |
			codec.HasTimestamp | codec.HasType,
		ContentType: "text/plain", DeliveryMode: 2, Priority: 1, CorrelationID: "c", Timestamp: time.Unix(1, 0).UTC(), Type: "t",
		Headers: codec.Table{
			{Key: "a", Value: true}, {Key: "b", Value: int8(1)}, {Key: "c", Value: uint8(1)}, {Key: "d", Value: int16(1)},
			{Key: "e", Value: uint16(1)}, {Key: "f", Value: int32(1)}, {Key: "g", Value: uint32(1)}, {Key: "h", Value: int64(1)},
			{Key: "i", Value: float32(1)}, {Key: "j", Value: float64(1)}, {Key: "k", Value: codec.Decimal{}},
			{Key: "l", Value: "text"}, {Key: "m", Value: []byte("bytes")}, {Key: "n", Value: time.Unix(1, 0).UTC()},
			{Key: "o", Value: []any{int32(1), "x", codec.Table{{Key: "p"}}}}, {Key: "q", Value: codec.Table{{Key: "r", Value: nil}}},
		},
	}
	for _, m := range []codec.Method{
		&codec.BasicPublish{Exchange: "amq.topic", RoutingKey: "a.b", Mandatory: true},
		&codec.BasicDeliver{ConsumerTag: "c", DeliveryTag: 3, RoutingKey: "a"},
		&codec.BasicReturn{ReplyCode: 312, ReplyText: "NO_ROUTE"},
		&codec.BasicAck{DeliveryTag: 2}, &codec.BasicNack{}, &codec.BasicReject{},
		&codec.QueueDeclare{Queue: "q", Arguments: codec.Table{{Key: "x", Value: int32(1)}}},
	} {
		var body []byte
		if codec.HasContent(m) {
			body = []byte("hello")
		}
		payload, err := codec.AppendMethod(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		wire := codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Payload: payload})
		if body != nil {
			class, _ := m.ID()
			header, err := codec.AppendHeader(nil, codec.Header{ClassID: class, BodySize: uint64(len(body)), Properties: *props})
			if err != nil {
				t.Fatal(err)
			}
			wire = codec.AppendFrame(wire, codec.Frame{Type: codec.FrameHeader, Payload: header})
			wire = codec.AppendFrame(wire, codec.Frame{Type: codec.FrameBody, Payload: body})
		}
		if ev := newSource(1).event(FromClient, 1, m, props, body); ev.Size != len(wire) {
			t.Errorf("%s has %d bytes; want %d", m.Name(), ev.Size, len(wire))
		}
	}
}

func TestWaitCountsWhatWasAndWhatComes(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		b := newRecorder(t, Options{})
		s := newSource(1)
		b.watch(publish(s, "a", ""))
		b.watch(publish(s, "b", ""))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if err := b.Wait(ctx, When{RoutingKey: "a"}, 1); err != nil {
			t.Fatal(err)
		}
		three, never := make(chan error, 1), make(chan error, 1)
		go func() { three <- b.Wait(ctx, When{RoutingKey: "a"}, 3) }()
		go func() { never <- b.Wait(ctx, When{RoutingKey: "c"}, 1) }()
		synctest.Wait()
		b.watch(publish(s, "a", ""))
		b.watch(publish(s, "b", ""))
		synctest.Wait()
		if len(three) != 0 {
			t.Fatal("it did not wait for the third")
		}
		b.watch(publish(s, "a", ""))
		synctest.Wait()
		if len(three) != 1 || <-three != nil {
			t.Fatal("it did not see the third")
		}
		cancel()
		if err := <-never; !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "0 of 1 events that match key=c") {
			t.Errorf("error is %v", err)
		}
	})
}

func TestWaitEndsWithTheBroker(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{})
	f := b.Inject(Rule{Do: Drop()})
	ended := make(chan error, 2)
	go func() { ended <- b.Wait(t.Context(), When{}, 1) }()
	go func() { ended <- f.Wait(t.Context()) }()
	_ = b.Close()
	for range 2 {
		if err := <-ended; !errors.Is(err, errClosed) {
			t.Errorf("error is %v", err)
		}
	}
}

func TestRecordIsSafeForConcurrentUse(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{RecordLimit: 50})
	f := b.Inject(Rule{When: When{Message: func(m *Message) bool { return len(m.Body) > 0 }}, Every: 2, Do: Drop()})
	var all sync.WaitGroup
	for n := range 4 {
		s := newSource(n + 1)
		all.Go(func() {
			for range 500 {
				b.watch(publish(s, "a", "x"))
			}
		})
		all.Go(func() {
			for range 50 {
				for _, ev := range b.Events(When{}) {
					_ = ev.String()
				}
				_ = b.Count(When{Conn: n})
				g := b.Inject(Rule{When: When{Conn: n + 1}, Do: Delay(time.Hour)})
				g.Remove()
			}
		})
	}
	all.Wait()
	if f.Matches() != 2000 || f.Fired() != 1000 {
		t.Errorf("%d matches and %d met; want 2000 and 1000", f.Matches(), f.Fired())
	}
	if b.Dropped() != 1950 {
		t.Errorf("%d dropped", b.Dropped())
	}
}

func TestUsersSeeCopiesOfEvents(t *testing.T) {
	t.Parallel()
	b := newRecorder(t, Options{})
	b.Inject(Rule{Do: Do(func(ev *Event) { ev.Method, ev.Faults = "changed", nil })})
	b.watch(publish(newSource(1), "a", "x"))
	list := b.Events(When{})
	list[0].Faults[0] = "changed"
	if ev := b.Events(When{})[0]; ev.Method != "basic.publish" || ev.Faults[0] != "any: do" {
		t.Errorf("the record has changed: %v", ev)
	}
}

func BenchmarkWatch(b *testing.B) {
	for _, bench := range []struct {
		name  string
		rules []Rule
	}{
		{"no rules", nil},
		{"a rule for another method", []Rule{{When: When{Method: "basic.get"}, Do: Drop()}}},
		{"a rule that matches", []Rule{{When: When{RoutingKey: "orders.*"}, Nth: 1 << 30, Do: Drop()}}},
		{"a rule with a function", []Rule{{When: When{Message: func(*Message) bool { return false }}, Do: Drop()}}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			broker := New(b, Options{Listen: noListener, Faults: bench.rules})
			s := newSource(1)
			m := &codec.BasicPublish{RoutingKey: "orders.new"}
			props := &codec.Properties{
				Present: codec.HasHeaders | codec.HasCorrelationID, CorrelationID: "0123456789",
				Headers: codec.Table{{Key: "a", Value: "b"}},
			}
			body := make([]byte, 1000)
			b.ReportAllocs()
			for b.Loop() {
				broker.watch(s.event(FromClient, 1, m, props, body))
			}
		})
	}
}
