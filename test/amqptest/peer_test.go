package amqptest

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// peer is a client that does as a test wants, frame by frame.
type peer struct {
	t  testing.TB
	nc net.Conn
	in *codec.Reader
}

// connect returns a peer over TCP, or over a pipe if there is no listener, that has sent nothing yet.
func connect(t testing.TB, b *Broker) *peer {
	t.Helper()
	var nc net.Conn
	var err error
	if b.listener != nil {
		nc, err = net.Dial("tcp", b.Addr())
	} else {
		nc, err = b.Dial(context.Background(), "", "")
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = nc.Close() })
	_ = nc.SetDeadline(time.Now().Add(2 * time.Hour)) // a bubble's hours are short
	p := &peer{t: t, nc: nc, in: codec.NewReader(nc)}
	p.in.Limit(1 << 20)
	return p
}

// login returns a peer on "/" that has opened channel 1.
func login(t testing.TB, b *Broker) *peer {
	t.Helper()
	p := connect(t, b)
	p.open(131072, 0)
	p.send(1, &codec.ChannelOpen{})
	expect[*codec.ChannelOpenOk](p, 1)
	return p
}

// open goes through the handshake as guest.
func (p *peer) open(frameMax uint32, heartbeat uint16) {
	p.t.Helper()
	p.raw([]byte(protocolHeader))
	expect[*codec.ConnectionStart](p, 0)
	p.send(0, &codec.ConnectionStartOk{
		Mechanism: "PLAIN", Response: "\x00guest\x00guest", Locale: "en_US",
		ClientProperties: codec.Table{{Key: "capabilities", Value: codec.Table{
			{Key: "connection.blocked", Value: true}, {Key: "consumer_cancel_notify", Value: true},
		}}},
	})
	tune := expect[*codec.ConnectionTune](p, 0)
	p.send(0, &codec.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: frameMax, Heartbeat: heartbeat})
	p.send(0, &codec.ConnectionOpen{VirtualHost: "/"})
	expect[*codec.ConnectionOpenOk](p, 0)
}

func (p *peer) raw(b []byte) {
	p.t.Helper()
	if _, err := p.nc.Write(b); err != nil {
		p.t.Fatalf("write: %v", err)
	}
}

func methodFrame(channel uint16, m codec.Method) []byte {
	payload, err := codec.AppendMethod(nil, m)
	if err != nil {
		panic(err)
	}
	return codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: payload})
}

// publishFrames is a publish with its body in one frame.
func publishFrames(channel uint16, m *codec.BasicPublish, body []byte) []byte {
	b := append(methodFrame(channel, m), headerFrame(channel, len(body))...)
	if len(body) > 0 {
		b = codec.AppendFrame(b, codec.Frame{Type: codec.FrameBody, Channel: channel, Payload: body})
	}
	return b
}

func headerFrame(channel uint16, size int) []byte {
	payload, err := codec.AppendHeader(nil, codec.Header{ClassID: 60, BodySize: uint64(size)})
	if err != nil {
		panic(err)
	}
	return codec.AppendFrame(nil, codec.Frame{Type: codec.FrameHeader, Channel: channel, Payload: payload})
}

func (p *peer) send(channel uint16, m codec.Method) {
	p.t.Helper()
	p.raw(methodFrame(channel, m))
}

// next returns the next frame that is no heartbeat.
func (p *peer) next() (codec.Frame, error) {
	for {
		f, err := p.in.ReadFrame()
		if err != nil || f.Type != codec.FrameHeartbeat {
			return f, err
		}
	}
}

// expect reads a method of this kind.
func expect[M codec.Method](p *peer, channel uint16) M {
	p.t.Helper()
	var want M
	f, err := p.next()
	if err != nil {
		p.t.Fatalf("reading: %v; want %T", err, want)
	}
	m, err := codec.DecodeMethod(f.Payload)
	if f.Type != codec.FrameMethod || err != nil {
		p.t.Fatalf("got a %v frame, %v; want %T", f.Type, err, want)
	}
	got, ok := m.(M)
	if !ok || f.Channel != channel {
		p.t.Fatalf("got %#v on channel %d; want %T on %d", m, f.Channel, want, channel)
	}
	return got
}

// content reads the header and the body after a method.
func (p *peer) content() []byte {
	p.t.Helper()
	f, err := p.next()
	if err != nil || f.Type != codec.FrameHeader {
		p.t.Fatalf("got %v, %v; want a header", f.Type, err)
	}
	h, err := codec.DecodeHeader(f.Payload)
	if err != nil {
		p.t.Fatal(err)
	}
	var body []byte
	for uint64(len(body)) < h.BodySize {
		if f, err = p.next(); err != nil || f.Type != codec.FrameBody {
			p.t.Fatalf("got %v, %v; want a body", f.Type, err)
		}
		body = append(body, f.Payload...)
	}
	return body
}

// closed expects connection.close with a code, and answers it.
func (p *peer) closed(code uint16) {
	p.t.Helper()
	if m := expect[*codec.ConnectionClose](p, 0); m.ReplyCode != code {
		p.t.Fatalf("closed with %d %s; want %d", m.ReplyCode, m.ReplyText, code)
	}
	_, _ = p.nc.Write(methodFrame(0, &codec.ConnectionCloseOk{}))
	p.ends()
}

// ends expects the end of the connection and nothing before it.
func (p *peer) ends() {
	p.t.Helper()
	f, err := p.next()
	var timeout net.Error
	if err == nil || errors.As(err, &timeout) && timeout.Timeout() {
		p.t.Fatalf("got %v, %v; want the end", f, err)
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		p.t.Fatal("the connection ends inside of a frame")
	}
}

// serves checks that the broker is in good order for another client.
func serves(t testing.TB, b *Broker) {
	t.Helper()
	p := login(t, b)
	p.send(1, &codec.QueueDeclare{Queue: "in-order", Exclusive: true})
	expect[*codec.QueueDeclareOk](p, 1)
	p.raw(publishFrames(1, &codec.BasicPublish{RoutingKey: "in-order"}, []byte("body")))
	p.send(1, &codec.BasicGet{Queue: "in-order", NoAck: true})
	expect[*codec.BasicGetOk](p, 1)
	if got := string(p.content()); got != "body" {
		t.Fatalf("got %q", got)
	}
	p.send(0, &codec.ConnectionClose{ReplyCode: 200})
	expect[*codec.ConnectionCloseOk](p, 0)
	_ = p.nc.Close()
}
