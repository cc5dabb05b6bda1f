package wire

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
)

var kindNames = [...]string{KindCall: "call", KindReply: "reply", KindResolve: "resolve", KindCancel: "cancel"}

func (m *Meta) encode1() string {
	var space [128]byte
	b := append(space[:0], Namespace+"1"...)
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

// decode1 reads what follows the version.
func decode1(rest string) (Meta, error) {
	rest = strings.TrimPrefix(rest, ";")
	m := Meta{Version: V1}
	var seen [26]bool
	for rest != "" {
		var pair string
		pair, rest, _ = strings.Cut(rest, ";")
		key, value, ok := strings.Cut(pair, "=")
		if !ok || key == "" {
			return Meta{}, fmt.Errorf("warren: metadata: %.40q is not key=value", pair)
		}
		if len(key) != 1 || !isLetter(key[0]) {
			continue
		}
		if seen[key[0]-'a'] {
			return Meta{}, fmt.Errorf("warren: metadata: the key %q stands twice", key)
		}
		seen[key[0]-'a'] = true
		if err := m.set1(key[0], value); err != nil {
			return Meta{}, fmt.Errorf("warren: metadata: %s=%.64q: %w", key, value, err)
		}
	}
	if m.Kind == KindNone {
		return Meta{}, errors.New("warren: metadata: the kind is missing")
	}
	return m, nil
}

func (m *Meta) set1(key byte, value string) (err error) {
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
			return errRange
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
		m.Incident = value
		return checkIncident(value)
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
	return instant(ms)
}
