package frames

import (
	"bytes"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// FuzzHeader gives the library any header that can stand in a frame. It must be able to read what comes out, and
// whatever it could read before must mean the same, as long as it is AMQP: the library takes a value that is cut short
// for the end of a list, and anything after the last property.
func FuzzHeader(f *testing.F) {
	for _, table := range [][]byte{
		nil, entry("h", lists(32)), entry("h", lists(33)), entry("h", tables(33)), entry("h", voids(8193)), entries(8193),
		entry("h", append([]byte{'L'}, make([]byte, 8)...)), entry("h", []byte{'Z'}), {1, 'h', 'A', 0, 0, 0, 1, 'I'},
		entry(Mark, append([]byte{'S'}, long([]byte("forged"))...)),
	} {
		f.Add(withTable(table, 4))
	}
	f.Add(payload(codec.Properties{}, 4))
	f.Fuzz(func(t *testing.T, header []byte) {
		if len(header) < fixedSize || len(header) > 100_000 {
			return
		}
		body := []byte("body")
		if header[fixedSize-1]&3 != 0 {
			return // flags of no property, which only the codec minds, as it does a weight
		}
		copy(header, "\x00\x3c\x00\x00")
		copy(header[4:], "\x00\x00\x00\x00\x00\x00\x00\x04") // the library waits for as much
		d, err := read(t, checked, bytes.Clone(header), body)
		if err != nil || string(d.Body) != "body" {
			t.Fatalf("%+v, %v", d, err)
		}
		before, err := read(t, raw, header, body)
		if why := d.Headers[Mark]; why != nil && err != nil || why == tooMany {
			return // it was unreadable, or has many entries with few keys
		} else if why == malformed || err != nil {
			// Not AMQP; or made readable, of which the codec is the judge.
			_, decodeErr := codec.DecodeHeader(header)
			if decodeErr != nil && strings.Contains(decodeErr.Error(), "left over") {
				return // after the last property, as is taken here and by the library
			}
			if (decodeErr == nil) == (why == malformed) {
				t.Fatalf("%v, but to the codec the header is %v", why, decodeErr)
			}
			return
		}
		d.Acknowledger, before.Acknowledger = nil, nil
		if normal(d) != normal(before) {
			t.Errorf("%+v\nhas become\n%+v", before, d)
		}
	})
}

// FuzzFrames feeds anything, in any pieces. What comes out is the same however it is cut, and what the library gets is
// not changed again.
func FuzzFrames(f *testing.F) {
	f.Add(message(payload(properties(), 4), []byte("body")), 7)
	f.Add(message(withTable(entry("h", lists(40)), 4), []byte("body")), 1)
	f.Add([]byte("AMQP\x00\x00\x09\x01"), 3)
	f.Add([]byte{2, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 60, 0, 0}, 100)
	f.Add(everything(), 4096)
	f.Add(returned(1), 1)
	f.Fuzz(func(t *testing.T, frames []byte, piece int) {
		handled, out := hear(t, &pieces{rest: bytes.Clone(frames), size: max(piece, 1)})
		if again, same := hear(t, bytes.NewReader(frames)); !slices.Equal(again, handled) || !bytes.Equal(same, out) {
			t.Errorf("%q in pieces of %d, else %q", handled, piece, again)
		}
		passed, _ := pass(frames)
		if again, err := pass(passed); err == nil && !bytes.Equal(again, passed) {
			t.Error("what was made readable is changed again")
		}
	})
}

// hear returns what a handler is told of a stream, and what the library gets.
func hear(t *testing.T, in io.Reader) (events []string, out []byte) {
	t.Helper()
	c, h := New(from{in, io.Discard}), newTold()
	c.agree(16 << 10)
	c.open(1)
	ch := c.takeOpened()
	ch.Handle(h)
	ch.published.Store(1000)
	out, err := io.ReadAll(c)
	for _, d := range h.deliveries {
		d.DecodeHeaders()
		if d.Unreadable() != "" && len(d.Headers) > 1 {
			t.Errorf("unreadable, with headers %v", d.Headers)
		}
	}
	if n := len(h.events); n == 0 || !strings.HasPrefix(h.events[n-1], "ended") {
		t.Errorf("reading ended with %v, the handler was told %q", err, h.events)
	}
	return h.events, out
}

// pass returns what the library gets of a stream without a handler.
func pass(frames []byte) ([]byte, error) {
	c := New(from{bytes.NewReader(frames), io.Discard})
	c.agree(16 << 10)
	return io.ReadAll(c)
}

type pieces struct {
	rest []byte
	size int
}

func (p *pieces) Read(b []byte) (int, error) {
	if len(p.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), p.size)], p.rest)
	p.rest = p.rest[n:]
	return n, nil
}

// normal is a delivery that can be compared: NaN equals itself.
func normal(d amqp.Delivery) string { return fmt.Sprintf("%#v", d) }
