// Package printable makes what others wrote fit to be shown: on a terminal, in a
// report, in a log. What a terminal would obey, and what makes a reader see other
// text than there is, is shown as Go writes it in a string: \x1b, \u202e, and \xff
// for a byte that is not UTF-8.
package printable

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Text returns s as one line: letters, marks, numbers, punctuation, symbols and the
// ASCII space stay; all else, line ends too, is escaped.
func Text(s string) string { return escaped(s, "") }

// Lines is Text for several lines: it leaves line feeds and tabs.
func Lines(s string) string { return escaped(s, "\n\t") }

// Is reports whether Lines leaves s as it is.
func Is(s string) bool { return clean(s, "\n\t") == len(s) }

// clean returns how many bytes of s need no escape.
func clean(s, allowed string) int {
	for i, r := range s {
		if !unicode.IsPrint(r) && !strings.ContainsRune(allowed, r) || r == utf8.RuneError && isInvalid(s[i:]) {
			return i
		}
	}
	return len(s)
}

func isInvalid(s string) bool {
	_, width := utf8.DecodeRuneInString(s)
	return width == 1
}

func escaped(s, allowed string) string {
	n := clean(s, allowed)
	if n == len(s) {
		return s
	}
	b := append(make([]byte, 0, len(s)+16), s[:n]...)
	for s = s[n:]; s != ""; {
		r, width := utf8.DecodeRuneInString(s)
		switch {
		case r == utf8.RuneError && width == 1:
			b = fmt.Appendf(b, `\x%02x`, s[0])
		case unicode.IsPrint(r) || strings.ContainsRune(allowed, r):
			b = append(b, s[:width]...)
		default:
			quoted := strconv.QuoteRune(r)
			b = append(b, quoted[1:len(quoted)-1]...)
		}
		s = s[width:]
	}
	return string(b)
}

// Arg is an argument of fmt's functions whose text is shown as Text, whatever the
// verb and the value are.
type Arg struct{ Value any }

// Format implements fmt.Formatter.
func (a Arg) Format(f fmt.State, verb rune) {
	_, _ = io.WriteString(f, Text(fmt.Sprintf(fmt.FormatString(f, verb), a.Value)))
}

// Sprintf is fmt's, with every argument shown as Text.
func Sprintf(format string, args ...any) string {
	shown := make([]any, len(args))
	for i, arg := range args {
		shown[i] = Arg{arg}
	}
	return fmt.Sprintf(format, shown...)
}

// Writer shows as Lines what is written to it, each Write by itself.
type Writer struct{ To io.Writer }

// Write implements io.Writer.
func (w Writer) Write(p []byte) (int, error) {
	if _, err := io.WriteString(w.To, Lines(string(p))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// JSON returns v as JSON on one line. In its strings, what Text would escape is
// escaped as JSON has it, which encoding/json leaves to itself above U+007E; a byte
// of a json.RawMessage that is not UTF-8 becomes U+FFFD, as elsewhere.
func JSON(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	text := strings.TrimSuffix(b.String(), "\n")
	n := clean(text, "")
	if n == len(text) {
		return []byte(text), nil
	}
	out := append(make([]byte, 0, len(text)+16), text[:n]...)
	for text = text[n:]; text != ""; {
		r, width := utf8.DecodeRuneInString(text)
		switch {
		case unicode.IsPrint(r) && (r != utf8.RuneError || width > 1):
			out = append(out, text[:width]...)
		case r > 0xffff:
			r -= 0x10000
			out = fmt.Appendf(out, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
		text = text[width:]
	}
	return out, nil
}
