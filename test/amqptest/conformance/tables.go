package conformance

import (
	"bytes"
	"encoding/binary"
	"testing"
)

// tableChecks are about header tables that client libraries neither write nor read.
var tableChecks = []check{
	{"a 64-bit integer of the type L is delivered as it came by a classic queue", func(t *testing.T, target Target) {
		sameTable(t, target, "classic", long64, long64)
	}},
	{"a 64-bit integer of the type L is delivered as l by a quorum queue", func(t *testing.T, target Target) {
		sameTable(t, target, "quorum", long64, bytes.Replace(long64, []byte("L"), []byte("l"), 1))
	}},
	{"headers may be nested as deep as a frame allows", func(t *testing.T, target Target) {
		for _, prefix := range []string{"A", "\x00F"} {
			var table []byte
			for n := 800; n > 0; n-- {
				table = binary.BigEndian.AppendUint32(append(table, prefix...), uint32((n-1)*(len(prefix)+4)))
			}
			if prefix == "A" {
				table = append([]byte{0}, table...)
			}
			sameTable(t, target, "classic", table, table)
			sameTable(t, target, "quorum", table, table)
		}
	}},
	{"headers may have as many values as a frame allows", func(t *testing.T, target Target) {
		values := bytes.Repeat([]byte("V"), 8000)
		table := append(binary.BigEndian.AppendUint32([]byte("\x01kA"), uint32(len(values))), values...)
		sameTable(t, target, "classic", table, table)
		sameTable(t, target, "quorum", table, table)
	}},
	{"a value of an unknown type ends the connection", func(t *testing.T, target Target) {
		w := wireChannel(t, target.VHost(t))
		w.publish(1, "q")
		w.frame(headerFrame, 1, contentHeader([]byte("\x01kZ\x01")))
		w.refused(0, 541, "INTERNAL_ERROR...", method{})
	}},
}

var long64 = []byte("\x04wideL\x00\x00\x01\x9a\xd5\x00\x00\x01")

// contentHeader is one with a table and nothing else, of a message without a body.
func contentHeader(table []byte) []byte {
	out := append([]byte{0, 60, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 0x20, 0)
	return append(binary.BigEndian.AppendUint32(out, uint32(len(table))), table...)
}

// sameTable sends a message through a queue.
func sameTable(t *testing.T, target Target, kind string, sent, want []byte) {
	t.Helper()
	w := wireChannel(t, target.VHost(t))
	arguments := append([]byte("\x0cx-queue-typeS\x00\x00\x00"), byte(len(kind)))
	w.call(1, queueDeclare, uint16(0), "q", uint8(0b10), append(arguments, kind...))
	w.expect(1, queueDeclareOk)
	w.consume("q")
	w.publish(1, "q")
	w.frame(headerFrame, 1, contentHeader(sent))
	w.expect(1, basicDeliver)
	f, ok := w.next()
	if !ok || f.kind != headerFrame {
		t.Fatalf("no content header: frame %d %q", f.kind, f.payload)
	}
	if got := contentHeader(want); !bytes.Equal(f.payload, got) {
		t.Errorf("%s: the header came as %.100q; want %.100q", kind, f.payload, got)
	}
}
