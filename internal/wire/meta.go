// Package wire turns requests and replies into AMQP properties and back. It is
// the only place that knows how Warren's metadata is written; docs/wire.md
// specifies it byte for byte.
package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
)

// Prefix opens the type property of every message that carries Warren's
// metadata. A message whose type does not begin with Namespace is a plain
// peer's.
const (
	Namespace = "warren/"
	Prefix    = "warren/1"
)

// Kind is what a message is.
type Kind uint8

// The kinds of message. Resolve and cancel travel on control queues only.
const (
	KindNone Kind = iota
	KindCall
	KindReply
	KindResolve
	KindCancel
)

var kindNames = [...]string{KindCall: "call", KindReply: "reply", KindResolve: "resolve", KindCancel: "cancel"}

// Meta is what the type property says. A zero field is not written, and a
// field that is not written is zero.
type Meta struct {
	Kind       Kind
	Attempt    int       // n: counts from 1
	Deadline   time.Time // d: to the millisecond
	Issued     time.Time // t: to the millisecond
	Nonce      Nonce     // x
	Code       warren.Code
	Reason     string
	Outcome    warren.Outcome // o: only with a code
	RetryAfter time.Duration  // w: to the millisecond; negative is -1 ms
	Replayed   bool           // p
	Incident   string         // i
}

// Encode returns the type property. It is at most 255 bytes for any Meta:
// what is out of its bounds is written as the bound, and text is cut.
func (m *Meta) Encode() string {
	var space [128]byte
	b := append(space[:0], Prefix...)
	b = append(b, ";k="...)
	b = append(b, kindNames[m.Kind]...)
	if m.Attempt != 0 {
		b = strconv.AppendInt(append(b, ";n="...), int64(min(max(m.Attempt, 1), maxAttempt)), 10)
	}
	if !m.Deadline.IsZero() {
		b = strconv.AppendInt(append(b, ";d="...), millis(m.Deadline), 10)
	}
	if !m.Issued.IsZero() {
		b = strconv.AppendInt(append(b, ";t="...), millis(m.Issued), 10)
	}
	if m.Nonce != (Nonce{}) {
		b = append(append(b, ";x="...), m.Nonce.text()...)
	}
	if m.Code != 0 {
		b = append(append(b, ";c="...), m.Code.String()...)
		if m.Reason != "" {
			b = append(append(b, ";r="...), clean(m.Reason, warren.MaxReason)...)
		}
		b = append(append(b, ";o="...), m.Outcome.String()...)
		if m.RetryAfter != 0 {
			b = strconv.AppendInt(append(b, ";w="...), retryMillis(m.RetryAfter), 10)
		}
		if m.Incident != "" {
			b = append(append(b, ";i="...), clean(m.Incident, warren.MaxIncident)...)
		}
	}
	if m.Replayed {
		b = append(b, ";p=1"...)
	}
	return string(b)
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

// DecodeMeta parses a type property for which [IsWarren] holds. Keys that it
// does not know are passed over, so that later minor versions may add some; a
// key given twice is an error.
func DecodeMeta(typ string) (Meta, error) {
	rest, ok := strings.CutPrefix(typ, Prefix)
	if !ok || rest != "" && rest[0] != ';' {
		return Meta{}, ErrVersion
	}
	rest = strings.TrimPrefix(rest, ";")
	var m Meta
	var seen [26]bool
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, ";")
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return Meta{}, fmt.Errorf("warren: metadata: %.40q is not key=value", pair)
		}
		if len(key) != 1 || key[0] < 'a' || key[0] > 'z' {
			continue
		}
		if seen[key[0]-'a'] {
			return Meta{}, fmt.Errorf("warren: metadata: the key %q stands twice", key)
		}
		seen[key[0]-'a'] = true
		if err := m.set(key[0], value); err != nil {
			return Meta{}, fmt.Errorf("warren: metadata: %s=%.64q: %w", key, value, err)
		}
	}
	if m.Kind == KindNone {
		return Meta{}, errors.New("warren: metadata: the kind is missing")
	}
	return m, nil
}

func (m *Meta) set(key byte, value string) (err error) {
	switch key {
	case 'k':
		for kind := KindCall; kind <= KindCancel; kind++ {
			if kindNames[kind] == value {
				m.Kind = kind
				return nil
			}
		}
		return errors.New("not a kind")
	case 'n':
		m.Attempt, err = strconv.Atoi(value)
		if err == nil && (m.Attempt < 1 || m.Attempt > maxAttempt) {
			return errors.New("out of range")
		}
		return err
	case 'd':
		m.Deadline, err = parseMillis(value)
		return err
	case 't':
		m.Issued, err = parseMillis(value)
		return err
	case 'x':
		m.Nonce, err = parseNonce(value)
		return err
	case 'c':
		if m.Code, err = warren.ParseCode(value); err != nil {
			// A later version may add codes; what it means is still an error.
			m.Code = warren.CodeUnknown
		}
		return nil
	case 'r':
		m.Reason = value
		return warren.CheckReason(value)
	case 'o':
		return m.Outcome.UnmarshalText([]byte(value))
	case 'w':
		// Out of range, ParseInt returns the bound that was passed.
		ms, err := strconv.ParseInt(value, 10, 64)
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return err
		}
		ms = min(ms, warren.MaxRetryAfter.Milliseconds())
		m.RetryAfter = time.Duration(max(ms, -1)) * time.Millisecond
		return nil
	case 'i':
		if len(value) > warren.MaxIncident || clean(value, warren.MaxIncident) != value {
			return errors.New("not an incident ID")
		}
		m.Incident = value
		return nil
	case 'p':
		m.Replayed = value == "1"
		return nil
	default:
		return nil
	}
}

func parseMillis(value string) (time.Time, error) {
	ms, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return time.Time{}, err
	}
	if ms < 1 || ms > maxMillis {
		return time.Time{}, errors.New("out of range")
	}
	return time.UnixMilli(ms), nil
}
