package wire

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"strings"
)

// DirectReplyTo is the prefix of the reply addresses that RabbitMQ makes for
// callers which use its direct reply-to.
const DirectReplyTo = "amq.rabbitmq.reply-to"

// IsDirectReplyTo reports whether an address is of the form that RabbitMQ 3.10 and 4
// give to those of direct reply-to: the prefix, the caller's Erlang process, and a
// key, with dots between them, the latter two in base64. RabbitMQ 3.10 ends the
// connection that publishes to an address whose process it cannot decode. It does so
// too if the node in it, or the process, is none of its own, which only it can know.
func IsDirectReplyTo(address string) bool {
	parts := strings.Split(address, ".")
	if len(parts) != 5 || strings.Join(parts[:3], ".") != DirectReplyTo || parts[4] == "" || strings.ContainsAny(address, "\r\n") {
		return false
	}
	if _, err := base64.StdEncoding.Strict().DecodeString(parts[4]); err != nil {
		return false
	}
	process, err := base64.StdEncoding.Strict().DecodeString(parts[3])
	return err == nil && isProcess(process)
}

// isProcess reports whether b is a process identifier in Erlang's external term
// format.
func isProcess(b []byte) bool {
	if len(b) < 5 || b[0] != 131 {
		return false
	}
	rest := 4 + 4 // ID and serial number; the node's creation follows
	switch b[1] {
	case 88: // NEW_PID_EXT
		rest += 4
	case 103: // PID_EXT, before Erlang 23
		rest++
	default:
		return false
	}
	node := b[3:]
	switch b[2] {
	case 118, 100: // ATOM_UTF8_EXT, ATOM_EXT
		if len(node) < 2 {
			return false
		}
		length := int(binary.BigEndian.Uint16(node))
		node = node[2:]
		return len(node) == length+rest && bytes.IndexByte(node[:length], '@') > 0
	case 119, 115: // SMALL_ATOM_UTF8_EXT, SMALL_ATOM_EXT
		length := int(node[0])
		node = node[1:]
		return len(node) == length+rest && bytes.IndexByte(node[:length], '@') > 0
	default:
		return false
	}
}
