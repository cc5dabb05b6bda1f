package conformance

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

var publishChecks = []check{
	each("every property arrives as sent", publishProperties),
	each("headers of every type arrive as sent", publishHeaderTypes),
	{"an absent and an empty property are two things", publishAbsent},
	{"headers of types that no library sends arrive byte for byte", publishRareTypes},
	each("bodies around the size of a frame arrive whole", publishBodies),
	{"a body arrives in frames as large as agreed on", publishFrames},
	{"mandatory message without a queue is returned before its confirm", publishMandatory},
	{"mandatory message in a queue without consumers is not returned", publishMandatoryRouted},
	{"a return carries the whole message", publishReturnWhole},
	{"mandatory is returned without confirms, too", publishMandatoryPlain},
	{"immediate closes the connection", publishImmediate},
	{"publishing to an exchange that is missing closes the channel", publishNoExchange},
	{"a delivery_mode other than 1 and 2 is refused", publishDeliveryMode},
	{"a user_id that is not the connection's is refused", publishForeignUser},
	{"delivery-mode does not decide who gets a message", publishTransient},
	{"reply-code and order of returns follow the publishes", publishReturnsInOrder},
}

func publishProperties(t *testing.T, target Target, kind string) {
	s := begin(t, target)
	s.queue("q", with(kind))
	sent := amqp.Publishing{
		Headers: amqp.Table{"k": "v"}, ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2,
		Priority: 7, CorrelationId: "cor", ReplyTo: "back", Expiration: "3600000", MessageId: "id",
		Timestamp: time.Unix(1234567890, 0), Type: "type", UserId: "guest", AppId: "app", Body: []byte("body"),
	}
	s.confirmed("", "q", sent)
	d := s.get("q")
	delete(d.Headers, "x-delivery-count") // quorum queues put it there
	if got := asPublished(d); !reflect.DeepEqual(got, sent) {
		t.Errorf("got\n%+v, want\n%+v", got, sent)
	}
	if d.Exchange != "" || d.RoutingKey != "q" || d.Redelivered {
		t.Errorf("exchange %q, key %q, redelivered %v", d.Exchange, d.RoutingKey, d.Redelivered)
	}
}

func asPublished(d amqp.Delivery) amqp.Publishing {
	return amqp.Publishing{
		Headers: d.Headers, ContentType: d.ContentType, ContentEncoding: d.ContentEncoding, DeliveryMode: d.DeliveryMode,
		Priority: d.Priority, CorrelationId: d.CorrelationId, ReplyTo: d.ReplyTo, Expiration: d.Expiration,
		MessageId: d.MessageId, Timestamp: d.Timestamp, Type: d.Type, UserId: d.UserId, AppId: d.AppId, Body: d.Body,
	}
}

func publishHeaderTypes(t *testing.T, target Target, kind string) {
	s := begin(t, target)
	s.queue("q", with(kind))
	headers := amqp.Table{
		"true": true, "false": false, "byte": byte(200), "int8": int8(-3), "int16": int16(-300), "int32": int32(-70000),
		"int64": int64(-1 << 40), "float32": float32(1.5), "float64": 2.25, "decimal": amqp.Decimal{Scale: 2, Value: 12345},
		"string": "text", "bytes": []byte{0, 255}, "time": time.Unix(1234567890, 0), "void": nil, "empty": "",
		"array":                  []any{int32(1), "two", []any{nil}, amqp.Table{}},
		"table":                  amqp.Table{"in": amqp.Table{"deep": int64(1)}},
		strings.Repeat("k", 128): "a long name", "ü": "ü",
	}
	s.confirmed("", "q", amqp.Publishing{Headers: headers})
	got := s.get("q").Headers
	delete(got, "x-delivery-count") // quorum queues put it there
	if !reflect.DeepEqual(got, headers) {
		t.Errorf("got\n%#v, want\n%#v", got, headers)
	}
}

func publishAbsent(t *testing.T, target Target) {
	w := wireChannel(t, target.VHost(t))
	w.echo()
	// All but expiration and user_id, which have a syntax, as has delivery_mode.
	const every = "\xfe\xe8" + "\x00" + "\x00" + "\x00\x00\x00\x00" + "\x01" + "\x00" + "\x00" + "\x00" +
		"\x00" + "\x00\x00\x00\x00\x00\x00\x00\x00" + "\x00" + "\x00"
	for name, properties := range map[string]string{
		"none": "\x00\x00", "empty headers": "\x20\x00\x00\x00\x00\x00", "empty correlation": "\x04\x00\x00", "every": every,
	} {
		w.echoes(name, []byte(properties))
	}
}

// echoes publishes and expects the same properties back.
func (w *wire) echoes(name string, properties []byte) {
	w.t.Helper()
	w.message("q", properties, nil)
	w.expect(1, basicDeliver)
	if got, _ := w.content(); !bytes.Equal(got, properties) {
		w.t.Errorf("%s: got %q, want %q", name, got, properties)
	}
}

func publishRareTypes(t *testing.T, target Target) {
	w := wireChannel(t, target.VHost(t))
	w.echo()
	for name, value := range map[string]string{
		"unsigned octet": "B\xff", "signed octet": "b\xff", "short": "s\xff\xfe", "unsigned short": "u\xff\xfe",
		"long": "I\xff\xff\xff\xfe", "unsigned long": "i\xff\xff\xff\xfe", "long long": "l\xff\xff\xff\xff\xff\xff\xff\xfe",
		"float": "f\x3f\xc0\x00\x00", "bytes": "x\x00\x00\x00\x02\x00\xff", "timestamp": "T\x00\x00\x00\x00\x00\x00\x00\x01",
		"true": "t\x01", "void": "V", "largest double": "d\x7f\xef\xff\xff\xff\xff\xff\xff", "not UTF-8": "S\x00\x00\x00\x01\xff",
		"order of names": "V\x01zV\x01aV\x01mV", "a name twice": "V\x01kV",
	} {
		table := "\x01k" + value
		w.echoes(name, []byte("\x20\x00\x00\x00\x00"+string(rune(len(table)))+table))
	}
}

func publishBodies(t *testing.T, target Target, kind string) {
	s := begin(t, target)
	s.queue("q", with(kind))
	frame := s.conn.Config.FrameSize
	for _, size := range []int{0, 1, frame - 9, frame - 8, frame - 7, frame, 3*frame + 5, 2 * (frame - 8)} {
		body := bytes.Repeat([]byte{0xCE}, size)
		s.confirmed("", "q", amqp.Publishing{Body: body})
		if d := s.get("q"); !bytes.Equal(d.Body, body) {
			t.Errorf("%d bytes arrived as %d", size, len(d.Body))
		}
	}
}

func publishFrames(t *testing.T, target Target) {
	w := wireChannel(t, target.VHost(t))
	w.echo()
	for size, frames := range map[int][]int{
		0: nil, 1: {1}, wireFrame - 8: {wireFrame - 8}, wireFrame - 7: {wireFrame - 8, 1},
		2 * (wireFrame - 8): {wireFrame - 8, wireFrame - 8},
	} {
		w.message("q", nil, make([]byte, size))
		w.expect(1, basicDeliver)
		if _, sizes := w.content(); !slices.Equal(sizes, frames) {
			t.Errorf("%d bytes came in frames of %v, want %v", size, sizes, frames)
		}
	}
}

func (s *session) returns() <-chan amqp.Return { return s.NotifyReturn(make(chan amqp.Return, 100)) }

// mandatory publishes and waits for the confirm.
func (s *session) mandatory(exchange, key string, m amqp.Publishing) {
	s.t.Helper()
	s.ok(s.Confirm(false))
	confirm, err := s.PublishWithDeferredConfirmWithContext(s.t.Context(), exchange, key, true, false, m)
	s.ok(err)
	if !s.settled(confirm) {
		s.t.Fatal("nacked")
	}
}

func publishMandatory(t *testing.T, target Target) {
	s := begin(t, target)
	returns := s.returns()
	for _, exchange := range []string{"", "amq.direct", "amq.fanout", "amq.topic", "amq.headers"} {
		s.mandatory(exchange, "nowhere", amqp.Publishing{})
		select {
		case r := <-returns: // the library hands out frames in their order
			if r.ReplyCode != 312 || r.ReplyText != "NO_ROUTE" || r.Exchange != exchange || r.RoutingKey != "nowhere" {
				t.Errorf("returned as %+v", r)
			}
		default:
			t.Errorf("exchange %q: acked before it was returned", exchange)
		}
	}
}

func publishMandatoryRouted(t *testing.T, target Target) {
	s := begin(t, target)
	returns := s.returns()
	s.queue("q", with(classic))
	s.mandatory("", "q", amqp.Publishing{})
	select {
	case r := <-returns:
		t.Errorf("returned %+v", r)
	default:
	}
	s.ready("q", 1)
}

func publishReturnWhole(t *testing.T, target Target) {
	s := begin(t, target)
	returns := s.returns()
	sent := amqp.Publishing{
		Headers: amqp.Table{"k": int64(1)}, ContentType: "text/plain", DeliveryMode: 2, Priority: 1, CorrelationId: "cor", ReplyTo: "back",
		Expiration: "10", MessageId: "id", Timestamp: time.Unix(1, 0), Type: "type", UserId: "guest", AppId: "app",
		Body: bytes.Repeat([]byte("x"), s.conn.Config.FrameSize),
	}
	s.mandatory("", "nowhere", sent)
	r := <-returns
	got := asPublished(amqp.Delivery{
		Headers: r.Headers, ContentType: r.ContentType, DeliveryMode: r.DeliveryMode, Priority: r.Priority, CorrelationId: r.CorrelationId,
		ReplyTo: r.ReplyTo, Expiration: r.Expiration, MessageId: r.MessageId, Timestamp: r.Timestamp, Type: r.Type, UserId: r.UserId,
		AppId: r.AppId, Body: r.Body,
	})
	if !reflect.DeepEqual(got, sent) {
		t.Errorf("returned\n%+v, want\n%+v", got, sent)
	}
}

func publishMandatoryPlain(t *testing.T, target Target) {
	s := begin(t, target)
	returns := s.returns()
	s.ok(s.PublishWithContext(t.Context(), "", "nowhere", true, false, amqp.Publishing{}))
	select {
	case <-returns:
	case <-time.After(patience.Soon):
		t.Error("not returned")
	}
}

func publishImmediate(t *testing.T, target Target) {
	s := begin(t, target)
	s.queue("q", with(classic))
	s.ok(s.PublishWithContext(t.Context(), "", "q", false, true, amqp.Publishing{}))
	s.closes(540, "NOT_IMPLEMENTED - immediate=true")
}

func publishNoExchange(t *testing.T, target Target) {
	s := begin(t, target)
	s.queue("q", with(classic))
	s.fill("q", "x")
	lost := s.start("missing", "q", amqp.Publishing{})
	s.closes(404, "NOT_FOUND - no exchange 'missing' in vhost 'VHOST'")
	if s.settled(lost) { // which is how the library tells that no confirm came
		t.Error("acked")
	}
	s.channel().ready("q", 1)
}

func publishForeignUser(t *testing.T, target Target) {
	s := begin(t, target)
	s.start("", "nowhere", amqp.Publishing{UserId: "someone"})
	s.closes(406, "PRECONDITION_FAILED - user_id property set to 'someone' but authenticated user was 'guest'")
}

func publishDeliveryMode(t *testing.T, target Target) {
	s := begin(t, target)
	s.start("", "nowhere", amqp.Publishing{DeliveryMode: 3})
	s.closes(406, "PRECONDITION_FAILED - invalid message: {delivery_mode_unknown,3}")
}

func publishTransient(t *testing.T, target Target) {
	s := begin(t, target)
	s.queue("q", with(classic))
	for _, mode := range []uint8{0, 1, 2} {
		s.confirmed("", "q", amqp.Publishing{DeliveryMode: mode})
		if d := s.get("q"); d.DeliveryMode != mode {
			t.Errorf("mode %d arrived as %d", mode, d.DeliveryMode)
		}
	}
}

func publishReturnsInOrder(t *testing.T, target Target) {
	s := begin(t, target)
	returns := s.returns()
	for i := range 20 {
		s.ok(s.PublishWithContext(t.Context(), "", "nowhere", true, false, amqp.Publishing{MessageId: fmt.Sprint(i)}))
	}
	for i := range 20 {
		select {
		case r := <-returns:
			if r.MessageId != fmt.Sprint(i) {
				t.Fatalf("return %d is of message %s", i, r.MessageId)
			}
		case <-time.After(patience.Soon):
			t.Fatal("no return")
		}
	}
}
