package chaos

import (
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"strings"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/chaos/workload"
)

// plainPeer publishes messages whose headers no library would write. It is used by
// one goroutine.
type plainPeer struct {
	nc net.Conn
	in *codec.Reader
}

// plainPeerWithin bounds all that a plain peer does.
const plainPeerWithin = 2 * time.Second

// dialPlain returns a peer with channel 1 open, on which publishes are confirmed.
func dialPlain(ctx context.Context, addr string) (p *plainPeer, err error) {
	dialer := net.Dialer{Timeout: plainPeerWithin}
	nc, err := dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	_ = nc.SetDeadline(time.Now().Add(plainPeerWithin))
	p = &plainPeer{nc, codec.NewReader(nc)}
	p.in.Limit(frameMax)
	login := "\x00" + workload.User + "\x00" + workload.User
	_, err = nc.Write([]byte("AMQP\x00\x00\x09\x01"))
	for _, turn := range [][]codec.Method{ // each follows a word of the broker's
		{&codec.ConnectionStartOk{Mechanism: "PLAIN", Response: login, Locale: "en_US"}},
		{&codec.ConnectionTuneOk{ChannelMax: 1, FrameMax: frameMax}, &codec.ConnectionOpen{VirtualHost: "/"}},
		{&codec.ChannelOpen{}},
		{&codec.ConfirmSelect{}},
		nil,
	} {
		if err == nil {
			_, err = p.in.ReadFrame()
		}
		for _, m := range turn {
			if err == nil {
				err = p.say(m)
			}
		}
	}
	if err != nil {
		_ = nc.Close()
		return nil, fmt.Errorf("a plain peer: %w", err)
	}
	return p, nil
}

func (p *plainPeer) say(m codec.Method) error {
	payload, err := codec.AppendMethod(nil, m)
	if err != nil {
		return err
	}
	channel := uint16(1)
	switch m.(type) {
	case *codec.ConnectionStartOk, *codec.ConnectionTuneOk, *codec.ConnectionOpen:
		channel = 0
	}
	_, err = p.nc.Write(codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: payload}))
	return err
}

// message is what a plain peer publishes.
type message struct {
	queue, correlationID, replyTo, typ string
	headers                            []byte // the table's, as they go over the wire
	body                               string
}

// publish publishes a message, and waits until the broker has it.
func (p *plainPeer) publish(m message) error {
	if err := p.say(&codec.BasicPublish{RoutingKey: m.queue}); err != nil {
		return err
	}
	short := func(b []byte, s string) []byte { return append(append(b, byte(len(s))), s...) }
	flags := codec.HasContentType | codec.HasHeaders | codec.HasDeliveryMode | codec.HasCorrelationID | codec.HasType | codec.HasUserID
	if m.replyTo != "" {
		flags |= codec.HasReplyTo
	}
	h := []byte{0, 60, 0, 0} // the class of messages, and a weight of 0
	h = binary.BigEndian.AppendUint64(h, uint64(len(m.body)))
	h = binary.BigEndian.AppendUint16(h, uint16(flags))
	h = short(h, "application/json")
	h = append(binary.BigEndian.AppendUint32(h, uint32(len(m.headers))), m.headers...)
	h = append(h, 2) // persistent
	h = short(h, m.correlationID)
	if m.replyTo != "" {
		h = short(h, m.replyTo)
	}
	h = short(short(h, m.typ), workload.User)
	frames := codec.AppendFrame(nil, codec.Frame{Type: codec.FrameHeader, Channel: 1, Payload: h})
	frames = codec.AppendFrame(frames, codec.Frame{Type: codec.FrameBody, Channel: 1, Payload: []byte(m.body)})
	if _, err := p.nc.Write(frames); err != nil {
		return err
	}
	f, err := p.in.ReadFrame()
	if err != nil {
		return err
	}
	answer, err := codec.DecodeMethod(f.Payload)
	if err != nil {
		return err
	}
	if _, is := answer.(*codec.BasicAck); !is {
		return fmt.Errorf("a plain peer was told %+v", answer)
	}
	return nil
}

func (p *plainPeer) close() { _ = p.nc.Close() }

// unreadable are tables of headers that RabbitMQ passes on, and that amqp091-go
// cannot decode, or does not.
var unreadable = map[string][]byte{
	"an integer of type L":   entry("n", 'L', make([]byte, 8)),
	"40 lists in each other": entry("n", 'A', nested(40, func(inner []byte) []byte { return append([]byte{'A'}, long(inner)...) })),
	"34 tables in each other": entry("n", 'F', nested(34, func(inner []byte) []byte {
		return append([]byte("\x01nF"), long(inner)...)
	})),
	"9,000 values": entry("n", 'A', []byte(strings.Repeat("V", 9000))),
}

// entry is a value by its name. What has a type of its own length has that before it.
func entry(name string, kind byte, value []byte) []byte {
	if kind != 'L' {
		value = long(value)
	}
	return append(append(append([]byte{byte(len(name))}, name...), kind), value...)
}

func long(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

// nested wraps nothing so many times.
func nested(depth int, wrap func([]byte) []byte) (b []byte) {
	for range depth - 1 {
		b = wrap(b)
	}
	return b
}
