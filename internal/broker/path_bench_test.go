package broker

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/internal/amqp/frames"
)

// quick is a broker that does as little as it can: it confirms publishes, and delivers
// the same message again and again, so many times in advance of the acknowledgements.
type quick struct {
	conn    net.Conn
	advance uint64 // 0: it delivers nothing
	out     []byte

	published, confirmed, delivered, acked uint64
	channel                                uint16
	message                                []byte // a delivery; its tag stands at tagAt
	tagAt                                  int
}

// serve reads until the connection ends, and answers whenever there is nothing to read.
func (q *quick) serve() {
	in := bufio.NewReaderSize(q.conn, 64<<10)
	if _, err := io.ReadFull(in, make([]byte, 8)); err != nil {
		return
	}
	q.method(0, &codec.ConnectionStart{VersionMajor: 0, VersionMinor: 9, Mechanisms: "PLAIN", Locales: "en_US"})
	head, payload := make([]byte, 7), make([]byte, 256<<10)
	for {
		if in.Buffered() == 0 && !q.flush() {
			return
		}
		if _, err := io.ReadFull(in, head); err != nil {
			return
		}
		size := int(binary.BigEndian.Uint32(head[3:])) + 1
		if _, err := io.ReadFull(in, payload[:size]); err != nil {
			return
		}
		if codec.FrameType(head[0]) == codec.FrameMethod {
			q.answer(binary.BigEndian.Uint16(head[1:]), payload[:size-1])
		}
	}
}

func (q *quick) method(channel uint16, m codec.Method) {
	payload, err := codec.AppendMethod(nil, m)
	if err != nil {
		panic(err)
	}
	q.out = codec.AppendFrame(q.out, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: payload})
}

func (q *quick) answer(channel uint16, method []byte) {
	switch binary.BigEndian.Uint32(method) {
	case 10<<16 | 11: // start-ok
		q.method(channel, &codec.ConnectionTune{ChannelMax: 2047, FrameMax: 128 << 10})
	case 10<<16 | 40:
		q.method(channel, &codec.ConnectionOpenOk{})
	case 10<<16 | 50:
		q.method(channel, &codec.ConnectionCloseOk{})
	case 20<<16 | 10:
		q.method(channel, &codec.ChannelOpenOk{})
	case 20<<16 | 40:
		q.method(channel, &codec.ChannelCloseOk{})
	case 85<<16 | 10:
		q.method(channel, &codec.ConfirmSelectOk{})
	case 60<<16 | 10:
		q.method(channel, &codec.BasicQosOk{})
	case 60<<16 | 20:
		q.method(channel, &codec.BasicConsumeOk{ConsumerTag: "1"})
		q.prepare(channel)
	case 60<<16 | 40: // publish
		q.channel = channel
		q.published++
	case 60<<16 | 80: // ack
		q.acked = binary.BigEndian.Uint64(method[4:])
	}
}

// prepare begins to deliver on a channel.
func (q *quick) prepare(channel uint16) {
	deliver := &codec.BasicDeliver{ConsumerTag: "1", RoutingKey: "echo"}
	method, _ := codec.AppendMethod(nil, deliver)
	header, _ := codec.AppendHeader(nil, codec.Header{ClassID: 60, BodySize: 64, Properties: codec.Properties{
		Present:       codec.HasCorrelationID | codec.HasReplyTo | codec.HasType,
		CorrelationID: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Type: "warren/1;k=call",
		ReplyTo: "warren.reply.6ba7b810-9dad-11d1-80b4-00c04fd430c8",
	}})
	q.message = codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: method})
	q.message = codec.AppendFrame(q.message, codec.Frame{Type: codec.FrameHeader, Channel: channel, Payload: header})
	q.message = codec.AppendFrame(q.message, codec.Frame{Type: codec.FrameBody, Channel: channel, Payload: make([]byte, 64)})
	q.tagAt = 7 + 4 + 2 // in the first frame
}

// flush sends what is due, and reports whether it could.
func (q *quick) flush() bool {
	if q.confirmed < q.published {
		q.confirmed = q.published
		q.out = append(q.out, 1, byte(q.channel>>8), byte(q.channel), 0, 0, 0, 13, 0, 60, 0, 80)
		q.out = binary.BigEndian.AppendUint64(q.out, q.confirmed)
		q.out = append(q.out, 1, 0xCE)
	}
	for q.message != nil && q.delivered-q.acked < q.advance {
		q.delivered++
		binary.BigEndian.PutUint64(q.message[q.tagAt:], q.delivered)
		q.out = append(q.out, q.message...)
	}
	_, err := q.conn.Write(q.out)
	q.out = q.out[:0]
	return err == nil
}

// quickly serves a component on a connection with a quick broker, by sockets.
func quickly(b *testing.B, q *quick, component Component) {
	b.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	defer listener.Close()
	here, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	if q.conn, err = listener.Accept(); err != nil {
		b.Fatal(err)
	}
	var running sync.WaitGroup
	running.Go(q.serve)
	c := &connection{sock: newSocket(here, time.Minute)}
	c.frames = frames.New(c.sock)
	if c.conn, err = amqp.Open(c.frames, amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{}}, Vhost: "/"}); err != nil {
		b.Fatal(err)
	}
	session := newSession(1, c, func(bool, string) {})
	ctx, stop := context.WithCancel(context.Background())
	running.Go(func() { component.Serve(ctx, session) })
	b.Cleanup(func() {
		session.Kill(errBroken)
		stop()
		q.conn.Close()
		running.Wait()
	})
}

// again is a Sink that publishes its message again until it has been confirmed often
// enough.
type again struct {
	p    *Publisher
	item Publishing
	left *atomic.Int64
	done *sync.WaitGroup
}

func (*again) Writing(time.Time, *amqp.Publishing) bool { return true }

func (a *again) Settled(Result, error) {
	if a.left.Add(-1) < 0 {
		a.done.Done()
		return
	}
	a.item.state.Store(queued)
	_ = a.p.Publish(&a.item)
}

// From Publish to the confirm.
func BenchmarkPublish(b *testing.B) {
	for _, n := range []int{1, 16, 256} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			p := newPublisher()
			quickly(b, &quick{}, p)
			for up, changed, _ := p.Up().Get(); !up; up, changed, _ = p.Up().Get() {
				<-changed
			}
			var left atomic.Int64
			var done sync.WaitGroup
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			for range n {
				a := &again{p: p, left: &left, done: &done}
				a.item = Publishing{Key: "echo", Mandatory: true, Sink: a, Msg: amqp.Publishing{
					CorrelationId: "6ba7b810-9dad-11d1-80b4-00c04fd430c8", Type: "warren/1;k=call", Body: make([]byte, 64),
					ReplyTo: "warren.reply.6ba7b810-9dad-11d1-80b4-00c04fd430c8",
				}}
				done.Add(1)
				a.Settled(Acked, nil)
			}
			done.Wait()
		})
	}
}

// From the delivery to its acknowledgement.
func BenchmarkConsume(b *testing.B) {
	for _, inline := range []bool{false, true} {
		for _, n := range []int{1, 16, 256} {
			b.Run(fmt.Sprintf("inline=%v/%d", inline, n), func(b *testing.B) {
				var left atomic.Int64
				done := make(chan struct{})
				left.Store(int64(b.N))
				c := NewConsumer(ConsumerConfig{
					Name: "q", Declare: func(*Session) (string, error) { return "q", nil }, Prefetch: n, Workers: n, Inline: inline,
					Logger: silent, Handle: func(d Delivery) {
						d.Ack(nil)
						if left.Add(-1) == 0 {
							close(done)
						}
					},
				})
				b.ReportAllocs()
				b.ResetTimer()
				quickly(b, &quick{advance: uint64(n)}, c)
				<-done
			})
		}
	}
}
