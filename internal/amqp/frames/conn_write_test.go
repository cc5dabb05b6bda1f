package frames

import (
	"bytes"
	"errors"
	"io"
	"net"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

// to is a transport that keeps what is written, until it fails.
type to struct {
	bytes.Buffer
	calls int
	err   error
}

func (w *to) Read([]byte) (int, error) { return 0, io.EOF }
func (w *to) Close() error             { return nil }

func (w *to) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	w.calls++
	return w.Buffer.Write(p)
}

// vector is a transport that writes several buffers at once.
type vector struct{ to }

func (w *vector) WriteBuffers(buffers *net.Buffers) error {
	w.calls++
	_, err := buffers.WriteTo(&w.Buffer)
	return err
}

func writable(transport io.ReadWriteCloser) (*Conn, *Channel) {
	c := New(transport)
	c.open(1)
	return c, c.takeOpened()
}

func TestFramesGoOutBetweenTheLibrarys(t *testing.T) {
	t.Parallel()
	w := &to{}
	c, ch := writable(w)
	if _, err := c.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil || w.String() != "AMQP\x00\x00\x09\x01" {
		t.Fatalf("%q, %v", w.String(), err)
	}
	w.Reset()
	library := method(0, &codec.ConnectionStartOk{ClientProperties: everyValue()})
	library = codec.AppendFrame(library, codec.Frame{Type: codec.FrameHeartbeat})
	library = append(library, method(3, &codec.BasicQos{PrefetchCount: 7})...)
	b := ch.NewBatch()
	for i := range library { // octet by octet
		if n, err := c.Write(library[i : i+1]); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		b.AppendAck(uint64(i), false)
		if err := ch.Write(b); err != nil {
			t.Fatal(err)
		}
	}
	var acks int
	var rest []byte
	for r := codec.NewReader(&w.Buffer); ; {
		frame, err := r.ReadFrame()
		if err != nil {
			break
		}
		if frame.Channel == 1 {
			acks++
			continue
		}
		rest = codec.AppendFrame(rest, frame)
	}
	if acks != len(library) || !bytes.Equal(rest, library) {
		t.Errorf("%d acks of %d, %d octets of the library's of %d", acks, len(library), len(rest), len(library))
	}
}

func TestAllThatABatchCollectsIsReadAsItWas(t *testing.T) {
	t.Parallel()
	msg := publishing()
	for name, transport := range map[string]io.ReadWriteCloser{"one by one": &to{}, "at once": &vector{}} {
		c, ch := writable(transport)
		c.agree(codec.MinFrameSize)
		b := ch.NewBatch()
		for _, size := range []int{0, 1, copyBelow - 1, copyBelow, 3 * codec.MinFrameSize, 100_000} {
			msg.Body = bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]
			if err := b.AppendPublish("key", size%2 == 0, &msg); err != nil {
				t.Fatal(err)
			}
			b.AppendNack(uint64(size), size%2 == 0, size%3 == 0)
		}
		if b.Publishes() != 6 {
			t.Errorf("%d publishes", b.Publishes())
		}
		size := b.Size()
		if err := ch.Write(b); err != nil {
			t.Fatal(err)
		}
		var out *bytes.Buffer
		switch transport := transport.(type) {
		case *to:
			out = &transport.Buffer
		case *vector:
			out = &transport.Buffer
			if transport.calls != 1 {
				t.Errorf("%d calls", transport.calls)
			}
		}
		if out.Len() != size || b.Size() != 0 || b.Publishes() != 0 || len(b.bodies) != 0 {
			t.Errorf("%s: %d octets of %d; the batch has %d left", name, out.Len(), size, b.Size())
		}
		r := codec.NewReader(out)
		for _, size := range []int{0, 1, copyBelow - 1, copyBelow, 3 * codec.MinFrameSize, 100_000} {
			checkPublish(t, r, size)
			frame, err := r.ReadFrame()
			if err != nil {
				t.Fatal(err)
			}
			want := &codec.BasicNack{DeliveryTag: uint64(size), Multiple: size%2 == 0, Requeue: size%3 == 0}
			if m, err := codec.DecodeMethod(frame.Payload); err != nil || !reflect.DeepEqual(m, want) {
				t.Errorf("%v, %v", m, err)
			}
		}
	}
}

// checkPublish reads the publish with a body of that size.
func checkPublish(t *testing.T, r *codec.Reader, size int) {
	t.Helper()
	next := func() []byte {
		frame, err := r.ReadFrame()
		if err != nil || frame.Channel != 1 {
			t.Fatal(err)
		}
		return frame.Payload
	}
	m, err := codec.DecodeMethod(next())
	if want := (&codec.BasicPublish{RoutingKey: "key", Mandatory: size%2 == 0}); err != nil || !reflect.DeepEqual(m, want) {
		t.Errorf("%v, %v", m, err)
	}
	h, err := codec.DecodeHeader(next())
	if p := h.Properties; err != nil || h.BodySize != uint64(size) || p.AppID != "app" || len(p.Headers) != 19 || p.Priority != 7 {
		t.Errorf("%+v, %v", h, err)
	}
	var body []byte
	for len(body) < size {
		part := next()
		if len(part) < codec.MinFrameSize-codec.FrameOverhead && len(body)+len(part) < size {
			t.Errorf("a part of %d octets that is not the last", len(part))
		}
		body = append(body, part...)
	}
	if want := bytes.Repeat([]byte("abcdefg"), size/7+1)[:size]; !bytes.Equal(body, want) {
		t.Errorf("a body of %d octets has changed", size)
	}
}

// publishing has every property, and every type of header that the library takes.
func publishing() amqp.Publishing {
	return amqp.Publishing{
		ContentType: "text/plain", ContentEncoding: "gzip", DeliveryMode: 2, Priority: 7, CorrelationId: "id", ReplyTo: "reply",
		Expiration: "1000", MessageId: "message", Timestamp: time.Unix(1_700_000_000, 0), Type: "type", UserId: "user", AppId: "app",
		Headers: amqp.Table{
			"t": true, "f": false, "b": int8(-1), "B": uint8(1), "s": int16(-2), "u": uint16(2), "I": int32(-3), "i": uint32(3),
			"int": -7, "l": int64(-4), "float": float32(0.5), "d": 0.25, "D": amqp.Decimal{Scale: 2, Value: -314}, "S": "text",
			"x": []byte{0, 0xCE}, "T": time.Unix(1_700_000_000, 0), "A": []any{nil, int64(5), []any{}, amqp.Table{"k": "v"}},
			"F": amqp.Table{"k": amqp.Table{}}, "V": nil,
		},
	}
}

func TestWhatHasNoFormOnTheWireIsNotCollected(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("x", 256)
	_, ch := writable(&to{})
	b := ch.NewBatch()
	b.AppendAck(1, false)
	before := slices.Clone(b.buf)
	for name, test := range map[string]struct {
		key string
		msg amqp.Publishing
	}{
		"routing key":   {long, amqp.Publishing{}},
		"content_type":  {"k", amqp.Publishing{ContentType: long}},
		"app_id":        {"k", amqp.Publishing{AppId: long, Headers: amqp.Table{"k": "v"}}},
		"header":        {"k", amqp.Publishing{Headers: amqp.Table{long: "v"}}},
		"uint64":        {"k", amqp.Publishing{Headers: amqp.Table{"k": uint64(1)}}},
		"[]string":      {"k", amqp.Publishing{Headers: amqp.Table{"k": []any{[]string{}}}}},
		"map[string]in": {"k", amqp.Publishing{Headers: amqp.Table{"k": amqp.Table{"l": map[string]int{}}}}},
		"the properties take 131105 bytes, and the connection's frames 131072": {
			"k", amqp.Publishing{Headers: amqp.Table{"k": strings.Repeat("x", 128<<10)}, Body: make([]byte, copyBelow)},
		},
	} {
		err := b.AppendPublish(test.key, false, &test.msg)
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: %v", name, err)
		}
		if !bytes.Equal(b.buf, before) || len(b.bodies) != 0 || b.Publishes() != 0 || b.Size() != len(before) {
			t.Errorf("%s: the batch has changed", name)
		}
	}
}

func TestAWriteThatFailsEndsTheConnection(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	w := &to{err: broken}
	c, ch := writable(w)
	h := newTold()
	ch.Handle(h)
	b := ch.NewBatch()
	if err := ch.Write(b); err != nil {
		t.Errorf("nothing was to be written: %v", err)
	}
	b.AppendAck(1, false)
	if err := ch.Write(b); !errors.Is(err, broken) {
		t.Errorf("the first write: %v", err)
	}
	if err := h.end(t); !errors.Is(err, broken) {
		t.Errorf("the handler was told of %v", err)
	}
	b.AppendAck(1, false)
	if err := ch.Write(b); !errors.Is(err, ErrClosed) || b.Size() > 0 {
		t.Errorf("the second write: %v", err)
	}
	if _, err := c.Write(codec.AppendFrame(nil, codec.Frame{Type: codec.FrameHeartbeat})); !errors.Is(err, broken) {
		t.Errorf("a write of the library's: %v", err)
	}
}

func TestBatchesOfSeveralGoroutinesStayWhole(t *testing.T) {
	t.Parallel()
	s, p := open(t, 8192)
	var writers sync.WaitGroup
	for i := range 4 {
		writers.Go(func() {
			b := s.ch.NewBatch()
			for range 100 {
				if err := b.AppendPublish("k", false, &amqp.Publishing{Body: bytes.Repeat([]byte{byte(i)}, 20_000)}); err != nil {
					t.Error(err)
				}
				b.AppendAck(uint64(i), false)
				if err := s.ch.Write(b); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writers.Go(func() {
		for range 100 {
			if err := s.amqp.Ack(99, false); err != nil {
				t.Error(err)
			}
		}
	})
	own := 0
	for acks := 0; acks < 400; {
		switch m := p.next().(type) {
		case *codec.BasicAck:
			if m.DeliveryTag != 99 {
				t.Fatal("an acknowledgement stands apart from its publish")
			}
			own++
		case *codec.BasicPublish:
			body := p.content(8192)
			if len(body) != 20_000 || !bytes.Equal(body, bytes.Repeat(body[:1], len(body))) {
				t.Fatal("bodies are mixed")
			}
			if a, ok := p.next().(*codec.BasicAck); !ok || a.DeliveryTag != uint64(body[0]) {
				t.Fatalf("%+v follows a publish of writer %d", a, body[0])
			}
			acks++
		default:
			t.Fatalf("%#v", m)
		}
	}
	for ; own < 100; own++ {
		await[*codec.BasicAck](p)
	}
	writers.Wait()
}

func (p *peer) next() codec.Method {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(patience.Soon))
	frame, err := p.in.ReadFrame()
	if err != nil {
		p.t.Fatal(err)
	}
	m, err := codec.DecodeMethod(frame.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	return m
}

// content reads the header and the body of what was published.
func (p *peer) content(frameMax int) []byte {
	p.t.Helper()
	frame, err := p.in.ReadFrame()
	if err != nil {
		p.t.Fatal(err)
	}
	h, err := codec.DecodeHeader(frame.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		if frame, err = p.in.ReadFrame(); err != nil || frame.Type != codec.FrameBody || len(frame.Payload) > frameMax-codec.FrameOverhead {
			p.t.Fatalf("%v frame, %v", frame.Type, err)
		}
		body = append(body, frame.Payload...)
	}
	return body
}
