package frames

import (
	"io"
	"sync/atomic"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

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

// loop is a transport that says the same again and again, and takes whatever is written.
type loop struct {
	endless
	io.Writer
}

func (loop) Close() error { return nil }

// idle is a handler that counts.
type idle struct{ deliveries, confirms int }

func (h *idle) Delivered(*Delivery)          { h.deliveries++ }
func (h *idle) Returned(*Return)             {}
func (h *idle) Confirmed(uint64, bool, bool) { h.confirms++ }
func (h *idle) Canceled(string)              {}
func (h *idle) Ended(error)                  {}

// handled is a Conn on a transport that says these frames again and again, with a handler on channel 1. Each read
// takes all of them: the library gets the heartbeat after them.
func handled(frames []byte) (*Conn, *Channel, *idle) {
	frames = codec.AppendFrame(frames, codec.Frame{Type: codec.FrameHeartbeat})
	c := New(&loop{endless{frames: frames}, io.Discard})
	c.open(1)
	ch, h := c.takeOpened(), &idle{}
	ch.Handle(h)
	return c, ch, h
}

func traced() codec.Properties {
	p := properties()
	p.Headers = codec.Table{
		{Key: "traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, {Key: "tenant", Value: int64(7)},
	}
	return p
}

func bodies(size int) []byte {
	out := method(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1, RoutingKey: "queue"})
	return appendContent(out, 1, payload(traced(), size), make([]byte, size))
}

// call is what a call costs a client in properties.
func call(body int) *amqp.Publishing {
	return &amqp.Publishing{
		ContentType: "application/json", CorrelationId: "0123456789012345678901", ReplyTo: "warren-0123456789012345678901",
		DeliveryMode: 2, Expiration: "10000", Type: "warren/2;c;tm0z1c8x0", Headers: amqp.Table{"tenant": int64(7)}, Body: make([]byte, body),
	}
}

func BenchmarkDelivery(b *testing.B) {
	for _, bench := range []struct {
		name string
		body int
	}{{"64 B", 64}, {"64 KiB", 64 << 10}} {
		b.Run(bench.name, func(b *testing.B) {
			c, _, _ := handled(bodies(bench.body))
			buf := make([]byte, 4096)
			b.SetBytes(int64(bench.body))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := c.Read(buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkConfirm(b *testing.B) {
	c, ch, _ := handled(ack(1, false))
	ch.published.Store(1)
	buf := make([]byte, 4096)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := c.Read(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPublish(b *testing.B) {
	for _, bench := range []struct {
		name string
		body int
	}{{"64 B", 64}, {"64 KiB", 64 << 10}} {
		b.Run(bench.name, func(b *testing.B) {
			_, ch, _ := handled(nil)
			batch, msg := ch.NewBatch(), call(bench.body)
			b.SetBytes(int64(bench.body))
			b.ReportAllocs()
			for b.Loop() {
				if err := batch.AppendPublish("calculator.add", true, msg); err != nil {
					b.Fatal(err)
				}
				if err := ch.Write(batch); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkDecodeHeaders(b *testing.B) {
	c, ch, _ := handled(bodies(1))
	keep := &keeper{}
	ch.handler = keep
	if _, err := c.Read(make([]byte, 64)); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		keep.last.Headers = nil
		keep.last.DecodeHeaders()
	}
}

type keeper struct {
	idle
	last *Delivery
}

func (k *keeper) Delivered(d *Delivery) { k.last = d }

func TestTheHotPathDoesNotAllocate(t *testing.T) {
	buf := make([]byte, 4096)
	c, ch, _ := handled(append(ack(1, false), ack(1, true)...))
	ch.published.Store(1)
	check := func(what string, most float64, f func()) {
		t.Helper()
		if n := testing.AllocsPerRun(500, f); n > most {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	read := func() {
		if _, err := c.Read(buf); err != nil {
			t.Fatal(err)
		}
	}
	check("two confirms", 0, read)
	batch, msg, large := ch.NewBatch(), call(64), call(64<<10)
	check("a batch", 0, func() {
		for _, msg := range []*amqp.Publishing{msg, large, msg} {
			if err := batch.AppendPublish("calculator.add", true, msg); err != nil {
				t.Fatal(err)
			}
		}
		batch.AppendAck(1, true)
		if err := ch.Write(batch); err != nil {
			t.Fatal(err)
		}
	})
	c, _, h := handled(bodies(64))
	check("a delivery: its struct, its strings, its body", 3, read)
	if h.deliveries == 0 {
		t.Error("nothing was delivered")
	}
}

// BenchmarkLibrary is the same by the library alone.
func BenchmarkLibrary(b *testing.B) {
	b.Run("delivery, 64 B", func(b *testing.B) {
		var turn atomic.Bool
		again := &endless{frames: bodies(64)}
		l := newLibrary(b, func(in io.Reader) io.Reader {
			return reader(func(p []byte) (int, error) {
				if turn.Load() {
					return again.Read(p)
				}
				return in.Read(p)
			})
		})
		defer l.end()
		turn.Store(true)
		l.send(bodies(64))
		b.ReportAllocs()
		for b.Loop() {
			<-l.deliveries
		}
		turn.Store(false)
		go func() {
			for range l.deliveries { //revive:disable-line:empty-block // What is still under way.
			}
		}()
	})
	b.Run("publish, 64 B", func(b *testing.B) {
		var turn atomic.Bool
		l := newLibraryOn(b, func(here io.ReadWriteCloser) io.ReadWriteCloser {
			return struct {
				io.Reader
				io.Writer
				io.Closer
			}{here, writer(func(p []byte) (int, error) {
				if turn.Load() {
					return len(p), nil
				}
				return here.Write(p)
			}), here}
		})
		defer l.end()
		if err := l.channel.Confirm(false); err != nil {
			b.Fatal(err)
		}
		turn.Store(true)
		msg := call(64)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := l.channel.PublishWithDeferredConfirm("", "calculator.add", true, false, *msg); err != nil {
				b.Fatal(err)
			}
		}
	})
}

type reader func(p []byte) (int, error)

func (r reader) Read(p []byte) (int, error) { return r(p) }
