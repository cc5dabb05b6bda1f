package conformance

import (
	"encoding/binary"
	"testing"
)

var (
	queueDelete       = method{50, 40}
	queueDeleteOk     = method{50, 41}
	basicConsume      = method{60, 20}
	basicConsumeOk    = method{60, 21}
	basicDeliver      = method{60, 60}
	basicAck          = method{60, 80}
	basicRecoverAsync = method{60, 100}
	confirmSelect     = method{85, 10}
	confirmSelectOk   = method{85, 11}
)

// wireFrame is the largest frame that dialWire agrees on.
const wireFrame = 8192

// wireChannel goes as far as to an open channel 1, where the messages go.
func wireChannel(t testing.TB, url string) *wire {
	t.Helper()
	w := dialWire(t, url)
	w.openChannel(1)
	return w
}

// echo makes a queue and consumes from it.
func (w *wire) echo() {
	w.t.Helper()
	w.declare(1, "q", nil)
	w.expect(1, queueDeclareOk)
	w.consume("q")
}

// consume acknowledges by itself.
func (w *wire) consume(queue string) {
	w.t.Helper()
	w.call(1, basicConsume, uint16(0), queue, "", uint8(0b10), []byte{})
	w.expect(1, basicConsumeOk)
}

// message publishes to a queue: properties are the flags and what they announce,
// nil for none, and the body goes into as few frames as it fits.
func (w *wire) message(queue string, properties, body []byte) {
	w.t.Helper()
	w.publish(1, queue)
	if properties == nil {
		properties = []byte{0, 0}
	}
	header := binary.BigEndian.AppendUint64([]byte{0, 60, 0, 0}, uint64(len(body)))
	w.frame(headerFrame, 1, append(header, properties...))
	for len(body) > 0 {
		n := min(len(body), wireFrame-8)
		w.frame(bodyFrame, 1, body[:n])
		body = body[n:]
	}
}

// content awaits a header and its bodies: the properties as they stand on the
// wire, and the sizes of the body frames.
func (w *wire) content() (properties []byte, sizes []int) {
	w.t.Helper()
	header := w.part(headerFrame)
	for left := int(binary.BigEndian.Uint64(header[4:])); left > 0; {
		n := len(w.part(bodyFrame))
		sizes = append(sizes, n)
		left -= n
	}
	return header[12:], sizes
}

func (w *wire) part(kind byte) []byte {
	w.t.Helper()
	f, ok := w.next()
	if !ok || f.kind != kind || f.channel != 1 {
		w.t.Fatalf("got frame %d on channel %d: %q; want %d on 1", f.kind, f.channel, f.payload, kind)
	}
	return f.payload
}

func (f *fields) u64() uint64 { return binary.BigEndian.Uint64(f.take(8)) }
