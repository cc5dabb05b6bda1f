package wire

import (
	"encoding/binary"
	"errors"
	"iter"
	"strings"

	amqp "github.com/rabbitmq/amqp091-go"
)

// A bundle is a message of several replies to one caller, who has said that it takes
// such messages. Its body is an octet with the number of replies, then the head of each,
// then the body of each: docs/wire/delivery.md, section 6.

const (
	bundleType = "warren/2m"
	replyType  = "warren/2r" // opens the type of every reply that is bundled
)

// maxBundledBody bounds the bodies that go into bundles. A large one gains little by
// company, and whoever keeps a reply of a bundle keeps all of the bundle.
const maxBundledBody = 4 << 10

// FitsBundle reports whether a reply may go out in a bundle. One with headers does not.
func FitsBundle(msg *amqp.Publishing) bool {
	return len(msg.Body) <= maxBundledBody && len(msg.Headers) == 0 && strings.HasPrefix(msg.Type, replyType)
}

// EncodeBundle returns the message of 1 to 255 replies, for each of which [FitsBundle]
// holds.
func EncodeBundle(replies []*amqp.Publishing) amqp.Publishing {
	size := 1
	mode := Transient
	for _, r := range replies {
		head := len(r.CorrelationId) + len(r.Type) - len(replyType) + len(r.ContentType) + len(r.ContentEncoding)
		size += 4 + head + 4 + len(r.Body)
		mode = max(mode, r.DeliveryMode)
	}
	b := append(make([]byte, 0, size), byte(len(replies)))
	for _, r := range replies {
		for _, s := range [...]string{r.CorrelationId, r.Type[len(replyType):], r.ContentType, r.ContentEncoding} {
			b = append(append(b, byte(len(s))), s...)
		}
		b = binary.BigEndian.AppendUint32(b, uint32(len(r.Body)))
	}
	for _, r := range replies {
		b = append(b, r.Body...)
	}
	return amqp.Publishing{DeliveryMode: mode, Type: bundleType, Body: b}
}

// IsBundle reports whether a type property is that of a bundle. Items that a later
// version may add are passed over.
func IsBundle(typ string) bool {
	rest, ok := strings.CutPrefix(typ, bundleType)
	return ok && (rest == "" || rest[0] == ';')
}

// errBundle says that the lengths in a bundle's body do not add up.
var errBundle = errors.New("warren: the replies in a bundle cannot be told apart")

// DecodeBundle returns the replies of a bundle, each as the message that it would have
// been alone. What that is worth is not looked at. The pointer is valid for one turn of
// the loop; the bodies are parts of the bundle's, and appending to one does not touch
// the next.
func DecodeBundle(d *amqp.Delivery) (iter.Seq[*amqp.Delivery], error) {
	end, err := endOfHeads(d.Body)
	if err != nil {
		return nil, err
	}
	heads, bodies := d.Body[1:end], d.Body[end:]
	text := string(heads) // of which all strings are parts
	return func(yield func(*amqp.Delivery) bool) {
		at, bodies := 0, bodies
		short := func() string {
			begin := at + 1
			at = begin + int(heads[at])
			return text[begin:at]
		}
		var reply amqp.Delivery
		for at < len(heads) {
			reply = amqp.Delivery{Redelivered: d.Redelivered, CorrelationId: short(), Type: replyType}
			if items := short(); items != "" {
				reply.Type += items
			}
			reply.ContentType, reply.ContentEncoding = short(), short()
			length := binary.BigEndian.Uint32(heads[at:])
			at += 4
			reply.Body, bodies = bodies[:length:length], bodies[length:]
			if !yield(&reply) {
				return
			}
		}
	}, nil
}

// endOfHeads returns where the bodies begin. All lengths have been checked then.
func endOfHeads(b []byte) (end int, err error) {
	if len(b) == 0 || b[0] == 0 {
		return 0, errBundle
	}
	end = 1
	bodies := uint64(0)
	for range b[0] {
		for range 4 { // call ID, items, content type, content encoding
			if end >= len(b) {
				return 0, errBundle
			}
			end += 1 + int(b[end])
		}
		if end+4 > len(b) {
			return 0, errBundle
		}
		bodies += uint64(binary.BigEndian.Uint32(b[end:]))
		end += 4
	}
	if bodies != uint64(len(b)-end) {
		return 0, errBundle
	}
	return end, nil
}
