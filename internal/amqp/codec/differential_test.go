package codec

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/test/patience"
)

// clientTable holds every type that the client can send in a table. Where it nests, order does not matter.
func clientTable() amqp.Table {
	return amqp.Table{
		"bool": true, "int8": int8(-8), "uint8": uint8(8), "int16": int16(-16), "uint16": uint16(16), "int32": int32(-32),
		"uint32": uint32(32), "int64": int64(-64), "int": 7, "float32": float32(0.5), "float64": math.Pi,
		"decimal": amqp.Decimal{Scale: 3, Value: -12345}, "string": "text", "bytes": []byte{0, 0xCE},
		"time": time.Unix(1_700_000_000, 0).UTC(), "void": nil, "array": []any{int32(1), "two", []any{nil}, amqp.Table{"k": true}},
		"table": amqp.Table{"k": amqp.Table{"l": int64(1)}},
	}
}

// fromClient is a client's table as this package has it, sorted by key.
func fromClient(v any) any {
	switch v := v.(type) {
	case amqp.Table:
		var t Table
		for _, k := range slices.Sorted(maps.Keys(v)) {
			t = append(t, Entry{k, fromClient(v[k])})
		}
		return t
	case []any:
		array := []any{}
		for _, element := range v {
			array = append(array, fromClient(element))
		}
		return array
	case amqp.Decimal:
		return Decimal(v)
	case int:
		return int32(v)
	case time.Time:
		return v.UTC()
	default:
		return v
	}
}

func sortedTable() Table {
	return fromClient(clientTable()).(Table) //nolint:errcheck // A table comes of a table.
}

// sortTables sorts what the client took out of a map.
func sortTables(m any) {
	v := reflect.ValueOf(m).Elem()
	for _, field := range v.Fields() {
		if t, ok := reflect.TypeAssert[Table](field); ok {
			field.Set(reflect.ValueOf(byKey(t)))
		}
	}
}

func publishing() amqp.Publishing {
	return amqp.Publishing{
		Headers: clientTable(), ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 9,
		CorrelationId: "correlation", ReplyTo: "reply", Expiration: "60000", MessageId: "message",
		Timestamp: time.Unix(1_700_000_000, 0).UTC(), Type: "type", UserId: "user", AppId: "app",
		Body: bytes.Repeat([]byte("body"), 3000),
	}
}

func publishedHeader() Header {
	h := header()
	h.BodySize = 12000
	h.Properties.Present &^= HasClusterID // which the client does not know
	h.Properties.ClusterID = ""
	h.Properties.Headers = sortedTable()
	return h
}

// content is what follows a method on its way to the client.
type content struct {
	Method
	header Header
	body   []byte
}

// broker answers a client by a script and keeps what it sent.
type broker struct {
	conn   net.Conn
	in     *Reader
	answer func(Method) []Method

	methods []Method
	headers []Header
	bodies  [][]byte
}

const frameMax = 8192

// serve answers until the connection is closed. It fails if what was decoded does not encode to the same octets.
func (b *broker) serve() error {
	if header, err := b.in.ProtocolHeader(); err != nil || string(header[:]) != "AMQP\x00\x00\x09\x01" {
		return fmt.Errorf("protocol header %q: %w", header, err)
	}
	if err := b.send(0, &ConnectionStart{VersionMinor: 9, ServerProperties: everyValue(), Mechanisms: "AMQPLAIN PLAIN", Locales: "en_US"}); err != nil {
		return err
	}
	for {
		channel, m, err := b.receive()
		if err != nil {
			return err
		}
		b.methods = append(b.methods, m)
		if err := b.send(channel, b.answer(m)...); err != nil {
			return err
		}
		switch m.(type) {
		case *ConnectionTuneOk:
			b.in.Limit(frameMax)
		case *ConnectionClose, *ConnectionCloseOk:
			return nil
		}
	}
}

func (b *broker) receive() (uint16, Method, error) {
	f, err := b.in.ReadFrame()
	if err != nil {
		return 0, nil, err
	}
	m, err := DecodeMethod(f.Payload)
	if err != nil {
		return 0, nil, err
	}
	if again, err := AppendMethod(nil, m); err != nil || !bytes.Equal(again, f.Payload) {
		return 0, nil, fmt.Errorf("%s was %x, encoded again %x: %w", m.Name(), f.Payload, again, err)
	}
	sortTables(m)
	if !HasContent(m) {
		return f.Channel, m, nil
	}
	if f, err = b.in.ReadFrame(); err != nil {
		return 0, nil, err
	}
	h, err := DecodeHeader(f.Payload)
	if err != nil {
		return 0, nil, err
	}
	if again, err := AppendHeader(nil, h); err != nil || !bytes.Equal(again, f.Payload) {
		return 0, nil, fmt.Errorf("header was %x, encoded again %x: %w", f.Payload, again, err)
	}
	sortTables(&h.Properties)
	body := []byte{}
	for uint64(len(body)) < h.BodySize {
		if f, err = b.in.ReadFrame(); err != nil {
			return 0, nil, err
		}
		body = append(body, f.Payload...)
	}
	b.headers, b.bodies = append(b.headers, h), append(b.bodies, body)
	return f.Channel, m, nil
}

func (b *broker) send(channel uint16, answers ...Method) error {
	var out []byte
	for _, m := range answers {
		c, hasContent := m.(content)
		if hasContent {
			m = c.Method
		}
		channel := channel
		if strings.HasPrefix(m.Name(), "connection.") {
			channel = 0
		}
		payload, err := AppendMethod(nil, m)
		if err != nil {
			return err
		}
		out = AppendFrame(out, Frame{FrameMethod, channel, payload})
		if !hasContent {
			continue
		}
		if payload, err = AppendHeader(nil, c.header); err != nil {
			return err
		}
		out = AppendFrame(out, Frame{FrameHeader, channel, payload})
		for part := range slices.Chunk(c.body, 4000) {
			out = AppendFrame(out, Frame{FrameBody, channel, part})
		}
	}
	if len(out) == 0 {
		return nil
	}
	_, err := b.conn.Write(out)
	return err
}

// handshake answers what every connection opens and closes with.
func handshake(m Method) []Method {
	switch m.(type) {
	case *ConnectionStartOk:
		return []Method{&ConnectionTune{ChannelMax: 100, FrameMax: frameMax, Heartbeat: 600}}
	case *ConnectionOpen:
		return []Method{&ConnectionOpenOk{}}
	case *ChannelOpen:
		return []Method{&ChannelOpenOk{}}
	case *ChannelClose:
		return []Method{&ChannelCloseOk{}}
	case *ConnectionClose:
		return []Method{&ConnectionCloseOk{}}
	default:
		return nil
	}
}

// connect returns a client's channel on a broker that answers by the handshake and by answer. The second result waits
// for the connection to be closed.
func connect(t *testing.T, answer func(Method) []Method) (*amqp.Connection, *amqp.Channel, func() *broker) {
	t.Helper()
	clientEnd, brokerEnd := socketPair(t)
	b := &broker{conn: brokerEnd, in: NewReader(brokerEnd), answer: func(m Method) []Method {
		if noWait := reflect.ValueOf(m).Elem().FieldByName("NoWait"); noWait.IsValid() && noWait.Bool() {
			return nil
		}
		return append(handshake(m), answer(m)...)
	}}
	done := make(chan error, 1)
	go func() {
		done <- b.serve()
		brokerEnd.Close()
	}()
	conn, err := amqp.Open(clientEnd, amqp.Config{
		SASL: []amqp.Authentication{&amqp.PlainAuth{Username: "user", Password: "secret"}}, Vhost: "/v", Locale: "en_US",
		Properties: clientTable(),
	})
	if err != nil {
		t.Fatalf("%v; broker: %v", err, <-done)
	}
	ch, err := conn.Channel()
	if err != nil {
		t.Fatal(err)
	}
	return conn, ch, func() *broker {
		t.Helper()
		select {
		case err := <-done:
			if err != nil {
				t.Fatal(err)
			}
		case <-time.After(patience.Soon):
			t.Fatal("the connection was not closed")
		}
		return b
	}
}

// await receives from a channel that the client notifies on.
func await[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience.Soon)
	defer cancel()
	select {
	case v, ok := <-c:
		if !ok {
			t.Fatalf("no %T, but the channel is closed", v)
		}
		return v
	case <-ctx.Done():
		t.Fatalf("no %T", *new(T))
		panic("unreachable")
	}
}

// socketPair returns the two ends of a connection. It has buffers, which
// net.Pipe has not: there both sides may write and neither read.
func socketPair(t testing.TB) (net.Conn, net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	a, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	b, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return a, b
}
