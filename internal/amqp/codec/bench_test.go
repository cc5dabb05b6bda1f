package codec

import (
	"bytes"
	"testing"
)

func BenchmarkPublish(b *testing.B) {
	h := header()
	h.Properties = Properties{
		Present:     HasContentType | HasHeaders | HasDeliveryMode | HasCorrelationID | HasReplyTo,
		ContentType: "application/json", Headers: Table{{"deadline", int64(1)}, {"method", "add"}}, DeliveryMode: 2,
		CorrelationID: "00000000-0000-0000-0000-000000000000", ReplyTo: "amq.rabbitmq.reply-to",
	}
	publish := &BasicPublish{RoutingKey: "calculator.add", Mandatory: true}
	wire := appendPublish(b, nil, publish, h, make([]byte, 1024))

	b.Run("encode", func(b *testing.B) {
		body := make([]byte, 1024)
		b.SetBytes(int64(len(wire)))
		b.ReportAllocs()
		var out []byte
		for b.Loop() {
			out = appendPublish(b, out[:0], publish, h, body)
		}
	})
	b.Run("decode", func(b *testing.B) {
		in := bytes.NewReader(wire)
		r := NewReader(in)
		b.SetBytes(int64(len(wire)))
		b.ReportAllocs()
		for b.Loop() {
			in.Reset(wire)
			for range 3 {
				f, err := r.ReadFrame()
				switch f.Type {
				case FrameMethod:
					_, err = DecodeMethod(f.Payload)
				case FrameHeader:
					_, err = DecodeHeader(f.Payload)
				default:
				}
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func appendPublish(b *testing.B, dst []byte, m Method, h Header, body []byte) []byte {
	b.Helper()
	dst = AppendFrame(dst, Frame{FrameMethod, 1, mustAppendMethod(b, m)})
	dst = AppendFrame(dst, Frame{FrameHeader, 1, mustAppendHeader(b, h)})
	return AppendFrame(dst, Frame{FrameBody, 1, body})
}
