package frames

import (
	"bytes"
	"encoding/binary"
	"time"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// everyValue holds each type that the library knows.
func everyValue() codec.Table {
	return codec.Table{
		{Key: "t", Value: true}, {Key: "b", Value: int8(-1)}, {Key: "B", Value: uint8(1)}, {Key: "s", Value: int16(-2)},
		{Key: "u", Value: uint16(2)}, {Key: "I", Value: int32(-3)}, {Key: "i", Value: uint32(3)}, {Key: "l", Value: int64(-4)},
		{Key: "f", Value: float32(0.5)}, {Key: "d", Value: 0.25}, {Key: "D", Value: codec.Decimal{Scale: 2, Value: 314}},
		{Key: "S", Value: "text"}, {Key: "x", Value: []byte{0, 0xCE}}, {Key: "T", Value: time.Unix(1_700_000_000, 0).UTC()},
		{Key: "A", Value: []any{nil, int64(5), []any{}}}, {Key: "F", Value: codec.Table{{Key: "k", Value: codec.Table{}}}}, {Key: "V"},
	}
}

// properties are those of a message, each of them set.
func properties() codec.Properties {
	return codec.Properties{
		Present: ^codec.PropertyFlags(3), ContentType: "text/plain", ContentEncoding: "gzip", Headers: everyValue(),
		DeliveryMode: 2, Priority: 7, CorrelationID: "id", ReplyTo: "reply", Expiration: "1000", MessageID: "message",
		Timestamp: time.Unix(1_700_000_000, 0).UTC(), Type: "type", UserID: "user", AppID: "app", ClusterID: "cluster",
	}
}

func payload(p codec.Properties, body int) []byte {
	out, err := codec.AppendHeader(nil, codec.Header{ClassID: 60, BodySize: uint64(body), Properties: p})
	if err != nil {
		panic(err)
	}
	return out
}

// withTable is a payload with these octets as the entries of its header table.
func withTable(entries []byte, body int) []byte {
	p := properties()
	p.Headers = codec.Table{{Key: "here", Value: "it goes"}}
	placed := []byte("\x04hereS\x00\x00\x00\x07it goes")
	return bytes.Replace(payload(p, body), long(placed), long(entries), 1)
}

// long is b with its length before it.
func long(b []byte) []byte { return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...) }

func entry(key string, value []byte) []byte {
	return append(append([]byte{byte(len(key))}, key...), value...)
}

// lists is a list in lists, n of them in all, and tables likewise.
func lists(n int) []byte { return nested(n, []byte{'A'}) }

func tables(n int) []byte { return nested(n, []byte{0, 'F'})[1:] }

// nested is n values in one another, each of which begins with prefix and a length.
func nested(n int, prefix []byte) []byte {
	var out []byte
	for ; n > 0; n-- {
		out = append(out, prefix...)
		out = binary.BigEndian.AppendUint32(out, uint32((n-1)*(len(prefix)+4)))
	}
	return out
}

// voids is a list of n values without anything.
func voids(n int) []byte { return append([]byte{'A'}, long(bytes.Repeat([]byte{'V'}, n))...) }

// entries are n entries of a table.
func entries(n int) []byte {
	var out []byte
	for i := range n {
		out = append(out, entry(string(binary.BigEndian.AppendUint16(nil, uint16(i))), []byte{'V'})...)
	}
	return out
}
