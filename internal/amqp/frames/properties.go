package frames

import (
	"encoding/binary"
	"fmt"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
)

// appendProperties appends the properties of a message, with their flags before them. As with the library, what is
// empty is left out.
func appendProperties(dst []byte, msg *amqp.Publishing) ([]byte, error) {
	flags := codec.PropertyFlags(0)
	at := len(dst)
	dst = append(dst, 0, 0)
	var err error
	text := func(flag codec.PropertyFlags, name, s string) {
		if s == "" || err != nil {
			return
		}
		flags |= flag
		if dst, err = appendShort(dst, s); err != nil {
			err = fmt.Errorf("%s: %w", name, err)
		}
	}
	text(codec.HasContentType, "content_type", msg.ContentType)
	text(codec.HasContentEncoding, "content_encoding", msg.ContentEncoding)
	if len(msg.Headers) > 0 && err == nil {
		flags |= codec.HasHeaders
		dst, err = appendTable(dst, msg.Headers)
	}
	if msg.DeliveryMode > 0 {
		flags |= codec.HasDeliveryMode
		dst = append(dst, msg.DeliveryMode)
	}
	if msg.Priority > 0 {
		flags |= codec.HasPriority
		dst = append(dst, msg.Priority)
	}
	text(codec.HasCorrelationID, "correlation_id", msg.CorrelationId)
	text(codec.HasReplyTo, "reply_to", msg.ReplyTo)
	text(codec.HasExpiration, "expiration", msg.Expiration)
	text(codec.HasMessageID, "message_id", msg.MessageId)
	if !msg.Timestamp.IsZero() {
		flags |= codec.HasTimestamp
		dst = binary.BigEndian.AppendUint64(dst, uint64(msg.Timestamp.Unix()))
	}
	text(codec.HasType, "type", msg.Type)
	text(codec.HasUserID, "user_id", msg.UserId)
	text(codec.HasAppID, "app_id", msg.AppId)
	binary.BigEndian.PutUint16(dst[at:], uint16(flags))
	return dst, err
}

// readProperties sets the properties that s holds, and returns the entries of the headers. Without table s has no
// headers, whatever the flags say. It is not ok if s ends early. All strings are parts of s. What follows is ignored.
func readProperties(d *amqp.Delivery, flags codec.PropertyFlags, s string, table bool) (entries string, ok bool) {
	ok = true
	take := func(n int) string {
		if n > len(s) {
			s, ok = "", false
			return ""
		}
		taken := s[:n]
		s = s[n:]
		return taken
	}
	octet := func(flag codec.PropertyFlags) byte {
		if flags.Has(flag) {
			if b := take(1); b != "" {
				return b[0]
			}
		}
		return 0
	}
	text := func(flag codec.PropertyFlags) string { return take(int(octet(flag))) }
	d.ContentType = text(codec.HasContentType)
	d.ContentEncoding = text(codec.HasContentEncoding)
	if table && flags.Has(codec.HasHeaders) {
		if size := take(4); size != "" {
			entries = take(int(long32(size)))
		}
	}
	d.DeliveryMode = octet(codec.HasDeliveryMode)
	d.Priority = octet(codec.HasPriority)
	d.CorrelationId = text(codec.HasCorrelationID)
	d.ReplyTo = text(codec.HasReplyTo)
	d.Expiration = text(codec.HasExpiration)
	d.MessageId = text(codec.HasMessageID)
	if flags.Has(codec.HasTimestamp) {
		if seconds := take(8); seconds != "" {
			d.Timestamp = time.Unix(int64(long64(seconds)), 0)
		}
	}
	d.Type = text(codec.HasType)
	d.UserId = text(codec.HasUserID)
	d.AppId = text(codec.HasAppID)
	text(codec.HasClusterID)
	return entries, ok
}

func appendShort(dst []byte, s string) ([]byte, error) {
	if len(s) > 255 {
		return dst, fmt.Errorf("%d bytes are more than the 255 of a short string", len(s))
	}
	return append(append(dst, byte(len(s))), s...), nil
}

func long32[T string | []byte](b T) uint32 {
	return uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3])
}

func long64[T string | []byte](b T) uint64 {
	return uint64(long32(b))<<32 | uint64(long32(b[4:]))
}
