package frames

import (
	"bytes"
	"encoding/binary"
	"io"
	"reflect"
	"testing"
	"testing/iotest"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

func TestWhatTheLibraryReadsPassesUntouched(t *testing.T) {
	t.Parallel()
	for name, header := range map[string][]byte{
		"no property":     payload(codec.Properties{}, 4),
		"every property":  payload(properties(), 4),
		"lists, 32 deep":  withTable(entry("h", lists(32)), 4),
		"tables, 32 deep": withTable(entry("h", tables(32)), 4),
		"8192 values":     withTable(entry("h", voids(8192)), 4),
		"8192 entries":    withTable(entries(8192), 4),
		"an empty table":  withTable(nil, 4),
		"one string":      withTable(entry("h", append([]byte{'S'}, long(make([]byte, 100_000))...)), 4),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			frames := message(header, []byte("body"))
			out, err := io.ReadAll(checked(bytes.NewReader(frames)))
			if err != nil || !bytes.Equal(out, frames) {
				t.Fatalf("%v; the frames have changed: %d octets, %d before", err, len(out), len(frames))
			}
			if _, err := read(t, raw, header, []byte("body")); err != nil {
				t.Errorf("the library itself cannot read it: %v", err)
			}
		})
	}
}

func TestWhatTheLibraryCannotReadIsMarked(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		header []byte
		flaw   string
	}{
		"lists, 33 deep":         {withTable(entry("h", lists(33)), 4), tooDeep},
		"lists, 20,000 deep":     {withTable(entry("h", lists(20_000)), 4), tooDeep},
		"tables, 33 deep":        {withTable(entry("h", tables(33)), 4), tooDeep},
		"8193 values":            {withTable(entry("h", voids(8193)), 4), tooMany},
		"8193 values, in a list": {withTable(entry("h", append([]byte{'A'}, long(voids(8193))...)), 4), tooMany},
		"8193 entries":           {withTable(entries(8193), 4), tooMany},
		"unknown type":           {withTable(entry("h", []byte{'Z', 1}), 4), unknownType},
		"a short value":          {withTable(entry("h", []byte{'l', 1}), 4), malformed},
		"a long string":          {withTable(entry("h", []byte{'S', 0, 0, 0, 9}), 4), malformed},
		"a long table":           {withTable(entry("h", []byte{'F', 0xff, 0xff, 0xff, 0xff}), 4), malformed},
		"a key alone":            {withTable([]byte{1, 'h'}, 4), malformed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := read(t, raw, test.header, []byte("body")); err == nil {
				t.Error("the library itself can read it")
			}
			d, err := read(t, checked, test.header, []byte("body"))
			if err != nil {
				t.Fatal(err)
			}
			if why := d.Headers[Mark]; why != test.flaw {
				t.Errorf("marked as %v", why)
			}
			want, err := read(t, raw, payload(properties(), 4), []byte("body"))
			if err != nil {
				t.Fatal(err)
			}
			if string(d.Body) != "body" || !equalButHeaders(d, want) {
				t.Errorf("the rest of the message is %+v", d)
			}
		})
	}
}

func TestLIsReadAsL(t *testing.T) {
	t.Parallel()
	number := binary.BigEndian.AppendUint64([]byte{'L'}, 1764490000000)
	inner := append([]byte{'A'}, long(append([]byte("F"), long(entry("k", number))...))...)
	d, err := read(t, checked, withTable(append(entry("h", number), entry("nested", inner)...), 0), nil)
	if err != nil {
		t.Fatal(err)
	}
	want := amqp.Table{"h": int64(1764490000000), "nested": []any{amqp.Table{"k": int64(1764490000000)}}}
	if !reflect.DeepEqual(d.Headers, want) {
		t.Errorf("headers %v", d.Headers)
	}
}

// A header that was truncated keeps nothing but the size of the body.
func TestTruncatedPropertiesAreLost(t *testing.T) {
	t.Parallel()
	l := newLibrary(t, checked)
	defer l.end()
	whole := payload(properties(), 4)
	for n := fixedSize; n < len(whole); n++ {
		go l.send(message(whole[:n], []byte("body")))
		if d, err := l.next(); err != nil || string(d.Body) != "body" || d.Headers[Mark] == nil {
			t.Fatalf("%d octets: %+v, %v", n, d, err)
		}
	}
}

func TestHeadersAboveAFrameAreMarked(t *testing.T) {
	t.Parallel()
	big := entry("h", append([]byte{'S'}, long(make([]byte, 5<<20))...))
	late := withTable(big, 4)
	for name, test := range map[string]struct {
		header []byte
		keeps  bool
	}{
		"with properties on both sides": {late, true},
		"the table's length is wrong":   {bytes.Replace(late, long(big)[:4], []byte{1, 2, 3, 4}, 1), false},
		"no table, but very long":       {append(payload(codec.Properties{}, 4), make([]byte, 200_000)...), false},
		"truncated":                     {late[:len(late)-3], false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d, err := read(t, checked, test.header, []byte("body"))
			if err != nil || string(d.Body) != "body" || d.Headers[Mark] != tooLarge {
				t.Fatalf("%+v, %v", d, err)
			}
			if _, dead := d.Headers[death]; !dead {
				t.Error("nothing says that the message may have been delivered before")
			}
			if kept := d.CorrelationId == "id" && d.ContentType == "text/plain" && d.Type == "type"; kept != test.keeps {
				t.Errorf("keeps the properties: %v", kept)
			}
		})
	}
}

func TestMarkedMessagesSayThatTheyWereDeadLettered(t *testing.T) {
	t.Parallel()
	deep := entry("h", lists(33))
	for name, test := range map[string]struct {
		entries []byte
		says    bool
	}{
		"never":     {deep, false},
		"before":    {append(entry(death, []byte{'V'}), deep...), true},
		"after":     {append(bytes.Clone(deep), entry(death, []byte{'V'})...), true},
		"who knows": {entry("h", []byte{'Z'}), true},
	} {
		d, err := read(t, checked, withTable(test.entries, 0), nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, says := d.Headers[death]; says != test.says {
			t.Errorf("%s: %v", name, d.Headers)
		}
	}
}

// Frames come in any pieces, and leave in any.
func TestFramesMayBeSplitAnywhere(t *testing.T) {
	t.Parallel()
	frames := method(0, &codec.ConnectionStart{ServerProperties: everyValue()})
	frames = append(frames, message(payload(properties(), 3000), make([]byte, 3000))...)
	frames = append(frames, message(withTable(entry("h", lists(33)), 1), []byte("x"))...)
	frames = codec.AppendFrame(frames, codec.Frame{Type: codec.FrameHeartbeat})
	frames = append(frames, message(withTable(entry("h", append([]byte{'S'}, long(make([]byte, 5000))...)), 1), []byte("y"))...)
	read := func(in, out func(io.Reader) io.Reader) string {
		c := New(from{in(bytes.NewReader(frames)), io.Discard})
		c.agree(codec.MinFrameSize)
		got, err := io.ReadAll(out(c))
		if err != nil {
			t.Fatal(err)
		}
		return string(got)
	}
	want := read(raw, raw)
	if len(want) == len(frames) {
		t.Fatal("nothing was marked")
	}
	pieces := []func(io.Reader) io.Reader{raw, iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader}
	for i, in := range pieces {
		for j, out := range pieces {
			if got := read(in, out); got != want {
				t.Errorf("in pieces %d, out %d: the frames differ", i, j)
			}
		}
	}
}

// equalButHeaders compares the properties of two deliveries.
func equalButHeaders(a, b amqp.Delivery) bool {
	for _, d := range []*amqp.Delivery{&a, &b} {
		d.Headers, d.Acknowledger = nil, nil
	}
	return reflect.DeepEqual(a, b)
}
