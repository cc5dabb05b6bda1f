package codec

import (
	"fmt"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"
)

// everyValue holds a value of every type that a table knows, with its extremes.
func everyValue() Table {
	return Table{
		{"z-first", "order is kept"},
		{"bool", true}, {"no", false},
		{"int8", int8(math.MinInt8)}, {"uint8", uint8(math.MaxUint8)},
		{"int16", int16(math.MinInt16)}, {"uint16", uint16(math.MaxUint16)},
		{"int32", int32(math.MinInt32)}, {"uint32", uint32(math.MaxUint32)},
		{"int64", int64(math.MinInt64)},
		{"float32", float32(1.5)}, {"float64", -math.MaxFloat64},
		{"decimal", Decimal{Scale: 2, Value: -31415}},
		{"string", "\x00\xff is no text"}, {"empty string", ""},
		{"bytes", []byte{0, 1, 0xCE}}, {"no bytes", []byte{}},
		{"time", time.Unix(1<<40, 0).UTC()}, {"before 1970", time.Unix(-1, 0).UTC()},
		{"array", []any{nil, int32(1), []any{}, Table{{"in array", "x"}}}},
		{"table", Table{{"in table", []any{uint8(1)}}, {"", nil}}},
		{"void", nil},
		{"void", "a key that occurs twice"},
		{strings.Repeat("k", 255), "longest key"},
	}
}

// fill sets every field of the struct that p points to: bits as the bits of n are, the rest to something that no other
// field has.
func fill(t *testing.T, p any, n uint) {
	t.Helper()
	v := reflect.ValueOf(p).Elem()
	bit := 0
	for i := range v.NumField() {
		field := v.Field(i)
		switch field.Kind() {
		case reflect.Bool:
			field.SetBool(n>>bit&1 == 1)
			bit++
		case reflect.String:
			field.SetString(fmt.Sprintf("%s of %d", v.Type().Field(i).Name, n))
		case reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
			field.SetUint(math.MaxUint64>>(64-field.Type().Bits()) - uint64(i))
		case reflect.Slice:
			field.Set(reflect.ValueOf(everyValue()))
		default:
			t.Fatalf("%s has a field of kind %v, which fill does not know", v.Type(), field.Kind())
		}
	}
}

func bitCount(p any) int {
	n := 0
	v := reflect.ValueOf(p).Elem()
	for _, field := range v.Fields() {
		if field.Kind() == reflect.Bool {
			n++
		}
	}
	return n
}

func mustAppendMethod(t testing.TB, m Method) []byte {
	t.Helper()
	payload, err := AppendMethod(nil, m)
	if err != nil {
		t.Fatalf("AppendMethod(%+v): %v", m, err)
	}
	return payload
}

func mustAppendHeader(t testing.TB, h Header) []byte {
	t.Helper()
	payload, err := AppendHeader(nil, h)
	if err != nil {
		t.Fatalf("AppendHeader(%+v): %v", h, err)
	}
	return payload
}

// tablePayload is a method whose last argument is a table with these octets after its length.
func tablePayload(octets []byte) []byte {
	payload := []byte{0, 50, 0, 50, 0, 0, 0, 0, 0} // queue.unbind with empty names
	payload = append(payload, byte(len(octets)>>24), byte(len(octets)>>16), byte(len(octets)>>8), byte(len(octets)))
	return append(payload, octets...)
}

func header() Header {
	return Header{ClassID: 60, BodySize: 1 << 40, Properties: Properties{
		Present: allProperties, ContentType: "text/plain", ContentEncoding: "gzip", Headers: everyValue(), DeliveryMode: 2,
		Priority: 9, CorrelationID: "correlation", ReplyTo: "reply", Expiration: "60000", MessageID: "message",
		Timestamp: time.Unix(1_700_000_000, 0).UTC(), Type: "type", UserID: "user", AppID: "app", ClusterID: "cluster",
	}}
}
