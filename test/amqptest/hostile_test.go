package amqptest

import (
	"bytes"
	"encoding/binary"
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

// grows is by how many bytes the heap has grown after f, garbage left out.
func grows(f func()) int64 {
	measure := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := measure()
	f()
	return measure() - before
}

// These run one after the other, since they measure the memory of the process.
func TestHostileClientsCostLittleAndHarmNobody(t *testing.T) {
	const mib = 1 << 20
	b := New(t, Options{ChannelMax: 65535, RecordLimit: 100, RecordBytes: 1 << 10})
	for _, tt := range []struct {
		name  string
		limit int64
		act   func(t *testing.T) *peer // nil: the connection has ended already
	}{
		{"frame of 4 GiB", 4 * mib, func(t *testing.T) *peer {
			p := login(t, b)
			p.raw([]byte{3, 0, 1, 0xff, 0xff, 0xff, 0xff})
			p.closed(codec.FrameError)
			return nil
		}},
		{"frame above the limit before the log-in", 4 * mib, func(t *testing.T) *peer {
			p := connect(t, b)
			p.raw([]byte(protocolHeader + "\x01\x00\x00\x00\x01\x00\x00"))
			expect[*codec.ConnectionStart](p, 0)
			p.ends()
			return nil
		}},
		{"tables in tables", 4 * mib, func(t *testing.T) *peer {
			p := login(t, b)
			var table []byte
			for range 10000 {
				inner := binary.BigEndian.AppendUint32([]byte{1, 'k', 'F'}, uint32(len(table)))
				table = append(inner, table...)
			}
			payload := []byte{0, 50, 0, 10, 0, 0, 1, 'q', 0}
			payload = binary.BigEndian.AppendUint32(payload, uint32(len(table)))
			p.raw(codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: 1, Payload: append(payload, table...)}))
			expect[*codec.QueueDeclareOk](p, 1) // as RabbitMQ has it
			return p
		}},
		{"body that is announced as huge", 4 * mib, func(t *testing.T) *peer {
			p := login(t, b)
			p.raw(methodFrame(1, &codec.BasicPublish{RoutingKey: "q"}))
			p.raw(headerFrame(1, 1<<62))
			if m := expect[*codec.ChannelClose](p, 1); m.ReplyCode != codec.PreconditionFailed ||
				m.ReplyText != "PRECONDITION_FAILED - message size 4611686018427387904 is larger than configured max size 134217728" {
				t.Errorf("%+v", m)
			}
			return p
		}},
		{"body that is announced and never comes", 4 * mib, func(t *testing.T) *peer {
			p := login(t, b)
			for id := range uint16(500) {
				p.send(id+2, &codec.ChannelOpen{})
				expect[*codec.ChannelOpenOk](p, id+2)
				p.raw(methodFrame(id+2, &codec.BasicPublish{RoutingKey: "q"}))
				p.raw(headerFrame(id+2, 128*mib))
				p.raw(codec.AppendFrame(nil, codec.Frame{Type: codec.FrameBody, Channel: id + 2, Payload: []byte("x")}))
			}
			return p
		}},
		{"10,000 channels", 16 * mib, func(t *testing.T) *peer {
			p := login(t, b)
			for id := range uint16(10000) {
				p.send(id+2, &codec.ChannelOpen{})
				expect[*codec.ChannelOpenOk](p, id+2)
			}
			return p
		}},
		{"consumer that does not read", 16 * mib, func(t *testing.T) *peer {
			p, publisher := login(t, b), login(t, b)
			p.send(1, &codec.QueueDeclare{Queue: "unread", Exclusive: true})
			expect[*codec.QueueDeclareOk](p, 1)
			p.send(1, &codec.BasicConsume{Queue: "unread", NoAck: true})
			expect[*codec.BasicConsumeOk](p, 1)
			one := publishFrames(1, &codec.BasicPublish{RoutingKey: "unread"}, make([]byte, 100<<10))
			for range 200 {
				publisher.raw(one)
			}
			publisher.send(1, &codec.ConfirmSelect{})
			expect[*codec.ConfirmSelectOk](publisher, 1) // all of it has come
			if q, _ := b.Queue("/", "unread"); q.Ready < 100 {
				t.Errorf("the queue holds %d; the consumer was sent the others", q.Ready)
			}
			if _, err := b.PurgeQueue("/", "unread"); err != nil {
				t.Error(err)
			}
			return p
		}},
		{"client that asks and does not read", 16 * mib, func(t *testing.T) *peer {
			p := login(t, b)
			ask := slices.Repeat(methodFrame(1, &codec.QueueDeclare{Queue: "asked", Exclusive: true}), 1000)
			_ = p.nc.SetWriteDeadline(time.Now().Add(time.Second))
			for {
				if _, err := p.nc.Write(ask); err != nil {
					break // the broker has stopped reading
				}
			}
			return p
		}},
		{"heartbeats without end, and publishes without bodies", 16 * mib /* the record keeps 10,000 events */, func(t *testing.T) *peer {
			p := login(t, b)
			beat := codec.AppendFrame(nil, codec.Frame{Type: codec.FrameHeartbeat})
			p.raw(bytes.Repeat(beat, 100000))
			p.raw(slices.Repeat(publishFrames(1, &codec.BasicPublish{RoutingKey: "nowhere"}, nil), 10000))
			p.send(1, &codec.QueueDeclare{Queue: "after", Exclusive: true})
			expect[*codec.QueueDeclareOk](p, 1)
			return p
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var p *peer
			if n := grows(func() { p = tt.act(t) }); n > tt.limit {
				t.Errorf("took %d KiB; want %d at most", n>>10, tt.limit>>10)
			}
			serves(t, b)
			if p != nil {
				_ = p.nc.Close()
			}
		})
	}
	b.Sever()
	if n := b.receiving.Load() + b.outgoing.Load(); n != 0 {
		t.Errorf("%d bytes are reckoned that are gone", n)
	}
}

func TestChannelsAboveTheLimitEndTheConnection(t *testing.T) {
	t.Parallel()
	b := New(t, Options{})
	p := login(t, b)
	for id := uint16(2); id <= 2047; id++ {
		p.send(id, &codec.ChannelOpen{})
		expect[*codec.ChannelOpenOk](p, id)
	}
	p.send(2048, &codec.ChannelOpen{})
	p.closed(codec.NotAllowed)
	serves(t, b)
}

func TestPeerThatReadsNothingIsDroppedWhenItsHeartbeatsAreMissing(t *testing.T) {
	t.Parallel()
	b := New(t, Options{})
	p := connect(t, b)
	p.open(131072, 1)
	p.send(1, &codec.ChannelOpen{})
	expect[*codec.ChannelOpenOk](p, 1)
	p.send(1, &codec.QueueDeclare{Queue: "q"})
	expect[*codec.QueueDeclareOk](p, 1)
	p.send(1, &codec.BasicConsume{Queue: "q"})
	expect[*codec.BasicConsumeOk](p, 1)
	publisher := login(t, b)
	one := publishFrames(1, &codec.BasicPublish{RoutingKey: "q"}, make([]byte, 100<<10))
	for range 200 {
		publisher.raw(one)
	}
	patience.Eventually(t, "the peer was dropped", func() bool {
		q, _ := b.Queue("/", "q")
		return q.Ready == 200 && q.Consumers == 0
	})
}
