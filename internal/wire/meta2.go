package wire

import (
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/warren-rpc/warren"
)

var kindLetters = [...]byte{KindCall: 'c', KindReply: 'r', KindBundle: 'm'}

// commonReply is the metadata of most replies.
const commonReply = Namespace + "2r"

// commonCalls are the metadata of most calls: those that say when they were made, and
// that they take several replies in a message, and nothing else.
var commonCalls lastText

func commonCall(issued int64) string {
	b := appendNumber(append(make([]byte, 0, 32), Namespace+"2c"...), 't', issued)
	return string(append(b, ";b"...))
}

func (m *Meta) encode2() string {
	if common := (Meta{Version: V2, Kind: m.Kind, Attempt: m.Attempt, Issued: m.Issued, Bundles: m.Bundles}); m.Attempt <= 1 && *m == common {
		switch {
		case m.Kind == KindReply && m.Issued.IsZero() && !m.Bundles:
			return commonReply
		case m.Kind == KindCall && !m.Issued.IsZero() && m.Bundles:
			return commonCalls.of(millis(m.Issued), commonCall)
		}
	}
	var space [128]byte
	b := append(append(space[:0], Namespace+"2"...), kindLetters[m.Kind])
	if !m.Issued.IsZero() {
		issued := millis(m.Issued)
		b = appendNumber(b, 't', issued)
		if !m.Deadline.IsZero() {
			b = appendNumber(b, 'd', max(millis(m.Deadline)-issued, 1))
		}
	}
	if m.Attempt > 1 {
		b = appendNumber(b, 'n', int64(min(m.Attempt, maxAttempt)))
	}
	if m.Nonce != (Nonce{}) {
		b = append(append(b, ";x"...), m.Nonce.text()...)
	}
	if m.Bundles {
		b = append(b, ";b"...)
	}
	if m.Code != 0 {
		b = m.appendError2(b)
	}
	if m.Replayed {
		b = append(b, ";p"...)
	}
	return string(b)
}

func (m *Meta) appendError2(b []byte) []byte {
	b = appendNumber(b, 'c', int64(m.Code))
	if m.Reason != "" {
		b = append(append(b, ";r"...), clean(m.Reason, warren.MaxReason)...)
	}
	switch m.Outcome {
	case warren.NotExecuted:
		b = append(b, ";on"...)
	case warren.Executed:
		b = append(b, ";oe"...)
	case warren.Unknown:
	}
	if m.RetryAfter != 0 {
		b = appendNumber(b, 'w', retryMillis(m.RetryAfter))
	}
	if m.Incident != "" {
		b = append(append(b, ";i"...), clean(m.Incident, warren.MaxIncident)...)
	}
	return b
}

func appendNumber(b []byte, letter byte, n int64) []byte {
	return strconv.AppendInt(append(b, ';', letter), n, 36)
}

// decode2 reads what follows the version: the kind, and the items.
func decode2(rest string) (Meta, error) {
	m := Meta{Version: V2, Attempt: 1}
	kind, rest := rest[:1], rest[1:]
	switch kind {
	case "c":
		m.Kind = KindCall
	case "r":
		m.Kind = KindReply
	case "m":
		m.Kind = KindBundle
	default:
		return Meta{}, fmt.Errorf("warren: metadata: %q is not a kind", kind)
	}
	var seen [26]bool
	var left int64 // the deadline, in ms after the issue time
	for rest != "" {
		if rest[0] != ';' || len(rest) == 1 || rest[1] == ';' {
			return Meta{}, fmt.Errorf("warren: metadata: %.40q is not ; and an item", rest)
		}
		var item string
		item, rest = cutItem(rest[1:])
		letter, value := item[0], item[1:]
		if !isLetter(letter) {
			continue
		}
		if seen[letter-'a'] {
			return Meta{}, fmt.Errorf("warren: metadata: the item %q stands twice", letter)
		}
		seen[letter-'a'] = true
		var err error
		if letter == 'd' {
			left, err = parseNumber(value, maxMillis)
		} else {
			err = m.set2(letter, value)
		}
		if err != nil {
			return Meta{}, fmt.Errorf("warren: metadata: %.64q: %w", item, err)
		}
	}
	if left > 0 {
		var err error
		if m.Deadline, err = after(m.Issued, left); err != nil {
			return Meta{}, fmt.Errorf("warren: metadata: the deadline: %w", err)
		}
	}
	return m, nil
}

// cutItem returns the first item of a list, and what follows it, with its semicolon.
func cutItem(list string) (item, rest string) {
	if i := strings.IndexByte(list, ';'); i >= 0 {
		return list[:i], list[i:]
	}
	return list, ""
}

// after returns the deadline that is so many milliseconds after the issue time.
func after(issued time.Time, ms int64) (time.Time, error) {
	if issued.IsZero() {
		return time.Time{}, errors.New("there is no issue time that it follows")
	}
	return instant(issued.UnixMilli() + ms)
}

func (m *Meta) set2(letter byte, value string) (err error) {
	var n int64
	switch letter {
	case 't':
		if n, err = parseNumber(value, maxMillis); err == nil {
			m.Issued = time.UnixMilli(n)
		}
	case 'n':
		n, err = parseNumber(value, maxAttempt)
		m.Attempt = int(n)
	case 'x':
		m.Nonce, err = parseNonce(value)
	case 'c':
		if n, err = parseNumber(value, math.MaxInt64); err == nil {
			m.Code = codeOf(n)
		}
	case 'r':
		if m.Reason, err = value, warren.CheckReason(value); value == "" {
			err = errEmpty
		}
	case 'o':
		m.Outcome, err = parseOutcome(value)
	case 'w':
		m.RetryAfter, err = parseWait(value)
	case 'i':
		if m.Incident, err = value, checkIncident(value); value == "" {
			err = errEmpty
		}
	case 'b':
		if m.Bundles = value == ""; !m.Bundles {
			err = errors.New("it has no value")
		}
	case 'p':
		if m.Replayed = value == ""; !m.Replayed {
			err = errors.New("it has no value")
		}
	}
	return err
}

var errEmpty = errors.New("it is empty")

// codeOf returns the code of that number. One that is added later is still an error.
func codeOf(n int64) warren.Code {
	if n > int64(warren.CodeUnauthenticated) {
		return warren.CodeUnknown
	}
	return warren.Code(n)
}

func parseOutcome(value string) (warren.Outcome, error) {
	switch value {
	case "n":
		return warren.NotExecuted, nil
	case "e":
		return warren.Executed, nil
	}
	return warren.Unknown, errors.New("not an outcome")
}

func parseWait(value string) (time.Duration, error) {
	if value == "-1" {
		return -time.Millisecond, nil
	}
	n, err := parseNumber(value, math.MaxInt64)
	return time.Duration(min(n, warren.MaxRetryAfter.Milliseconds())) * time.Millisecond, err
}

// parseNumber reads a number in base 36, which has one form: lower case, without sign
// and leading zeros. One that is larger than any is taken for the largest.
func parseNumber(value string, most int64) (n int64, err error) {
	if value == "" || value[0] == '0' {
		return 0, errors.New("not a number in base 36")
	}
	for i := range len(value) {
		digit := value[i] - '0'
		if isLetter(value[i]) {
			digit = value[i] - 'a' + 10
		} else if digit > 9 {
			return 0, errors.New("not a number in base 36")
		}
		if n > (math.MaxInt64-35)/36 {
			n = math.MaxInt64
			continue
		}
		n = n*36 + int64(digit)
	}
	if n > most {
		return 0, errRange
	}
	return n, nil
}
