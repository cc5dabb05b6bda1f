package frames

import (
	"bytes"
	"encoding/binary"
	"io"
	"math"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// recorded is a library's channel whose publishes go to a buffer.
type recorded struct {
	mu      sync.Mutex
	on      bool
	written bytes.Buffer
	l       *library
}

// Write is called by the library. What it says before the recording begins goes to the broker of the library.
func (r *recorded) write(to io.Writer, p []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.on {
		return r.written.Write(p)
	}
	return to.Write(p)
}

// FuzzPublish has a message written by the library and here, to the same octets. Only the order of headers is nobody's,
// and what has no form on the wire is an error here, while the library ends the connection over a string that is too
// long.
func FuzzPublish(f *testing.F) {
	f.Add("key", "application/json", "id", "reply", "text", []byte{1, 2, 3}, uint16(0xffff), int64(1_700_000_000), 64)
	f.Add("", "", "", "", "", []byte{}, uint16(0), int64(0), 0)
	f.Add("key", "", "id", "", strings.Repeat("x", 256), []byte{9, 9, 9, 12, 13, 14, 15, 16, 17}, uint16(3), int64(-5), 200_000)
	f.Add("key", "", "id", "", strings.Repeat("x", 255), []byte("every value, nested \x10\x11\x10\x11\x12"), uint16(0x5555), int64(5), copyBelow)
	theirs := newRecorded(f)
	f.Fuzz(func(t *testing.T, key, contentType, id, reply, text string, headers []byte, which uint16, number int64, size int) {
		if size < 0 || size > 300_000 || len(headers) > 1000 {
			return
		}
		msg := amqp.Publishing{ContentType: contentType, CorrelationId: id, ReplyTo: reply, Body: bytes.Repeat([]byte{byte(number)}, size)}
		for bit, field := range []*string{
			&msg.ContentEncoding, &msg.Expiration, &msg.MessageId, &msg.Type, &msg.UserId, &msg.AppId,
		} {
			if which>>bit&1 != 0 {
				*field = text
			}
		}
		if which>>6&1 != 0 {
			msg.DeliveryMode, msg.Priority = byte(number), byte(number>>8)
		}
		if which>>7&1 != 0 {
			msg.Timestamp = time.Unix(number, 0)
		}
		if which>>8&1 != 0 {
			h := headersOf{rest: headers, text: text, number: number}
			msg.Headers = h.table(0)
		}
		_, ch := writable(&to{})
		b := ch.NewBatch()
		err := b.AppendPublish(key, which>>9&1 != 0, &msg)
		if formless := key + contentType + id + reply + text; err != nil {
			if len(formless) < 256 && !strings.Contains(err.Error(), "no form in AMQP") {
				t.Errorf("not written: %v", err)
			}
			return
		}
		if err := msg.Headers.Validate(); err != nil {
			t.Errorf("written, and refused by the library: %v", err)
		}
		octets := slices.Concat(b.appendTo(nil)...)
		want := theirs.publish(t, key, which>>9&1 != 0, msg)
		if !bytes.Equal(octets, want) && !reflect.DeepEqual(sorted(t, octets), sorted(t, want)) {
			t.Errorf("%x\nwhich the library writes as\n%x", octets, want)
		}
		if len(octets) != b.Size() {
			t.Errorf("a batch of %d octets says %d", len(octets), b.Size())
		}
	})
}

func newRecorded(f *testing.F) *recorded {
	f.Helper()
	r := &recorded{}
	r.l = newLibraryOn(f, func(here io.ReadWriteCloser) io.ReadWriteCloser {
		return struct {
			io.Reader
			io.Writer
			io.Closer
		}{here, writer(func(p []byte) (int, error) { return r.write(here, p) }), here}
	})
	f.Cleanup(r.l.end)
	r.on = true
	return r
}

type writer func(p []byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

func (r *recorded) publish(t *testing.T, key string, mandatory bool, msg amqp.Publishing) []byte {
	t.Helper()
	r.mu.Lock()
	r.written.Reset()
	r.mu.Unlock()
	if err := r.l.channel.Publish("", key, mandatory, false, msg); err != nil {
		t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Clone(r.written.Bytes())
}

// sorted are the frames of a publish, with the headers in order.
func sorted(t *testing.T, octets []byte) []any {
	t.Helper()
	var all []any
	r := codec.NewReader(bytes.NewReader(octets))
	r.Limit(defaultFrameMax)
	for {
		frame, err := r.ReadFrame()
		if err != nil {
			return all
		}
		if frame.Type != codec.FrameHeader {
			all = append(all, frame)
			continue
		}
		h, err := codec.DecodeHeader(frame.Payload)
		if err != nil {
			t.Fatal(err)
		}
		h.Properties.Headers = inOrder(h.Properties.Headers).(codec.Table) //nolint:errcheck // A table comes of a table.
		again, err := codec.AppendHeader(nil, h)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, again)
	}
}

// inOrder sorts the tables in v.
func inOrder(v any) any {
	switch v := v.(type) {
	case codec.Table:
		for i := range v {
			v[i].Value = inOrder(v[i].Value)
		}
		slices.SortFunc(v, func(a, b codec.Entry) int { return strings.Compare(a.Key, b.Key) })
	case []any:
		for i := range v {
			v[i] = inOrder(v[i])
		}
	}
	return v
}

// headersOf makes a table of octets: each is a value.
type headersOf struct {
	rest   []byte
	text   string
	number int64
}

func (h *headersOf) table(depth int) amqp.Table {
	t := amqp.Table{}
	for n := 0; len(h.rest) > 0 && n < 20; n++ {
		key := string(binary.AppendUvarint([]byte("k"), uint64(n)))
		value, more := h.value(depth)
		if !more {
			break
		}
		t[key] = value
	}
	return t
}

// value is the next, and false if the table or the list ends.
func (h *headersOf) value(depth int) (any, bool) {
	octet := h.rest[0]
	h.rest = h.rest[1:]
	values := [...]any{
		nil, true, false, octet, int8(h.number), int16(h.number), uint16(h.number), int32(h.number), uint32(h.number), int(h.number),
		h.number, float32(h.number), math.Float64frombits(uint64(h.number)), amqp.Decimal{Scale: octet, Value: int32(h.number)}, h.text,
		[]byte(h.text), time.Unix(h.number, 0), uint64(1),
	}
	switch n := int(octet) % (len(values) + 8); {
	case n < len(values):
		return values[n], true
	case n < len(values)+3 && depth < 20:
		return h.table(depth + 1), true
	case n < len(values)+6 && depth < 20:
		var list []any
		for len(h.rest) > 0 {
			value, more := h.value(depth + 1)
			if !more {
				break
			}
			list = append(list, value)
		}
		return list, true
	}
	return nil, false
}
