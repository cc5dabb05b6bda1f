package codec

import (
	"bytes"
	"encoding/binary"
	"math"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestTableKeepsOrderAndTheFirstOfAKey(t *testing.T) {
	table := Table{{"b", 1}, {"a", 2}, {"b", 3}}
	before := slices.Clone(table)
	if v, ok := table.Get("b"); v != 1 || !ok {
		t.Errorf("Get of a key that occurs twice: %v, %v", v, ok)
	}
	if v, ok := table.Get("c"); v != nil || ok {
		t.Errorf("Get of a key that does not occur: %v, %v", v, ok)
	}
	for name, c := range map[string]struct{ got, want Table }{
		"With replaces in place": {table.With("b", 4), Table{{"b", 4}, {"a", 2}}},
		"With appends":           {table.With("c", 4), append(slices.Clone(table), Entry{"c", 4})},
		"With on nil":            {Table(nil).With("c", nil), Table{{"c", nil}}},
		"Without takes all":      {table.Without("b"), Table{{"a", 2}}},
		"Without takes none":     {table.Without("c"), table},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %v, want %v", name, c.got, c.want)
		}
	}
	if !reflect.DeepEqual(table, before) {
		t.Errorf("table was changed: %v", table)
	}
}

func TestEqualComparesAsDeclarationsDo(t *testing.T) {
	now := time.Unix(1_700_000_000, 5)
	values := []any{
		nil, true, false, int64(1), int64(-1), 1.5, math.Inf(1), Decimal{1, 10}, Decimal{2, 100}, "1", []byte("1"), "", []byte{},
		now, now.Add(time.Second), []any{}, []any{int64(1)}, Table{}, Table{{"k", int64(1)}}, Table{{"k", int64(2)}}, Table{{"l", int64(1)}},
	}
	for i, a := range values {
		for j, b := range values {
			if Equal(a, b) != (i == j) {
				t.Errorf("Equal(%#v, %#v) = %v", a, b, Equal(a, b))
			}
		}
	}
	for _, pair := range [][2]any{
		{int8(1), int64(1)}, {Long(1), int64(1)}, {uint8(200), int16(200)}, {uint16(1), uint32(1)}, {int32(-1), int8(-1)},
		{float32(1.5), 1.5}, {math.NaN(), math.NaN()},
		{now, now.UTC().Truncate(time.Second)},
		{[]any{int8(1)}, []any{int64(1)}}, {Table(nil), Table{}},
		{Table{{"a", "x"}, {"b", int8(1)}}, Table{{"b", int32(1)}, {"a", "x"}}},
	} {
		if !Equal(pair[0], pair[1]) || !Equal(pair[1], pair[0]) {
			t.Errorf("%#v and %#v are not equal", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]any{
		{uint8(255), int8(-1)}, {int64(1), 1.0}, {map[string]any{}, map[string]any{}}, {1, 1}, {"x", nil}, {nil, Table(nil)},
		{Table{{"a", "x"}, {"a", "y"}}, Table{{"a", "y"}, {"a", "x"}}},
	} {
		if Equal(pair[0], pair[1]) || Equal(pair[1], pair[0]) {
			t.Errorf("%#v and %#v are equal", pair[0], pair[1])
		}
	}
}

// The octets are written out here, so that tags and byte orders do not rest on the encoder.
func TestTableValuesHaveTheTagsOfRabbitMQ(t *testing.T) {
	for _, c := range []struct {
		value  any
		octets string
	}{
		{true, "t\x01"}, {int8(-2), "b\xfe"}, {uint8(254), "B\xfe"}, {int16(-2), "s\xff\xfe"}, {uint16(258), "u\x01\x02"},
		{int32(-2), "I\xff\xff\xff\xfe"}, {uint32(16909060), "i\x01\x02\x03\x04"},
		{int64(-2), "l\xff\xff\xff\xff\xff\xff\xff\xfe"}, {Long(-2), "L\xff\xff\xff\xff\xff\xff\xff\xfe"},
		{float32(1), "f\x3f\x80\x00\x00"}, {float64(1), "d\x3f\xf0\x00\x00\x00\x00\x00\x00"},
		{Decimal{2, -2}, "D\x02\xff\xff\xff\xfe"}, {"ab", "S\x00\x00\x00\x02ab"}, {[]byte("ab"), "x\x00\x00\x00\x02ab"},
		{time.Unix(258, 0).UTC(), "T\x00\x00\x00\x00\x00\x00\x01\x02"},
		{[]any{true, nil}, "A\x00\x00\x00\x03t\x01V"}, {Table{{"k", nil}}, "F\x00\x00\x00\x03\x01kV"}, {nil, "V"},
	} {
		payload := tablePayload([]byte("\x01k" + c.octets))
		m := &QueueUnbind{Arguments: Table{{"k", c.value}}}
		if got := mustAppendMethod(t, m); !bytes.Equal(got, payload) {
			t.Errorf("%#v: encoded %q, want %q", c.value, got, payload)
		}
		if got, err := DecodeMethod(payload); err != nil || !reflect.DeepEqual(got, m) {
			t.Errorf("%q: decoded %v, %v", c.octets, got, err)
		}
	}
}

func TestBadTablesAreSyntaxErrors(t *testing.T) {
	nested := func(tag string, depth int) string {
		if tag == "F" {
			tag = "\x00F"
		}
		var s []byte
		for left := depth - 1; left >= 0; left-- {
			s = binary.BigEndian.AppendUint32(append(s, tag...), uint32(left*(len(tag)+4)))
		}
		return string(s)
	}
	if _, err := DecodeMethod(tablePayload([]byte(nested("F", MaxDepth-1)))); err != nil {
		t.Errorf("deepest table: %v", err)
	}
	if _, err := DecodeMethod(tablePayload(voids(MaxValues - 1))); err != nil {
		t.Errorf("fullest table: %v", err)
	}
	for name, octets := range map[string]string{
		"key without value":        "\x01k",
		"key that ends early":      "\x05k",
		"unknown tag":              "\x01kZ",
		"number that ends early":   "\x01kI\x00\x00",
		"string beyond the table":  "\x01kS\xff\xff\xff\xffx",
		"bytes beyond the table":   "\x01kx\x00\x00\x00\x02x",
		"array beyond the table":   "\x01kA\x00\x00\x00\x02V",
		"table beyond the table":   "\x01kF\x7f\xff\xff\xff",
		"value cut by its array":   "\x01kA\x00\x00\x00\x01t\x01",
		"too deep in tables":       nested("F", MaxDepth),
		"too deep in arrays":       "\x01k" + nested("A", MaxDepth),
		"too many values":          string(voids(MaxValues)),
		"far too many values":      string(voids(1 << 20)),
		"too many values in parts": strings.Repeat(string(voids(MaxValues/2)), 2),
	} {
		if m, err := DecodeMethod(tablePayload([]byte(octets))); err == nil || m != nil {
			t.Errorf("%s: %v, %v", name, m, err)
		} else if e, ok := err.(*Error); !ok || e.Code != SyntaxError || e.ClassID != 50 || e.MethodID != 50 { //nolint:errorlint // The type is promised.
			t.Errorf("%s: %+v", name, err)
		}
	}
}

// voids is a table's content: an array of n values of one octet each.
func voids(n int) []byte {
	return append([]byte{0, 'A', byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)}, bytes.Repeat([]byte{'V'}, n)...)
}

// maxDecodeMemory is what decoding may allocate in all for an input of n octets, garbage of growing slices included.
func maxDecodeMemory(n int) uint64 {
	return 64<<20 + 4*uint64(n)
}

func TestMemoryForATableIsBounded(t *testing.T) {
	for name, octets := range map[string][]byte{
		"voids":         voids(MaxValues - 1),
		"too many":      voids(1 << 20),
		"empty keys":    bytes.Repeat([]byte{0, 'V'}, MaxValues),
		"empty strings": bytes.Repeat([]byte{0, 'S', 0, 0, 0, 0}, MaxValues),
		"times":         bytes.Repeat([]byte{0, 'T', 0, 0, 0, 0, 0, 0, 0, 1}, MaxValues),
		"empty tables":  bytes.Repeat([]byte{0, 'F', 0, 0, 0, 0}, MaxValues),
		"small arrays":  bytes.Repeat([]byte{0, 'A', 0, 0, 0, 1, 'V'}, MaxValues),
		"small tables":  bytes.Repeat([]byte{0, 'F', 0, 0, 0, 2, 0, 'V'}, MaxValues),
		"claimed only":  {0, 'S', 0xff, 0xff, 0xff, 0xff},
	} {
		payload := tablePayload(octets)
		if n := allocated(func() { _, _ = DecodeMethod(payload) }); n > maxDecodeMemory(len(payload)) {
			t.Errorf("%s: %d octets took %d to decode", name, len(payload), n)
		} else {
			t.Logf("%s: %d octets took %d to decode", name, len(payload), n)
		}
	}
}

// allocated returns how much do allocates, and whatever else allocates meanwhile: it is no use in parallel.
func allocated(do func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	do()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}
