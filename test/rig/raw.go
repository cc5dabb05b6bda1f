package rig

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

// Raw is a publisher that writes its frames itself: content headers that no client library makes, and RabbitMQ takes.
// It is for one goroutine.
type Raw struct {
	conn net.Conn
	in   *codec.Reader
	tag  uint64 // of the last publish
}

// NewRaw returns a publisher in confirm mode, on channel 1, that is closed with the test.
func NewRaw(t testing.TB, settings warren.Broker) *Raw {
	t.Helper()
	settings = settings.WithDefaults()
	r, err := dialRaw(&settings)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = r.conn.Close() })
	return r
}

func dialRaw(settings *warren.Broker) (*Raw, error) {
	at, err := url.Parse(settings.URLs[0])
	if err != nil {
		return nil, errors.New("the URL cannot be parsed")
	}
	conn, err := settings.Dial(context.Background(), "tcp", at.Host)
	if err != nil {
		return nil, err
	}
	r := &Raw{conn: conn, in: codec.NewReader(conn)}
	r.in.Limit(128 << 10)
	password, _ := at.User.Password()
	vhost := "/"
	if len(at.Path) > 1 {
		vhost = at.Path[1:]
	}
	if _, err := conn.Write([]byte("AMQP\x00\x00\x09\x01")); err != nil {
		return nil, err
	}
	for _, step := range []struct {
		await codec.Method
		send  []codec.Method
	}{
		{&codec.ConnectionStart{}, []codec.Method{&codec.ConnectionStartOk{
			Mechanism: "PLAIN", Response: "\x00" + at.User.Username() + "\x00" + password, Locale: "en_US",
		}}},
		{&codec.ConnectionTune{}, []codec.Method{
			&codec.ConnectionTuneOk{ChannelMax: 10, FrameMax: 128 << 10}, &codec.ConnectionOpen{VirtualHost: vhost},
		}},
		{&codec.ConnectionOpenOk{}, []codec.Method{&codec.ChannelOpen{}}},
		{&codec.ChannelOpenOk{}, []codec.Method{&codec.ConfirmSelect{}}},
		{&codec.ConfirmSelectOk{}, nil},
	} {
		if err := r.await(step.await); err != nil {
			return nil, err
		}
		for _, m := range step.send {
			if err := r.send(m); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// Publish publishes to a queue, with that payload of the header frame, and returns when the broker has confirmed it, or
// why it has not.
func (r *Raw) Publish(queue string, header, body []byte) error {
	err := r.send(&codec.BasicPublish{RoutingKey: queue}, codec.Frame{Type: codec.FrameHeader, Payload: header},
		codec.Frame{Type: codec.FrameBody, Payload: body})
	if err != nil {
		return err
	}
	r.tag++
	return r.await(&codec.BasicAck{DeliveryTag: r.tag})
}

// send writes a method and what follows it.
func (r *Raw) send(m codec.Method, content ...codec.Frame) error {
	payload, err := codec.AppendMethod(nil, m)
	if err != nil {
		return err
	}
	var channel uint16
	if class, _ := m.ID(); class != 10 {
		channel = 1
	}
	out := codec.AppendFrame(nil, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: payload})
	for _, f := range content {
		f.Channel = channel
		out = codec.AppendFrame(out, f)
	}
	_, err = r.conn.Write(out)
	return err
}

// await reads until a method of that kind has come. Any that ends something is the error.
func (r *Raw) await(want codec.Method) error {
	if err := r.conn.SetReadDeadline(time.Now().Add(patience.Soon)); err != nil {
		return err
	}
	for {
		f, err := r.in.ReadFrame()
		if err != nil {
			return fmt.Errorf("while waiting for %s: %w", want.Name(), err)
		}
		if f.Type != codec.FrameMethod {
			continue
		}
		m, err := codec.DecodeMethod(f.Payload)
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *codec.ConnectionClose:
			return fmt.Errorf("the broker closes the connection: %d %s", m.ReplyCode, m.ReplyText)
		case *codec.ChannelClose:
			return fmt.Errorf("the broker closes the channel: %d %s", m.ReplyCode, m.ReplyText)
		case *codec.BasicNack:
			return errors.New("the broker has refused the message")
		}
		if m.Name() == want.Name() {
			return nil
		}
	}
}

// RawHeader returns the payload of a header frame with those octets as the entries of the header table, of a message
// whose body has that size.
func RawHeader(p codec.Properties, entries []byte, body int) ([]byte, error) {
	const key = "rawrawraw"
	p.Present |= codec.HasHeaders
	p.Headers = codec.Table{{Key: key}}
	out, err := codec.AppendHeader(nil, codec.Header{ClassID: 60, BodySize: uint64(body), Properties: p})
	if err != nil {
		return nil, err
	}
	placed := append([]byte{0, 0, 0, byte(len(key)) + 2, byte(len(key))}, key+"V"...)
	table := append(binary.BigEndian.AppendUint32(nil, uint32(len(entries))), entries...)
	return bytes.Replace(out, placed, table, 1), nil
}
