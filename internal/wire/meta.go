// Package wire turns requests and replies into AMQP properties and back. It is
// the only place that knows how Warren's metadata is written; docs/wire.md
// specifies it byte for byte.
package wire

import (
	"errors"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
)

// Namespace opens the type property of every message that carries Warren's
// metadata. Any other message is a plain peer's.
const Namespace = "warren/"

// Version is that of the metadata. A request is answered in its own.
type Version uint8

// The versions that this package speaks. The zero Version is taken for V1.
const (
	V1 Version = 1
	V2 Version = 2
)

// Kind is what a message is.
type Kind uint8

// The kinds of message. Resolve and cancel travel on control queues only, and in
// version 1 only.
const (
	KindNone Kind = iota
	KindCall
	KindReply
	KindResolve
	KindCancel
	KindBundle // version 2 only
)

// Meta is what the type property says. A zero field is not written, and a field that
// is not written is zero, but for the attempt of version 2, which is then 1.
type Meta struct {
	Version    Version
	Kind       Kind
	Attempt    int       // n: counts from 1
	Deadline   time.Time // d: to the millisecond
	Issued     time.Time // t: to the millisecond
	Nonce      Nonce     // x
	Bundles    bool      // b: version 2 only
	Code       warren.Code
	Reason     string
	Outcome    warren.Outcome // o: only with a code
	RetryAfter time.Duration  // w: to the millisecond; negative is -1 ms
	Replayed   bool           // p
	Incident   string         // i
}

// Encode returns the type property. It is at most 255 bytes for any Meta: what is out
// of its bounds is written as the bound, and text is cut. Version 2 has no deadline
// without an issue time; kinds that it does not have are written in version 1.
func (m *Meta) Encode() string {
	if m.Version == V2 && int(m.Kind) < len(kindLetters) && kindLetters[m.Kind] != 0 {
		return m.encode2()
	}
	return m.encode1()
}

// millis returns t as metadata can say it. A deadline after the year 9999, as
// some have who want none, must not be refused by the server.
func millis(t time.Time) int64 {
	// In seconds first: UnixMilli overflows far from our time.
	switch seconds := t.Unix(); {
	case seconds > maxMillis/1000:
		return maxMillis
	case seconds < 0:
		return 1
	default:
		return max(t.UnixMilli(), 1)
	}
}

// retryMillis rounds up, so that a caller never comes back too early.
func retryMillis(d time.Duration) int64 {
	if d < 0 {
		return -1
	}
	return int64((min(d, warren.MaxRetryAfter) + time.Millisecond - 1) / time.Millisecond)
}

// clean returns s cut to most bytes, with every byte that would break the
// metadata apart replaced.
func clean(s string, most int) string {
	s = s[:min(len(s), most)]
	return strings.Map(func(r rune) rune {
		if r <= ' ' || r > '~' || r == ';' || r == '=' {
			return '_'
		}
		return r
	}, s)
}

// IsWarren reports whether a type property claims to carry Warren's metadata,
// of whatever version.
func IsWarren(typ string) bool { return strings.HasPrefix(typ, Namespace) }

// ErrVersion is returned for metadata of a version that this package does not
// speak.
var ErrVersion = errors.New("warren: the metadata has a version that this side does not speak")

// maxMillis is the last instant that metadata may name: the end of the year
// 9999. It keeps arithmetic on deadlines from overflowing.
const maxMillis = 253402300799999

// maxAttempt is the largest number that an attempt may bear.
const maxAttempt = 1_000_000

// DecodeMeta parses a type property for which [IsWarren] holds. Items that it does not
// know are passed over, so that versions may get more; one that stands twice is an
// error. Of version 2, a deadline that the message's expiration says is not in it.
func DecodeMeta(typ string) (Meta, error) {
	switch rest := strings.TrimPrefix(typ, Namespace); VersionOf(typ) {
	case V1:
		return decode1(rest[1:])
	case V2:
		return decode2(rest[1:])
	default:
		return Meta{}, ErrVersion
	}
}

// VersionOf returns the version of a type property, 0 if it is none that this package
// speaks.
func VersionOf(typ string) Version {
	rest, ok := strings.CutPrefix(typ, Namespace)
	switch {
	case !ok || rest == "":
		return 0
	case rest[0] == '1' && (len(rest) == 1 || rest[1] == ';'):
		return V1
	case rest[0] == '2' && len(rest) > 1 && isLetter(rest[1]):
		return V2
	}
	return 0
}

// isLetter tells the names of items that versions give a meaning.
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }

// instant returns the instant that is ms after 1970.
func instant(ms int64) (time.Time, error) {
	if ms < 1 || ms > maxMillis {
		return time.Time{}, errRange
	}
	return time.UnixMilli(ms), nil
}

var errRange = errors.New("out of range")

// checkIncident returns an error if value is no incident ID.
func checkIncident(value string) error {
	if len(value) > warren.MaxIncident || clean(value, warren.MaxIncident) != value {
		return errors.New("not an incident ID")
	}
	return nil
}
