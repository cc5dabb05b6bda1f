package rig

import (
	"bytes"
	"encoding/binary"
	"fmt"
)

// HostileTable is a header table that RabbitMQ takes from a publisher.
type HostileTable struct {
	Name    string
	Entries []byte
	// Served says that it is within the bounds of servers and clients, Unreadable that the AMQP library cannot read it.
	Served, Unreadable bool
}

// HostileTables are tables with every type of field, alone and nested, and with depths and counts on both sides of what
// the AMQP library can read.
func HostileTables() []HostileTable {
	var list []HostileTable
	add := func(served, unreadable bool, name string, value []byte) {
		list = append(list, HostileTable{name, tableEntry("h", value), served, unreadable})
	}
	values := map[byte][]byte{
		't': {1}, 'b': {0xff}, 'B': {0xff}, 's': {0xff, 0xff}, 'u': {0xff, 0xff}, 'I': make([]byte, 4), 'i': make([]byte, 4),
		'l': make([]byte, 8), 'L': binary.BigEndian.AppendUint64(nil, 1764490000000), 'f': make([]byte, 4), 'd': make([]byte, 8),
		'D': {2, 0, 0, 1, 58}, 'S': tableLong([]byte("text")), 'x': tableLong([]byte{0, 0xCE}), 'T': make([]byte, 8),
		'A': tableLong([]byte("VV")), 'F': tableLong([]byte("\x01kV")), 'V': nil,
	}
	for _, tag := range []byte("tbBsuIilLfdDSxTAFV") {
		value := append([]byte{tag}, values[tag]...)
		add(true, false, fmt.Sprintf("type %c", tag), value)
		add(true, false, fmt.Sprintf("type %c in a list", tag), append([]byte{'A'}, tableLong(value)...))
		add(true, false, fmt.Sprintf("type %c in a table", tag), append([]byte{'F'}, tableLong(tableEntry("k", value))...))
	}
	for _, n := range []int{4, 32, 33, 34, 40, 1000, 20_000} {
		add(false, n > 32, fmt.Sprintf("lists, %d deep", n), tableNested(n, "A"))
		add(false, n > 32, fmt.Sprintf("tables, %d deep", n), tableNested(n, "\x00F")[1:])
	}
	for _, n := range []int{8192, 8193, 9000, 120_000} {
		add(false, n > 8192, fmt.Sprintf("a list of %d", n), append([]byte{'A'}, tableLong(bytes.Repeat([]byte{'V'}, n))...))
	}
	for _, n := range []int{64, 65, 8192, 8193, 15_000} {
		var entries []byte
		for i := range n {
			entries = append(entries, tableEntry(fmt.Sprintf("k%04x", i), []byte{'V'})...)
		}
		list = append(list, HostileTable{fmt.Sprintf("%d headers", n), entries, n <= 64, n > 8192})
	}
	add(false, false, "a string of 100 kB", append([]byte{'S'}, tableLong(make([]byte, 100_000))...))
	return list
}

func tableEntry(key string, value []byte) []byte {
	return append(append([]byte{byte(len(key))}, key...), value...)
}

func tableLong(b []byte) []byte {
	return append(binary.BigEndian.AppendUint32(nil, uint32(len(b))), b...)
}

// tableNested is n values in one another, each of which begins with prefix and a length.
func tableNested(n int, prefix string) []byte {
	var out []byte
	for ; n > 0; n-- {
		out = append(out, prefix...)
		out = binary.BigEndian.AppendUint32(out, uint32((n-1)*(len(prefix)+4)))
	}
	return out
}
