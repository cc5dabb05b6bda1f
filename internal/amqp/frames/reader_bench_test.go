package frames

import (
	"bytes"
	"io"
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// endless repeats the same frames.
type endless struct {
	frames []byte
	at     int
}

func (e *endless) Read(p []byte) (int, error) {
	n := copy(p, e.frames[e.at:])
	e.at = (e.at + n) % len(e.frames)
	return n, nil
}

func traced() codec.Properties {
	p := properties()
	p.Headers = codec.Table{
		{Key: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, {Key: "tenant", Value: int64(7)},
	}
	return p
}

func BenchmarkRead(b *testing.B) {
	plain := properties()
	plain.Present &^= codec.HasHeaders
	for _, bench := range []struct {
		name   string
		header []byte
		body   int
	}{
		{"no table", payload(plain, 64), 64},
		{"small table", payload(traced(), 64), 64},
		{"large body", payload(plain, 100<<10), 100 << 10},
	} {
		b.Run(bench.name, func(b *testing.B) {
			frames := message(bench.header, make([]byte, bench.body))
			r := NewReader(&endless{frames: frames})
			buf := make([]byte, 64<<10)
			b.SetBytes(int64(len(frames)))
			b.ReportAllocs()
			for b.Loop() {
				for left := len(frames); left > 0; {
					n, err := r.Read(buf[:min(left, len(buf))])
					if err != nil {
						b.Fatal(err)
					}
					left -= n
				}
			}
		})
	}
}

func TestFramesThatPassCostNoAllocation(t *testing.T) {
	frames := message(payload(traced(), 64), make([]byte, 64))
	frames = append(frames, message(payload(properties(), 9000), make([]byte, 9000))...)
	r := NewReader(&endless{frames: frames})
	buf := make([]byte, len(frames))
	if n := testing.AllocsPerRun(1000, func() {
		if _, err := io.ReadFull(r, buf); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations for a pair of messages", n)
	}
	if !bytes.Equal(buf, frames) {
		t.Error("the frames have changed")
	}
}
