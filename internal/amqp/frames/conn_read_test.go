package frames

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// from is a transport that can be read.
type from struct {
	io.Reader
	io.Writer
}

func (from) Close() error { return nil }

// listen reads all that in has, with a handler on channel 1 on which so many publishes were written. It returns the
// handler, what the library gets, and what reading ended with.
func listen(t testing.TB, in io.Reader, published uint64) (*told, []byte, error) {
	t.Helper()
	c, h := New(from{in, io.Discard}), newTold()
	c.open(1)
	ch := c.takeOpened()
	ch.Handle(h)
	ch.published.Store(published)
	out, err := io.ReadAll(c)
	return h, out, err
}

// everything is a stream with what can come on a channel with a handler, on one without, and on none.
func everything() []byte {
	out := method(1, &codec.BasicConsumeOk{ConsumerTag: "tag"})
	out = append(out, message(payload(properties(), 9000), make([]byte, 9000))...)
	out = append(out, ack(1, false)...)
	out = append(out, method(2, &codec.BasicGetOk{DeliveryTag: 7})...)
	out = append(out, returned(1)...)
	out = appendContent(out, 2, payload(properties(), 9000), make([]byte, 9000))
	out = append(out, method(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 2})...)
	out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameHeader, Channel: 1, Payload: payload(traced(), 40_000)})
	for range 4 {
		out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameBody, Channel: 1, Payload: make([]byte, 10_000)})
		out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameHeartbeat})
	}
	out = append(out, message(withTable(entry("h", append([]byte{'S'}, long(make([]byte, 200_000))...)), 1), []byte("x"))...)
	out = append(out, message(withTable(entry("h", lists(33)), 0), nil)...)
	return append(out, ack(3, true)...)
}

func TestHandlersGetTheirsWhateverThePieces(t *testing.T) {
	t.Parallel()
	var events []string
	var passed []byte
	for i, in := range []func(io.Reader) io.Reader{raw, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
		h, out, err := listen(t, in(bytes.NewReader(everything())), 3)
		if err != nil {
			t.Fatal(err)
		}
		h.events = append(h.events, h.deliveries[2].Unreadable())
		h.deliveries[3].DecodeHeaders()
		h.events = append(h.events, h.deliveries[3].Unreadable())
		if i == 0 {
			events, passed = h.events, out
		}
		if !slices.Equal(h.events, events) || !bytes.Equal(out, passed) {
			t.Errorf("in pieces %d: %.100q, %d octets for the library", i, h.events, len(out))
		}
	}
	kinds := make([]string, 0, len(events))
	for _, event := range events {
		kinds = append(kinds, event[:min(len(event), 11)])
	}
	want := []string{
		"delivered 1", "confirmed 1", "returned id", "delivered 2", "delivered 1", "delivered 1", "confirmed 3", "ended EOF",
		tooLarge[:11], tooDeep[:11],
	}
	if !slices.Equal(kinds, want) {
		t.Errorf("%q", kinds)
	}
	library := method(1, &codec.BasicConsumeOk{ConsumerTag: "tag"})
	library = append(library, method(2, &codec.BasicGetOk{DeliveryTag: 7})...)
	library = appendContent(library, 2, payload(properties(), 9000), make([]byte, 9000))
	for range 4 {
		library = codec.AppendFrame(library, codec.Frame{Type: codec.FrameHeartbeat})
	}
	if !bytes.Equal(passed, library) {
		t.Errorf("the library gets %d octets of %d", len(passed), len(library))
	}
}

func TestABrokerThatLiesEndsTheConnection(t *testing.T) {
	t.Parallel()
	deliver := method(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1})
	header := codec.AppendFrame(nil, codec.Frame{Type: codec.FrameHeader, Channel: 1, Payload: payload(properties(), 4)})
	body := codec.AppendFrame(nil, codec.Frame{Type: codec.FrameBody, Channel: 1, Payload: []byte("body")})
	bad := func(frame []byte) []byte {
		frame = bytes.Clone(frame)
		frame[len(frame)-1] = 0
		return frame
	}
	short := func(m codec.Method) []byte {
		octets, err := codec.AppendMethod(nil, m)
		if err != nil {
			t.Fatal(err)
		}
		return codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: 1, Payload: octets[:len(octets)-1]})
	}
	for name, test := range map[string]struct {
		frames [][]byte
		why    string
	}{
		"a frame above the size agreed on": {[][]byte{{1, 0, 1, 0, 2, 0, 0}}, "a frame of 131080 octets, where 131072 are agreed on"},
		"a frame of an unknown type":       {[][]byte{{4, 0, 1, 0, 0, 0, 0}}, "a frame of type 4"},
		"another protocol":                 {[][]byte{[]byte("HTTP/1.1 400 Bad Request")}, "the broker breaks the protocol"},
		"a method's wrong end":             {[][]byte{bad(deliver)}, "a frame ends with octet 0x00"},
		"a confirm's wrong end":            {[][]byte{bad(ack(1, false))}, "a frame ends with octet 0x00"},
		"a header's wrong end":             {[][]byte{deliver, bad(header)}, "a frame ends with octet 0x00"},
		"a body's wrong end":               {[][]byte{deliver, header, bad(body)}, "a frame ends with octet 0x00"},
		"a header alone":                   {[][]byte{header}, "a content header where none is due"},
		"a body alone":                     {[][]byte{body}, "a body where none is due"},
		"a body instead of a header":       {[][]byte{deliver, body}, "a body where none is due"},
		"a second header":                  {[][]byte{deliver, header, header}, "a content header where none is due"},
		"a method instead of a header":     {[][]byte{deliver, deliver}, "method 60.60, where the content of a message is due"},
		"a method instead of a body":       {[][]byte{deliver, header, ack(1, false)}, "method 60.80, where the content"},
		"a body beyond the end":            {[][]byte{deliver, header, body, body}, "a body where none is due"},
		"a body longer than announced": {[][]byte{deliver, header, codec.AppendFrame(nil, codec.Frame{
			Type: codec.FrameBody, Channel: 1, Payload: []byte("bodies"),
		})}, "a body is 2 octets longer than announced"},
		"an absurd body":            {[][]byte{deliver, appendContent(nil, 1, payload(properties(), 1<<40))}, "a body of 1099511627776 octets is announced"},
		"an absurd header":          {[][]byte{deliver, {2, 0, 1, 0xff, 0xff, 0xff, 0xff}}, "a content header of 4294967295 octets"},
		"a header without flags":    {[][]byte{deliver, {2, 0, 1, 0, 0, 0, 13}}, "a content header of 13 octets"},
		"a method without a number": {[][]byte{{1, 0, 1, 0, 0, 0, 3, 0, 0, 0, frameEnd}}, "a method of 3 octets"},
		"a delivery cut short":      {[][]byte{short(&codec.BasicDeliver{ConsumerTag: "tag"})}, "a basic.deliver of"},
		"a return cut short":        {[][]byte{short(&codec.BasicReturn{ReplyText: "text"})}, "a basic.return of"},
		"a confirm cut short":       {[][]byte{short(&codec.BasicAck{})}, "a confirm of 12 octets"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frames := append(slices.Concat(test.frames...), make([]byte, 3000)...)
			h, _, err := listen(t, bytes.NewReader(frames), 2)
			if err == nil || !strings.Contains(err.Error(), test.why) {
				t.Fatalf("reading ended with %v", err)
			}
			if got := h.end(t); !errors.Is(got, err) {
				t.Errorf("the handler was told of %v", got)
			}
		})
	}
}

// A broker that confirms what was not published harms nobody.
func TestConfirmsOfNothingAreNotTold(t *testing.T) {
	t.Parallel()
	frames := slices.Concat(ack(3, false), ack(0, true), ack(1<<63, true), ack(2, true))
	h, _, err := listen(t, bytes.NewReader(frames), 2)
	if want := []string{"confirmed 2 true true", "ended EOF"}; err != nil || !slices.Equal(h.events, want) {
		t.Errorf("%q, %v", h.events, err)
	}
}

// The mark of a large body is all that costs memory before the body has come.
func TestABodyTakesMemoryAsItComes(t *testing.T) {
	frames := method(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1})
	frames = appendContent(frames, 1, payload(codec.Properties{}, mostBody), make([]byte, 100_000))
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	if _, _, err := listen(t, bytes.NewReader(frames), 0); err != nil {
		t.Fatal(err)
	}
	runtime.ReadMemStats(&after)
	if took := after.TotalAlloc - before.TotalAlloc; took > 2*allocatedAhead {
		t.Errorf("%d octets took %d", len(frames), took)
	}
}

func TestLargeBodiesComeWhole(t *testing.T) {
	t.Parallel()
	body := make([]byte, 5<<20+12345)
	for i := range body {
		body[i] = byte(i * 7 / 1000)
	}
	frames := method(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1})
	parts := slices.Collect(slices.Chunk(body, 100_000))
	frames = appendContent(frames, 1, payload(codec.Properties{}, len(body)), parts...)
	frames = append(frames, ack(1, false)...)
	h, _, err := listen(t, iotest.HalfReader(bytes.NewReader(frames)), 1)
	if err != nil {
		t.Fatal(err)
	}
	if len(h.deliveries) != 1 || !bytes.Equal(h.deliveries[0].Body, body) || cap(h.deliveries[0].Body) != len(body) || h.events[1] != "confirmed 1 false true" {
		t.Errorf("%d deliveries, %.50q", len(h.deliveries), h.events[1:])
	}
}

// What the library could not read arrives, and says why it cannot be decoded.
func TestUnreadableHeadersArrive(t *testing.T) {
	t.Parallel()
	whole := payload(properties(), 4)
	big := entry("h", append([]byte{'S'}, long(make([]byte, 5<<20))...))
	deep := entry("h", lists(33))
	for name, test := range map[string]struct {
		header []byte
		flaw   string
		keeps  bool // the properties
		death  bool // hinted at
	}{
		"fine":                   {whole, "", true, false},
		"no headers":             {payload(codec.Properties{}, 4), "", false, false},
		"lists, 32 deep":         {withTable(entry("h", lists(32)), 4), "", true, false},
		"lists, 33 deep":         {withTable(deep, 4), tooDeep, true, false},
		"tables, 33 deep":        {withTable(entry("h", tables(33)), 4), tooDeep, true, false},
		"8192 values":            {withTable(entry("h", voids(8192)), 4), "", true, false},
		"8193 values":            {withTable(entry("h", voids(8193)), 4), tooMany, true, false},
		"8193 entries":           {withTable(entries(8193), 4), tooMany, true, false},
		"unknown type":           {withTable(entry("h", []byte{'Z', 1}), 4), unknownType, true, true},
		"a short value":          {withTable(entry("h", []byte{'l', 1}), 4), malformed, true, true},
		"a long string":          {withTable(entry("h", []byte{'S', 0, 0, 0, 9}), 4), malformed, true, true},
		"a key alone":            {withTable([]byte{1, 'h'}, 4), malformed, true, true},
		"dead-lettered":          {withTable(append(entry(death, []byte{'V'}), deep...), 4), tooDeep, true, true},
		"dead-lettered, at last": {withTable(append(bytes.Clone(deep), entry(death, []byte{'V'})...), 4), tooDeep, true, true},
		"truncated":              {whole[:len(whole)-1], malformed, false, true},
		"truncated headers":      {whole[:fixedSize+30], malformed, false, true},
		"above a frame":          {withTable(big, 4), tooLarge, true, true},
		"above a frame, wrong": {
			bytes.Replace(withTable(big, 4), long(big)[:4], []byte{1, 2, 3, 4}, 1), tooLarge, false, true,
		},
		"above a frame, truncated": {withTable(big, 4)[:5<<20], tooLarge, false, true},
		"above a frame, no table":  {append(payload(codec.Properties{}, 4), make([]byte, 200_000)...), tooLarge, false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frames := append(message(test.header, []byte("body")), ack(1, false)...)
			h, _, err := listen(t, bytes.NewReader(frames), 1)
			if err != nil || len(h.deliveries) != 1 || len(h.events) != 3 {
				t.Fatalf("%v, %.100q", err, h.events)
			}
			d := h.deliveries[0]
			d.DecodeHeaders()
			if d.Unreadable() != test.flaw || string(d.Body) != "body" || d.RoutingKey != "queue" || d.ConsumerTag != "tag" {
				t.Errorf("unreadable: %q; %+v", d.Unreadable(), d.Delivery)
			}
			if kept := d.ContentType == "text/plain" && d.CorrelationId == "id" && d.AppId == "app"; kept != test.keeps {
				t.Errorf("keeps the properties: %v", kept)
			}
			if test.flaw == "" {
				return
			}
			if _, hinted := d.Headers[death]; hinted != test.death || len(d.Headers) > 1 {
				t.Errorf("headers %v", d.Headers)
			}
		})
	}
}

func TestHeadersAreDecodedAsTheLibraryDoes(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]byte{
		"every value": payload(properties(), 0), "an empty table": withTable(nil, 0), "no headers": payload(codec.Properties{}, 0),
		"a key twice": withTable(append(entry("k", []byte{'t', 1}), entry("k", []byte{'t', 0})...), 0),
		"empty ones":  withTable(append(entry("", voids(0)), entry("x", []byte{'x', 0, 0, 0, 0})...), 0),
	} {
		h, _, err := listen(t, bytes.NewReader(message(header, nil)), 0)
		if err != nil {
			t.Fatal(err)
		}
		d := h.deliveries[0]
		d.DecodeHeaders()
		if want := readByLibrary(t, header, nil); !reflect.DeepEqual(d.Delivery, want) || d.Unreadable() != "" {
			t.Errorf("%s: %#v\nwhere the library reads\n%#v", name, d.Delivery, want)
		}
	}
}

func TestLIsDecodedAsL(t *testing.T) {
	t.Parallel()
	number := []byte{'L', 0, 0, 1, 0x9a, 0xd0, 0x3c, 0x8a, 0x80}
	h, _, err := listen(t, bytes.NewReader(message(withTable(entry("h", number), 0), nil)), 0)
	if err != nil {
		t.Fatal(err)
	}
	d := h.deliveries[0]
	d.DecodeHeaders()
	if want := (amqp.Table{"h": int64(0x19ad03c8a80)}); !reflect.DeepEqual(d.Headers, want) {
		t.Errorf("headers %v", d.Headers)
	}
}
