package frames

import (
	"math"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// readTable returns the table with these entries, which stands in so many others, or the flaw that it has. All strings
// are parts of entries. Of a key that occurs twice the last value counts, as with the library.
func readTable(entries string, depth int) (amqp.Table, string) {
	if depth > maxDepth {
		return nil, tooDeep
	}
	t := amqp.Table{}
	for n := 0; len(entries) > 0; n++ {
		if n == maxEntries {
			return nil, tooMany
		}
		at := 1 + int(entries[0])
		if at >= len(entries) {
			return nil, malformed
		}
		value, size, flaw := readValue(entries[at:], depth)
		if flaw != "" {
			return nil, flaw
		}
		t[entries[1:at]] = value
		entries = entries[at+size:]
	}
	return t, ""
}

func readList(values string, depth int) ([]any, string) {
	if depth > maxDepth {
		return nil, tooDeep
	}
	var list []any
	for n := 0; len(values) > 0; n++ {
		if n == maxEntries {
			return nil, tooMany
		}
		value, size, flaw := readValue(values, depth)
		if flaw != "" {
			return nil, flaw
		}
		list = append(list, value)
		values = values[size:]
	}
	return list, ""
}

// readValue returns the value at the front of b, which is not empty, and the size that it has with its type.
func readValue(b string, depth int) (value any, size int, flaw string) {
	size, flaw = sizeOf(b)
	if flaw != "" {
		return nil, 0, flaw
	}
	v := b[1:size]
	switch b[0] {
	case 't':
		value = v[0] != 0
	case 'B':
		value = v[0]
	case 'b':
		value = int8(v[0])
	case 's':
		value = int16(short16(v))
	case 'u':
		value = short16(v)
	case 'I':
		value = int32(long32(v))
	case 'i':
		value = long32(v)
	case 'l', 'L': // which is l to all but some clients
		value = int64(long64(v))
	case 'f':
		value = math.Float32frombits(long32(v))
	case 'd':
		value = math.Float64frombits(long64(v))
	case 'D':
		value = amqp.Decimal{Scale: v[0], Value: int32(long32(v[1:]))}
	case 'T':
		value = time.Unix(int64(long64(v)), 0)
	case 'S':
		value = v[4:]
	case 'x':
		value = []byte(v[4:])
	case 'F':
		value, flaw = readTable(v[4:], depth+1)
	case 'A':
		value, flaw = readList(v[4:], depth+1)
	default: // V; sizeOf knows no other
	}
	return value, size, flaw
}

func short16(b string) uint16 { return uint16(b[0])<<8 | uint16(b[1]) }
