package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/warren-rpc/warren/internal/printable"
)

// isTerminal reports whether a person reads w, or types into it.
func isTerminal(w any) bool {
	if s, ok := w.(*screen); ok {
		w = s.raw
	}
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && !isNull(info)
}

// isNull reports whether a file is the null device, which looks like a terminal.
func isNull(info os.FileInfo) bool {
	null, err := os.Stat(os.DevNull)
	return err == nil && os.SameFile(null, info)
}

// hasColour reports whether w shows colours to a person who wants them: see
// no-color.org.
func hasColour(w io.Writer) bool {
	return os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)
}

type colour string

const (
	red   colour = "31"
	green colour = "32"
	blue  colour = "34"
	cyan  colour = "36"
	faint colour = "2"
)

// painted is text in a colour.
type painted struct {
	colour
	text string
}

// Format implements fmt.Formatter.
func (p painted) Format(f fmt.State, _ rune) {
	text := printable.Text(p.text)
	if p.colour != "" {
		text = p.escape(text)
	}
	_, _ = io.WriteString(f, text)
}

// escape adds a terminal's controls to a text that has none.
func (c colour) escape(text string) string { return "\x1b[" + string(c) + "m" + text + "\x1b[0m" }

// prettyJSON returns a JSON text with line ends and colours. Numbers and strings
// stay as they are.
func prettyJSON(text []byte) (string, bool) {
	var indented bytes.Buffer
	if json.Indent(&indented, text, "", "  ") != nil {
		return "", false
	}
	var b strings.Builder
	for rest := indented.String(); rest != ""; {
		token, c := firstToken(rest)
		rest = rest[len(token):]
		if c == green && strings.HasPrefix(rest, ":") {
			c = blue // a name
		}
		if c != "" {
			token = c.escape(token)
		}
		b.WriteString(token)
	}
	return b.String(), true
}

// firstToken returns what a valid JSON text begins with: a string, a number, a
// literal, or one byte.
func firstToken(text string) (string, colour) {
	switch c := text[0]; {
	case c == '"':
		for i := 1; i < len(text); i++ {
			switch text[i] {
			case '\\':
				i++
			case '"':
				return text[:i+1], green
			}
		}
		return text, green
	case c == '-' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z':
		end := strings.IndexAny(text, ",]} \n")
		if end < 0 {
			end = len(text)
		}
		return text[:end], cyan
	default:
		return text[:1], ""
	}
}
