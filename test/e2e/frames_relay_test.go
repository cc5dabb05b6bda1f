package e2e

import (
	"fmt"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// relay passes one connection on to a broker, frame by frame, and does something at one of the boundaries between them.
type relay struct {
	near, far *net.TCPConn
	moving    sync.WaitGroup

	mu     sync.Mutex
	sent   []relayed // what the client has sent, passed on or not
	got    []relayed // what the client was sent
	opened bool      // the connection is open, and frames count
	count  int
	at     int    // the frame at which act is called
	act    func() // with mu held
	before bool   // act is called before the frame is passed on
	isCut  bool
	inject []byte              // is sent to the broker once no message is under way on a channel
	bodies map[uint16]*relayed // the message that is coming from the client, by channel
}

// relayed is a method with its content, as far as it has come.
type relayed struct {
	channel uint16
	method  codec.Method
	header  *codec.Header
	body    []byte
	passed  bool // to the other side, with all of its content
	before  bool // the connection was open when it came
}

func (r *relayed) whole() bool {
	return r.method != nil && (!codec.HasContent(r.method) || r.header != nil && uint64(len(r.body)) == r.header.BodySize)
}

// newRelay returns a relay to the broker at addr, and the client's end.
func newRelay(t testing.TB, addr string) (*relay, net.Conn) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client, err := net.Dial("tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	near, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	far, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	r := &relay{near: near.(*net.TCPConn), far: far.(*net.TCPConn), bodies: map[uint16]*relayed{}} //nolint:errcheck // They are.
	r.moving.Go(func() { r.move(r.near, r.far, true) })
	r.moving.Go(func() { r.move(r.far, r.near, false) })
	return r, client
}

// cut has nothing pass any more. Each side gets what was passed before, and then the end. The caller holds mu.
func (r *relay) cut() {
	r.isCut = true
	_ = r.near.CloseWrite()
	_ = r.far.CloseWrite()
}

// close lets go of both sides.
func (r *relay) close() {
	_ = r.near.Close()
	_ = r.far.Close()
	r.moving.Wait()
}

func (r *relay) move(from, to *net.TCPConn, fromClient bool) {
	defer func() { _ = to.CloseWrite() }()
	in := codec.NewReader(from)
	in.Limit(1 << 20)
	if fromClient {
		header, err := in.ProtocolHeader()
		if err != nil {
			return
		}
		_, _ = to.Write(header[:])
	}
	log, message := &r.got, map[uint16]*relayed{}
	if fromClient {
		log, message = &r.sent, r.bodies
	}
	for {
		frame, err := in.ReadFrame()
		if err != nil {
			return
		}
		r.mu.Lock()
		r.pass(to, frame, log, message)
		r.mu.Unlock()
	}
}

// pass takes one frame.
func (r *relay) pass(to io.Writer, frame codec.Frame, log *[]relayed, messages map[uint16]*relayed) {
	if r.opened {
		r.count++
	}
	now := r.count == r.at && r.opened
	if now && r.before {
		r.act()
	}
	m := messages[frame.Channel]
	switch frame.Type {
	case codec.FrameMethod:
		method, err := codec.DecodeMethod(frame.Payload)
		if err != nil {
			panic(fmt.Sprintf("the relay cannot read a method: %v", err))
		}
		m = &relayed{channel: frame.Channel, method: method, before: r.opened}
		messages[frame.Channel] = m
	case codec.FrameHeader:
		h, err := codec.DecodeHeader(frame.Payload)
		if err != nil {
			panic(fmt.Sprintf("the relay cannot read a header: %v", err))
		}
		m.header = &h
	case codec.FrameBody:
		m.body = append(m.body, frame.Payload...)
	case codec.FrameHeartbeat:
	}
	if !r.isCut {
		_, _ = to.Write(codec.AppendFrame(nil, frame))
	}
	if m != nil && m.whole() && frame.Type != codec.FrameHeartbeat {
		m.passed = !r.isCut
		*log = append(*log, *m)
		delete(messages, frame.Channel)
		if _, open := m.method.(*codec.ConnectionOpenOk); open {
			r.opened = true
		}
	}
	if now && !r.before {
		r.act()
	}
	if r.inject != nil && len(r.bodies) == 0 && !r.isCut {
		_, _ = r.far.Write(r.inject)
		r.inject = nil
	}
}
