package codec

import (
	"encoding/binary"
	"time"
)

// decoder reads fields from the front of in. After the first error every read gives zero.
type decoder struct {
	in  []byte
	err *Error

	// values counts what the table in hand holds, see MaxValues.
	values int
}

func (d *decoder) fail(format string, args ...any) {
	if d.err == nil {
		d.err = errorf(SyntaxError, format, args...)
	}
	d.in = nil
}

// end returns the error, also if something is left over.
func (d *decoder) end() *Error {
	if d.err == nil && len(d.in) > 0 {
		d.fail("%d octets are left over", len(d.in))
	}
	return d.err
}

// take returns the next n octets, which belong to the input. It returns nil, and fails, if there are fewer.
func (d *decoder) take(n uint32) []byte {
	if uint64(n) > uint64(len(d.in)) {
		d.fail("truncated: %d octets where %d are announced", len(d.in), n)
		return nil
	}
	taken := d.in[:n]
	d.in = d.in[n:]
	return taken
}

func (d *decoder) uint8() uint8 {
	if b := d.take(1); b != nil {
		return b[0]
	}
	return 0
}

func (d *decoder) uint16() uint16 {
	if b := d.take(2); b != nil {
		return binary.BigEndian.Uint16(b)
	}
	return 0
}

func (d *decoder) uint32() uint32 {
	if b := d.take(4); b != nil {
		return binary.BigEndian.Uint32(b)
	}
	return 0
}

func (d *decoder) uint64() uint64 {
	if b := d.take(8); b != nil {
		return binary.BigEndian.Uint64(b)
	}
	return 0
}

func (d *decoder) octet(p *uint8)     { set(p, d.uint8()) }
func (d *decoder) short(p *uint16)    { set(p, d.uint16()) }
func (d *decoder) long(p *uint32)     { set(p, d.uint32()) }
func (d *decoder) longlong(p *uint64) { set(p, d.uint64()) }

func (d *decoder) shortstr(p *string) { setString(p, d.take(uint32(d.uint8()))) }
func (d *decoder) longstr(p *string)  { setString(p, d.take(d.uint32())) }

func (d *decoder) timestamp(p *time.Time) {
	set(p, time.Unix(int64(d.uint64()), 0).UTC())
}

func (d *decoder) bits(ps ...*bool) {
	octet := d.uint8()
	for i, p := range ps {
		set(p, octet>>i&1 == 1)
	}
}

func set[T any](p *T, v T) {
	if p != nil {
		*p = v
	}
}

func setString(p *string, b []byte) {
	if p != nil {
		*p = string(b)
	}
}
