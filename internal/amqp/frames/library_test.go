package frames

import (
	"errors"
	"io"
	"net"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// library is the AMQP library on a connection whose other end is a script: it consumes, and reads what the test sends.
type library struct {
	broker     net.Conn
	channel    *amqp.Channel
	deliveries <-chan amqp.Delivery
	closed     chan *amqp.Error
	end        func()
}

// newLibrary starts it. wrap is what it reads through.
func newLibrary(t testing.TB, wrap func(io.Reader) io.Reader) *library {
	t.Helper()
	return newLibraryOn(t, func(here io.ReadWriteCloser) io.ReadWriteCloser {
		return struct {
			io.Reader
			io.Writer
			io.Closer
		}{wrap(here), here, here}
	})
}

// newLibraryOn starts it on what wrap makes of its end.
func newLibraryOn(t testing.TB, wrap func(io.ReadWriteCloser) io.ReadWriteCloser) *library {
	t.Helper()
	here, there := net.Pipe()
	l := &library{broker: there}
	served := make(chan struct{})
	go func() {
		defer close(served)
		l.serve()
	}()
	conn, err := amqp.Open(wrap(here), amqp.Config{SASL: []amqp.Authentication{&amqp.PlainAuth{}}, FrameSize: 128 << 10})
	if err != nil {
		t.Fatal(err)
	}
	l.closed = conn.NotifyClose(make(chan *amqp.Error, 1))
	l.channel, err = conn.Channel()
	if err == nil {
		l.deliveries, err = l.channel.Consume("queue", "tag", true, false, false, false, nil)
	}
	if err != nil {
		t.Fatal(err)
	}
	l.end = func() {
		there.Close()
		<-served
		_ = conn.Close()
	}
	return l
}

// serve answers the library until it closes.
func (l *library) serve() {
	in := codec.NewReader(l.broker)
	in.Limit(128 << 10)
	if _, err := in.ProtocolHeader(); err != nil {
		return
	}
	l.send(method(0, &codec.ConnectionStart{VersionMinor: 9, ServerProperties: everyValue(), Mechanisms: "PLAIN", Locales: "en_US"}))
	for {
		frame, err := in.ReadFrame()
		if err != nil {
			return
		}
		m, err := codec.DecodeMethod(frame.Payload)
		if frame.Type != codec.FrameMethod || err != nil {
			continue
		}
		switch m.(type) {
		case *codec.ConnectionStartOk:
			l.send(method(0, &codec.ConnectionTune{ChannelMax: 2047, FrameMax: 128 << 10}))
		case *codec.ConnectionOpen:
			l.send(method(0, &codec.ConnectionOpenOk{}))
		case *codec.ChannelOpen:
			l.send(method(frame.Channel, &codec.ChannelOpenOk{}))
		case *codec.ConfirmSelect:
			l.send(method(frame.Channel, &codec.ConfirmSelectOk{}))
		case *codec.BasicConsume:
			l.send(method(frame.Channel, &codec.BasicConsumeOk{ConsumerTag: "tag"}))
		}
	}
}

func (l *library) send(frames []byte) { _, _ = l.broker.Write(frames) }

var errNothing = errors.New("the library has said nothing for 20 s")

// next returns what the library has read, or the error on which it has ended the connection.
func (l *library) next() (amqp.Delivery, error) {
	select {
	case d, ok := <-l.deliveries:
		if ok {
			return d, nil
		}
		return d, <-l.closed
	case <-time.After(20 * time.Second):
		return amqp.Delivery{}, errNothing
	}
}

// read returns what the library makes of a message with that header payload and body.
func read(t testing.TB, wrap func(io.Reader) io.Reader, header, body []byte) (amqp.Delivery, error) {
	t.Helper()
	l := newLibrary(t, wrap)
	defer l.end()
	go l.send(message(header, body))
	return l.next()
}

func raw(r io.Reader) io.Reader     { return r }
func checked(r io.Reader) io.Reader { return New(from{r, io.Discard}) }

func method(channel uint16, m codec.Method) []byte {
	payload, err := codec.AppendMethod(nil, m)
	if err != nil {
		panic(err)
	}
	return codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: payload})
}

// message is a delivery on channel 1.
func message(header, body []byte) []byte {
	out := method(1, &codec.BasicDeliver{ConsumerTag: "tag", DeliveryTag: 1, RoutingKey: "queue"})
	out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameHeader, Channel: 1, Payload: header})
	if len(body) > 0 {
		out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameBody, Channel: 1, Payload: body})
	}
	return out
}
