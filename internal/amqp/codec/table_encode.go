package codec

import (
	"encoding/binary"
	"math"
	"time"
)

func (e *encoder) table(p *Table) {
	e.values = 0
	e.encodeTable(get(p), 1)
}

// enclose writes what fill writes, with its length before it.
func (e *encoder) enclose(depth, values int, fill func()) {
	e.values += values
	if depth > MaxDepth || e.values > MaxValues {
		e.fail("a table holds %d values, %d deep", MaxValues, MaxDepth)
		return
	}
	start := len(e.out) + 4
	e.out = append(e.out, 0, 0, 0, 0)
	fill()
	size := len(e.out) - start
	if uint64(size) > math.MaxUint32 {
		e.fail("a table holds less than 4 GiB, not %d octets", size)
	}
	binary.BigEndian.PutUint32(e.out[start-4:], uint32(size))
}

func (e *encoder) encodeTable(t Table, depth int) {
	e.enclose(depth, len(t), func() {
		for i := range t {
			e.shortstr(&t[i].Key)
			e.value(t[i].Value, depth)
		}
	})
}

func (e *encoder) encodeArray(values []any, depth int) {
	e.enclose(depth, len(values), func() {
		for _, v := range values {
			e.value(v, depth)
		}
	})
}

func (e *encoder) value(v any, depth int) {
	switch v := v.(type) {
	case bool:
		e.tag('t')
		e.bits(&v)
	case int8:
		e.out = append(e.out, 'b', uint8(v))
	case uint8:
		e.out = append(e.out, 'B', v)
	case int16:
		e.tagged16('s', uint16(v))
	case uint16:
		e.tagged16('u', v)
	case int32:
		e.tagged32('I', uint32(v))
	case uint32:
		e.tagged32('i', v)
	case int64:
		e.tagged64('l', uint64(v))
	case Long:
		e.tagged64('L', uint64(v))
	case float32:
		e.tagged32('f', math.Float32bits(v))
	case float64:
		e.tagged64('d', math.Float64bits(v))
	case Decimal:
		e.out = append(e.out, 'D', v.Scale)
		e.out = binary.BigEndian.AppendUint32(e.out, uint32(v.Value))
	case string:
		e.tag('S')
		appendLong(e, v)
	case []byte:
		e.tag('x')
		appendLong(e, v)
	case time.Time:
		e.tagged64('T', uint64(v.Unix()))
	case []any:
		e.tag('A')
		e.encodeArray(v, depth+1)
	case Table:
		e.tag('F')
		e.encodeTable(v, depth+1)
	case nil:
		e.tag('V')
	default:
		e.fail("a table does not hold values of type %T", v)
	}
}

func (e *encoder) tag(tag byte) {
	e.out = append(e.out, tag)
}

func (e *encoder) tagged16(tag byte, v uint16) {
	e.out = binary.BigEndian.AppendUint16(append(e.out, tag), v)
}

func (e *encoder) tagged32(tag byte, v uint32) {
	e.out = binary.BigEndian.AppendUint32(append(e.out, tag), v)
}

func (e *encoder) tagged64(tag byte, v uint64) {
	e.out = binary.BigEndian.AppendUint64(append(e.out, tag), v)
}
