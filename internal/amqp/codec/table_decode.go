package codec

import (
	"bytes"
	"math"
	"time"
)

func (d *decoder) table(p *Table) {
	d.values = 0
	set(p, d.decodeTable(1))
}

// enter takes what a length announces as the input of fill, which is called until all of it is used.
func (d *decoder) enter(depth int, fill func()) {
	if depth > MaxDepth {
		d.fail("table is nested deeper than %d", MaxDepth)
		return
	}
	inner := d.take(d.uint32())
	rest := d.in
	d.in = inner
	for len(d.in) > 0 {
		if d.values++; d.values > MaxValues {
			d.fail("table holds more than %d values", MaxValues)
			break
		}
		fill()
	}
	if d.err == nil {
		d.in = rest
	}
}

func (d *decoder) decodeTable(depth int) Table {
	var t Table
	d.enter(depth, func() {
		var entry Entry
		d.shortstr(&entry.Key)
		entry.Value = d.value(depth)
		t = append(t, entry)
	})
	return t
}

func (d *decoder) decodeArray(depth int) []any {
	values := []any{}
	d.enter(depth, func() { values = append(values, d.value(depth)) })
	return values
}

// value reads a tag and its value, which stands in a table or array at depth.
func (d *decoder) value(depth int) any {
	switch tag := d.uint8(); tag {
	case 't':
		return d.uint8() != 0
	case 'b':
		return int8(d.uint8())
	case 'B':
		return d.uint8()
	case 's':
		return int16(d.uint16())
	case 'u':
		return d.uint16()
	case 'I':
		return int32(d.uint32())
	case 'i':
		return d.uint32()
	case 'l':
		return int64(d.uint64())
	case 'L':
		return Long(d.uint64())
	case 'f':
		return math.Float32frombits(d.uint32())
	case 'd':
		return math.Float64frombits(d.uint64())
	case 'D':
		return Decimal{Scale: d.uint8(), Value: int32(d.uint32())}
	case 'S':
		return string(d.take(d.uint32()))
	case 'x':
		return bytes.Clone(d.take(d.uint32()))
	case 'T':
		return time.Unix(int64(d.uint64()), 0).UTC()
	case 'A':
		return d.decodeArray(depth + 1)
	case 'F':
		return d.decodeTable(depth + 1)
	case 'V':
		return nil
	default:
		d.fail("table holds a value of unknown type 0x%02X", tag)
		return nil
	}
}
