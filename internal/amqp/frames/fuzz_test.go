package frames

import (
	"bytes"
	"fmt"
	"io"
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
		copy(header[4:], "\x00\x00\x00\x00\x00\x00\x00\x04") // the library waits for as much
		d, err := read(t, checked, bytes.Clone(header), body)
		if err != nil || string(d.Body) != "body" {
			t.Fatalf("%+v, %v", d, err)
		}
		before, err := read(t, raw, header, body)
		if why := d.Headers[Mark]; why != nil && err != nil {
			return // it was unreadable
		} else if why == malformed || err != nil {
			// Not AMQP; or made readable, of which the codec is the judge.
			h, decodeErr := codec.DecodeHeader(header)
			if (decodeErr == nil) == (why == malformed) && h.Properties.Present&3 == 0 {
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

// FuzzFrames feeds anything, in any pieces. Frames that need no change come out as they went in.
func FuzzFrames(f *testing.F) {
	f.Add(message(payload(properties(), 4), []byte("body")), 7)
	f.Add(message(withTable(entry("h", lists(40)), 4), []byte("body")), 1)
	f.Add([]byte("AMQP\x00\x00\x09\x01"), 3)
	f.Add([]byte{2, 0, 1, 0xff, 0xff, 0xff, 0xff, 0, 60, 0, 0}, 100)
	f.Fuzz(func(t *testing.T, frames []byte, piece int) {
		r := NewReader(&pieces{rest: bytes.Clone(frames), size: max(piece, 1)})
		r.Limit(codec.MinFrameSize)
		out, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		again, err := io.ReadAll(NewReader(bytes.NewReader(out)))
		if err != nil || !bytes.Equal(again, out) {
			t.Errorf("%v; what was made readable is changed again", err)
		}
	})
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
