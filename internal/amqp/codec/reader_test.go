package codec

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"reflect"
	"testing"
	"testing/iotest"
)

func TestFramesSurviveTheWireInAnyPieces(t *testing.T) {
	frames := []Frame{
		{FrameMethod, 0, []byte("method")}, {FrameHeader, 1, []byte("header")}, {FrameBody, 65535, bytes.Repeat([]byte{frameEnd}, 4088)},
		{FrameHeartbeat, 0, []byte{}}, {FrameBody, 7, []byte{}},
	}
	wire := []byte("AMQP\x00\x00\x09\x01")
	for _, f := range frames {
		wire = AppendFrame(wire, f)
	}
	for name, in := range map[string]io.Reader{
		"at once": bytes.NewReader(wire), "octet by octet": iotest.OneByteReader(bytes.NewReader(wire)),
		"end with data": iotest.DataErrReader(bytes.NewReader(wire)),
	} {
		r := NewReader(in)
		if header, err := r.ProtocolHeader(); err != nil || string(header[:]) != "AMQP\x00\x00\x09\x01" {
			t.Errorf("%s: protocol header %q, %v", name, header, err)
		}
		for _, want := range frames {
			if got, err := r.ReadFrame(); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %v frame: %v, %v", name, want.Type, got, err)
			}
		}
		if f, err := r.ReadFrame(); err != io.EOF { //nolint:errorlint // It is to be io.EOF itself.
			t.Errorf("%s: at the end: %v, %v", name, f, err)
		}
	}
}

func TestBadFramesAreFrameErrors(t *testing.T) {
	frame := func(frameType byte, size uint32, payload, end string) string {
		b := binary.BigEndian.AppendUint32([]byte{frameType, 0, 1}, size)
		return string(b) + payload + end
	}
	for name, wire := range map[string]string{
		"type 0":                  frame(0, 0, "", "\xce"),
		"type 4":                  frame(4, 0, "", "\xce"),
		"a protocol header":       "AMQP\x00\x00\x09\x01",
		"one above the limit":     frame(3, MinFrameSize-FrameOverhead+1, "", ""),
		"4 GiB":                   frame(3, 0xffffffff, "", ""),
		"4 GiB less the overhead": frame(3, 0xffffffff-FrameOverhead+1, "", ""),
		"end octet":               frame(1, 2, "ab", "\xcd"),
		"payload too long":        frame(1, 2, "abc", "\xce"),
	} {
		var f Frame
		var err error
		n := allocated(func() { f, err = NewReader(bytes.NewReader([]byte(wire))).ReadFrame() })
		var amqpError *Error
		if !errors.As(err, &amqpError) || amqpError.Code != FrameError || f.Payload != nil {
			t.Errorf("%s: %v, %v", name, f, err)
		}
		if n > 4*readBufferSize {
			t.Errorf("%s: took %d octets to refuse", name, n)
		}
	}
}

func TestAFrameCutShortIsAnUnexpectedEnd(t *testing.T) {
	wire := AppendFrame(nil, Frame{FrameMethod, 1, []byte("payload")})
	for n := 1; n < len(wire); n++ {
		if f, err := NewReader(bytes.NewReader(wire[:n])).ReadFrame(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("after %d octets: %v, %v", n, f, err)
		}
	}
	reset := errors.New("connection reset")
	for n := range wire {
		in := io.MultiReader(bytes.NewReader(wire[:n]), iotest.ErrReader(reset))
		if f, err := NewReader(in).ReadFrame(); err != reset { //nolint:errorlint // It is to be unchanged.
			t.Errorf("after %d octets: %v, %v", n, f, err)
		}
	}
}

func TestLimitCountsWholeFrames(t *testing.T) {
	for _, c := range []struct{ limit, largest uint32 }{
		{0, MinFrameSize}, {1, MinFrameSize}, {MinFrameSize, MinFrameSize}, {131072, 131072},
	} {
		for extra := range uint32(2) {
			f := Frame{FrameBody, 1, make([]byte, c.largest-FrameOverhead+extra)}
			r := NewReader(bytes.NewReader(AppendFrame(nil, f)))
			r.Limit(c.limit)
			if _, err := r.ReadFrame(); (err == nil) != (extra == 0) {
				t.Errorf("limit %d, frame %d: %v", c.limit, len(f.Payload)+FrameOverhead, err)
			}
		}
	}
}

func TestPayloadsDoNotShareMemory(t *testing.T) {
	wire := AppendFrame(AppendFrame(nil, Frame{FrameBody, 1, []byte("first")}), Frame{FrameBody, 1, []byte("second")})
	r := NewReader(bytes.NewReader(wire))
	first, _ := r.ReadFrame()
	if r.Buffered() != len("second")+FrameOverhead {
		t.Errorf("%d octets buffered", r.Buffered())
	}
	second, _ := r.ReadFrame()
	_ = append(first.Payload, "overrun"...)
	if string(first.Payload) != "first" || string(second.Payload) != "second" || r.Buffered() != 0 {
		t.Errorf("%q, %q, %d octets buffered", first.Payload, second.Payload, r.Buffered())
	}
}

func TestErrorsReadAsRabbitMQWritesThem(t *testing.T) {
	e := &Error{Code: NotFound, Text: "no queue 'q' in vhost '/'"}
	if got := e.Error(); got != "NOT_FOUND - no queue 'q' in vhost '/'" || got != e.ReplyText() {
		t.Error(got)
	}
	if got := (&Error{Code: 999, Text: "x"}).Error(); got != "code 999 - x" {
		t.Error(got)
	}
	if got := (&Error{Code: NotFound, Text: string(make([]byte, 300))}).ReplyText(); len(got) != 255 {
		t.Errorf("reply text has %d octets", len(got))
	}
	names := map[string]bool{}
	for code := range uint16(1000) {
		if name := CodeName(code); name != "" {
			names[name] = true
		}
	}
	if len(names) != 19 {
		t.Errorf("%d codes have names: %v", len(names), names)
	}
}
