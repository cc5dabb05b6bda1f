package codec

import "slices"

const (
	// MaxDepth bounds how deep tables and arrays may stand in each other, the outermost table being 1. It is more than a
	// frame of 128 KiB can hold: RabbitMQ itself has no bound.
	MaxDepth = 1 << 15
	// MaxValues bounds how many values a table may hold, those of all the tables and arrays in it included, likewise.
	// With it a decoded table takes less than 8 MiB and what its strings hold, though a value may be a single octet on
	// the wire.
	MaxValues = 1 << 17
)

// Table is a field table in the order of the wire. A key that occurs twice is kept twice.
//
// Values have the type that RabbitMQ has for the tag, one to one:
//
//	t bool     b int8     B uint8    s int16    u uint16   I int32    i uint32   l int64
//	f float32  d float64  D Decimal  S string   x []byte   T time.Time, in seconds and UTC
//	A []any    F Table    V nil      L Long
type Table []Entry

// Entry is a key of at most 255 octets, with its value.
type Entry struct {
	Key   string
	Value any
}

// Long is an int64 under a tag of its own, as some clients write it. It is the same number to RabbitMQ.
type Long int64

// Decimal is the number Value / 10^Scale.
type Decimal struct {
	Scale uint8
	Value int32
}

// Get returns the first value of key, and whether there is one.
func (t Table) Get(key string) (any, bool) {
	for _, entry := range t {
		if entry.Key == key {
			return entry.Value, true
		}
	}
	return nil, false
}

// With returns a copy in which key occurs once, with v: where it first was, or at the end.
func (t Table) With(key string, v any) Table {
	with := make(Table, 0, len(t)+1)
	placed := false
	for _, entry := range t {
		if entry.Key == key {
			if placed {
				continue
			}
			entry.Value, placed = v, true
		}
		with = append(with, entry)
	}
	if !placed {
		with = append(with, Entry{Key: key, Value: v})
	}
	return with
}

// Without returns a copy that lacks key.
func (t Table) Without(key string) Table {
	return slices.DeleteFunc(slices.Clone(t), func(entry Entry) bool { return entry.Key == key })
}
