package amqptest

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

// The ways in which FuzzConnection uses its input.
const (
	fuzzFromTheStart = iota // as all that the client sends
	fuzzAfterLogin          // as what it sends on an open connection
	fuzzMethods             // to choose methods and their arguments, which are well-formed
	fuzzWays
)

// FuzzConnection demands of a connection, whatever a client sends: that it ends when the client goes, that all it sent
// were whole frames with methods that can be read, that nothing is left of it, and that others are served.
func FuzzConnection(f *testing.F) {
	f.Add(uint8(fuzzFromTheStart), []byte(protocolHeader))
	f.Add(uint8(fuzzFromTheStart), []byte("AMQP\x00\x01\x00\x00"))
	f.Add(uint8(fuzzFromTheStart), append([]byte(protocolHeader), methodFrame(0, &codec.ConnectionStartOk{
		Mechanism: "AMQPLAIN", Response: "\x05LOGINS\x00\x00\x00\x05guest\x08PASSWORDS\x00\x00\x00\x05guest",
	})...))
	f.Add(uint8(fuzzAfterLogin), append(methodFrame(1, &codec.QueueDeclare{Queue: "q"}),
		publishFrames(1, &codec.BasicPublish{RoutingKey: "q", Mandatory: true}, []byte("body"))...))
	f.Add(uint8(fuzzAfterLogin), methodFrame(0, &codec.ConnectionClose{}))
	for i := range fuzzTemplates {
		f.Add(uint8(fuzzMethods), []byte{byte(i), 1, 0, 1, 2, 3, 4, 5, 6, 7, byte(len(fuzzTemplates) - 1), 1, 9, 9, 9, 9})
	}
	f.Fuzz(func(t *testing.T, way uint8, data []byte) {
		b, err := Start(Options{Listen: "none", MemoryLimit: 64 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			_ = b.Close()
			if n := b.receiving.Load() + b.outgoing.Load(); n != 0 {
				t.Errorf("%d bytes are reckoned that are gone", n)
			}
		}()
		p := connect(t, b)
		if way%fuzzWays != fuzzFromTheStart {
			p.open(8192, 0)
			p.send(1, &codec.ChannelOpen{})
			expect[*codec.ChannelOpenOk](p, 1)
		}
		read := make(chan error, 1)
		go func() { read <- p.readAll(way%fuzzWays == fuzzFromTheStart) }()
		if way%fuzzWays == fuzzMethods {
			data = fuzzScript(data)
		}
		_ = p.nc.SetWriteDeadline(time.Now().Add(patience.Soon))
		_, err = p.nc.Write(data)
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			t.Fatal("the broker neither reads nor hangs up")
		}
		serves(t, b)
		// What is under way gets its end: a close that is answered, or the end of the pipe.
		_ = p.nc.Close()
		if err := <-read; err != nil {
			t.Error(err)
		}
		patience.Eventually(t, "the connection has ended", func() bool { return len(b.Connections()) == 0 })
		serves(t, b)
	})
}

// readAll checks all that the broker sends.
func (p *peer) readAll(protocolToo bool) error {
	if protocolToo {
		// Either start or the header that the broker would like.
		head := make([]byte, 8)
		if n, _ := io.ReadFull(p.nc, head); n < len(head) {
			return nil // no whole header has come from the client
		}
		if string(head) == protocolHeader {
			return nil
		}
		p.in = codec.NewReader(io.MultiReader(strings.NewReader(string(head)), p.nc))
		p.in.Limit(1 << 20)
	}
	for {
		f, err := p.in.ReadFrame()
		if err == nil && f.Type == codec.FrameMethod {
			_, err = codec.DecodeMethod(f.Payload)
		}
		if _, refused := errors.AsType[*codec.Error](err); refused {
			return err
		}
		if err != nil {
			return nil //nolint:nilerr // the end of the connection
		}
	}
}

// fuzzTemplates are the methods that a client may send, and a few that it may not.
var fuzzTemplates = []codec.Method{
	&codec.ChannelOpen{}, &codec.ChannelFlow{}, &codec.ChannelClose{}, &codec.ChannelCloseOk{},
	&codec.ExchangeDeclare{}, &codec.ExchangeDelete{}, &codec.ExchangeBind{}, &codec.ExchangeUnbind{},
	&codec.QueueDeclare{}, &codec.QueueBind{}, &codec.QueueUnbind{}, &codec.QueuePurge{}, &codec.QueueDelete{},
	&codec.BasicQos{}, &codec.BasicConsume{}, &codec.BasicCancel{}, &codec.BasicGet{}, &codec.BasicAck{}, &codec.BasicNack{},
	&codec.BasicReject{}, &codec.BasicRecover{}, &codec.BasicRecoverAsync{}, &codec.ConfirmSelect{}, &codec.TxSelect{},
	&codec.ConnectionClose{}, &codec.ConnectionCloseOk{}, &codec.ConnectionUpdateSecret{}, &codec.ConnectionOpen{},
	&codec.BasicDeliver{}, &codec.QueueDeclareOk{}, &codec.BasicPublish{},
}

// fuzzScript turns an input into frames: for each method one octet, one for the channel, and what its fields take.
func fuzzScript(data []byte) []byte {
	in := &fuzzInput{data}
	var out []byte
	for len(in.rest) > 0 && len(out) < 1<<20 {
		template := fuzzTemplates[int(in.octet())%len(fuzzTemplates)]
		channel := uint16(in.octet() % 4)
		m, _ := reflect.TypeAssert[codec.Method](reflect.New(reflect.TypeOf(template).Elem()))
		in.fill(reflect.ValueOf(m).Elem())
		payload, err := codec.AppendMethod(nil, m)
		if err != nil {
			continue
		}
		out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameMethod, Channel: channel, Payload: payload})
		if _, ok := m.(*codec.BasicPublish); ok {
			out = in.content(out, channel)
		}
	}
	return out
}

type fuzzInput struct{ rest []byte }

func (in *fuzzInput) octet() byte {
	if len(in.rest) == 0 {
		return 0
	}
	b := in.rest[0]
	in.rest = in.rest[1:]
	return b
}

var fuzzWords = []string{
	"q", "", "e", "amq.direct", "amq.topic", "amq.rabbitmq.reply-to", "direct", "topic", "fanout", "headers", "a.b.#", "*",
	"x-message-ttl", "x-queue-type", "quorum", "x-dead-letter-exchange", "x-max-length", "x-overflow", "reject-publish",
	"x-match", "any", "all", "x-priority", "CC", "BCC", "alternate-exchange", "x-expires", "x-delivery-limit", "100", "-1",
	"x-single-active-consumer", strings.Repeat("n", 255),
}

func (in *fuzzInput) word() string { return fuzzWords[int(in.octet())%len(fuzzWords)] }

func (in *fuzzInput) fill(v reflect.Value) {
	for _, field := range v.Fields() {
		switch field.Kind() {
		case reflect.String:
			field.SetString(in.word())
		case reflect.Bool:
			field.SetBool(in.octet()%4 == 1)
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			field.SetUint(uint64(in.octet() % 8))
		case reflect.Slice:
			if _, ok := reflect.TypeAssert[codec.Table](field); ok {
				field.Set(reflect.ValueOf(in.table(0)))
			}
		default:
		}
	}
}

func (in *fuzzInput) table(depth int) codec.Table {
	var t codec.Table
	for range in.octet() % 4 {
		t = append(t, codec.Entry{Key: in.word(), Value: in.value(depth)})
	}
	return t
}

func (in *fuzzInput) value(depth int) any {
	switch in.octet() % 8 {
	case 0:
		return int32(in.octet())
	case 1:
		return in.octet()%2 == 0
	case 2:
		return int64(int8(in.octet()))
	case 3:
		return []any{in.word(), in.word()}
	case 4:
		if depth < 3 {
			return in.table(depth + 1)
		}
		return nil
	default:
		return in.word()
	}
}

// content appends a header and a body, which most often fit.
func (in *fuzzInput) content(out []byte, channel uint16) []byte {
	body := make([]byte, int(in.octet()))
	h := codec.Header{ClassID: 60, BodySize: uint64(len(body))}
	flags := in.octet()
	if flags&1 != 0 {
		h.Properties.Present |= codec.HasHeaders
		h.Properties.Headers = in.table(0)
	}
	if flags&2 != 0 {
		h.Properties.Present |= codec.HasExpiration
		h.Properties.Expiration = in.word()
	}
	if flags&4 != 0 {
		h.Properties.Present |= codec.HasReplyTo
		h.Properties.ReplyTo = in.word()
	}
	if flags&8 != 0 {
		h.Properties.Present |= codec.HasDeliveryMode | codec.HasPriority
		h.Properties.DeliveryMode, h.Properties.Priority = in.octet()%4, in.octet()
	}
	if flags&0xf0 == 0x10 {
		h.BodySize += uint64(in.octet()) << 24
	}
	payload, err := codec.AppendHeader(nil, h)
	if err != nil {
		return out
	}
	out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameHeader, Channel: channel, Payload: payload})
	if flags&0xf0 != 0x20 && len(body) > 0 {
		out = codec.AppendFrame(out, codec.Frame{Type: codec.FrameBody, Channel: channel, Payload: body})
	}
	if flags&0xf0 == 0x30 {
		binary.BigEndian.PutUint16(out[len(out)-2:], uint16(in.octet())<<8) // no end octet
	}
	return out
}
