package codec

import (
	"fmt"
	"time"
)

// PropertyFlags says which properties a content header carries, bit by bit as on the wire.
type PropertyFlags uint16

// The properties of a basic message in the order of the wire.
const (
	HasContentType PropertyFlags = 1 << (15 - iota)
	HasContentEncoding
	HasHeaders
	HasDeliveryMode
	HasPriority
	HasCorrelationID
	HasReplyTo
	HasExpiration
	HasMessageID
	HasTimestamp
	HasType
	HasUserID
	HasAppID
	HasClusterID

	allProperties = ^(HasClusterID - 1)
)

// Has reports whether all of flags are set.
func (p PropertyFlags) Has(flags PropertyFlags) bool {
	return p&flags == flags
}

// Properties are a basic message's. Present decides which of them exist: one that is present may be empty, and one that
// is not is never encoded, whatever its field holds.
type Properties struct {
	Present         PropertyFlags
	ContentType     string
	ContentEncoding string
	Headers         Table
	DeliveryMode    uint8
	Priority        uint8
	CorrelationID   string
	ReplyTo         string
	Expiration      string
	MessageID       string
	Timestamp       time.Time // in seconds and UTC
	Type            string
	UserID          string
	AppID           string
	ClusterID       string
}

// Header is the payload of a header frame: what stands between a method and the body that it announces.
type Header struct {
	ClassID    uint16
	BodySize   uint64
	Properties Properties
}

// DecodeHeader decodes the payload of a header frame, of which the result keeps nothing. Its error is always an
// [*Error] with [SyntaxError]: for a header that is truncated, followed by something, has a weight, or flags a property
// that the basic class does not have. The class is not checked: it is to be that of the method before.
func DecodeHeader(payload []byte) (Header, error) {
	var h Header
	d := &decoder{in: payload}
	h.walk(d)
	if err := d.end(); err != nil {
		err.Text = "content header: " + err.Text
		err.ClassID = h.ClassID
		return Header{}, err
	}
	return h, nil
}

// AppendHeader appends the payload of a header frame. It fails, and returns dst as it was, if Present has a flag of no
// property, and for what [AppendMethod] fails for.
func AppendHeader(dst []byte, h Header) ([]byte, error) {
	e := &encoder{out: dst}
	h.walk(e)
	if e.err != nil {
		return dst, fmt.Errorf("encode content header: %w", e.err)
	}
	return e.out, nil
}

func (h *Header) walk(f fields) {
	var weight uint16
	f.short(&h.ClassID)
	f.short(&weight)
	if weight != 0 {
		f.fail("weight is %d instead of 0", weight)
	}
	f.longlong(&h.BodySize)
	h.Properties.walk(f)
}

func (p *Properties) walk(f fields) {
	f.short((*uint16)(&p.Present))
	if unknown := p.Present &^ allProperties; unknown != 0 {
		f.fail("flags 0x%04X stand for no property", uint16(unknown))
		return
	}
	text := func(flag PropertyFlags, value *string) {
		if p.Present.Has(flag) {
			f.shortstr(value)
		}
	}
	text(HasContentType, &p.ContentType)
	text(HasContentEncoding, &p.ContentEncoding)
	if p.Present.Has(HasHeaders) {
		f.table(&p.Headers)
	}
	if p.Present.Has(HasDeliveryMode) {
		f.octet(&p.DeliveryMode)
	}
	if p.Present.Has(HasPriority) {
		f.octet(&p.Priority)
	}
	text(HasCorrelationID, &p.CorrelationID)
	text(HasReplyTo, &p.ReplyTo)
	text(HasExpiration, &p.Expiration)
	text(HasMessageID, &p.MessageID)
	if p.Present.Has(HasTimestamp) {
		f.timestamp(&p.Timestamp)
	}
	text(HasType, &p.Type)
	text(HasUserID, &p.UserID)
	text(HasAppID, &p.AppID)
	text(HasClusterID, &p.ClusterID)
}
