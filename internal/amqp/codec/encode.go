package codec

import (
	"encoding/binary"
	"fmt"
	"math"
	"time"
)

const maxShortString = math.MaxUint8

// encoder appends fields to out. After the first error what it has written is of no use.
type encoder struct {
	out []byte
	err error

	// values counts what the table in hand holds, see MaxValues.
	values int
}

func (e *encoder) fail(format string, args ...any) {
	if e.err == nil {
		e.err = fmt.Errorf(format, args...)
	}
}

func (e *encoder) octet(p *uint8)     { e.out = append(e.out, get(p)) }
func (e *encoder) short(p *uint16)    { e.out = binary.BigEndian.AppendUint16(e.out, get(p)) }
func (e *encoder) long(p *uint32)     { e.out = binary.BigEndian.AppendUint32(e.out, get(p)) }
func (e *encoder) longlong(p *uint64) { e.out = binary.BigEndian.AppendUint64(e.out, get(p)) }

func (e *encoder) shortstr(p *string) {
	s := get(p)
	if len(s) > maxShortString {
		e.fail("a short string holds 255 octets, not %d", len(s))
		return
	}
	e.out = append(e.out, uint8(len(s)))
	e.out = append(e.out, s...)
}

func (e *encoder) longstr(p *string) { appendLong(e, get(p)) }

func (e *encoder) timestamp(p *time.Time) {
	e.out = binary.BigEndian.AppendUint64(e.out, uint64(get(p).Unix()))
}

func (e *encoder) bits(ps ...*bool) {
	var octet uint8
	for i, p := range ps {
		if get(p) {
			octet |= 1 << i
		}
	}
	e.out = append(e.out, octet)
}

func appendLong[T string | []byte](e *encoder, s T) {
	if uint64(len(s)) > math.MaxUint32 {
		e.fail("a long string holds less than 4 GiB, not %d octets", len(s))
		return
	}
	e.out = binary.BigEndian.AppendUint32(e.out, uint32(len(s)))
	e.out = append(e.out, s...)
}

func get[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
