package codec

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"time"
)

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{}, uint32(0))
	f.Add([]byte("AMQP\x00\x00\x09\x01"), uint32(131072))
	f.Add(AppendFrame(nil, Frame{FrameHeartbeat, 0, nil}), uint32(MinFrameSize))
	f.Add(AppendFrame(AppendFrame(nil, Frame{FrameMethod, 1, []byte("x")}), Frame{FrameBody, 2, make([]byte, 5000)}), uint32(8192))
	f.Add([]byte{3, 0, 1, 0xff, 0xff, 0xff, 0xff, 0}, uint32(0xffff))
	f.Fuzz(func(t *testing.T, wire []byte, limit uint32) {
		limit = min(limit, 1<<20)
		r := NewReader(bytes.NewReader(wire))
		r.Limit(limit)
		used := 0
		for {
			frame, err := r.ReadFrame()
			if err != nil {
				var amqpError *Error
				if !errors.As(err, &amqpError) && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					t.Fatal(err)
				}
				return
			}
			if size := len(frame.Payload) + FrameOverhead; size > int(max(limit, MinFrameSize)) {
				t.Fatalf("read a frame of %d octets with limit %d", size, limit)
			}
			again := AppendFrame(nil, frame)
			if !bytes.Equal(again, wire[used:used+len(again)]) {
				t.Fatalf("read %v, which is %x", frame, again)
			}
			used += len(again)
		}
	})
}

func FuzzDecodeMethod(f *testing.F) {
	for _, factory := range methods {
		f.Add(mustAppendMethod(f, factory()))
	}
	for _, m := range []Method{
		&ConnectionStartOk{ClientProperties: everyValue(), Mechanism: "PLAIN", Response: "\x00guest\x00guest", Locale: "en_US"},
		&BasicPublish{Exchange: "exchange", RoutingKey: "key", Mandatory: true},
		&QueueDeclare{Queue: "queue", Durable: true, Arguments: Table{{"x-queue-type", "quorum"}}},
	} {
		f.Add(mustAppendMethod(f, m))
	}
	f.Add(tablePayload(voids(20)))
	f.Add([]byte{0, 60, 0, 41})
	f.Fuzz(func(t *testing.T, payload []byte) {
		checkDecode(t, payload, func(payload []byte) (again func() ([]byte, error), err error) {
			m, err := DecodeMethod(payload)
			return func() ([]byte, error) { return AppendMethod(nil, m) }, err
		})
	})
}

func FuzzDecodeHeader(f *testing.F) {
	f.Add(mustAppendHeader(f, Header{ClassID: 60}))
	f.Add(mustAppendHeader(f, header()))
	h := header()
	for bit := range 14 {
		h.Properties.Present = 1 << (15 - bit)
		f.Add(mustAppendHeader(f, h))
	}
	h.Properties = Properties{Present: allProperties, Timestamp: time.Unix(0, 0)}
	f.Add(mustAppendHeader(f, h))
	f.Fuzz(func(t *testing.T, payload []byte) {
		checkDecode(t, payload, func(payload []byte) (again func() ([]byte, error), err error) {
			h, err := DecodeHeader(payload)
			return func() ([]byte, error) { return AppendHeader(nil, h) }, err
		})
	})
}

// checkDecode holds decode to its contract: an *Error or a value that encodes to the same length, and then to the same
// octets whenever it is decoded again. Reserved fields and bits may differ from the input, and so may its length when a
// reserved string was not empty.
func checkDecode(t *testing.T, payload []byte, decode func([]byte) (func() ([]byte, error), error)) {
	t.Helper()
	var again func() ([]byte, error)
	var err error
	input := bytes.Clone(payload)
	if n := allocated(func() { again, err = decode(input) }); n > maxDecodeMemory(len(payload)) {
		t.Fatalf("%d octets took %d to decode", len(payload), n)
	}
	if !bytes.Equal(input, payload) {
		t.Fatal("decoding changed its input")
	}
	if err != nil {
		var amqpError *Error
		if !errors.As(err, &amqpError) || amqpError.Code != SyntaxError && amqpError.Code != NotImplemented {
			t.Fatal(err)
		}
		return
	}
	clear(input) // the result keeps nothing of it
	first, err := again()
	if err != nil {
		t.Fatalf("decoded but not encoded: %v", err)
	}
	if len(first) > len(payload) {
		t.Fatalf("encoded %x, longer than %x", first, payload)
	}
	again, err = decode(first)
	if err != nil {
		t.Fatalf("decoded, encoded, but not decoded again: %v", err)
	}
	if second, err := again(); err != nil || !bytes.Equal(first, second) {
		t.Fatalf("encoded %x, then %x, %v", first, second, err)
	}
}
