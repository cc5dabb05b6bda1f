package printable_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/warren-rpc/warren/internal/printable"
)

func TestWhatATerminalObeysIsShown(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                       "",
		"grüße, 世界 ✓ a\\b":       "grüße, 世界 ✓ a\\b",
		"\x1b]0;title\a":         `\x1b]0;title\a`,
		"a\r\nb\tc":              `a\r\nb\tc`,
		"\u009b31m\u0085":        `\u009b31m\u0085`,
		"\x7f\x00":               `\x7f\x00`,
		"\u202eevil\u2066\u200f": `\u202eevil\u2066\u200f`,
		"\u2028\u2029\ufeff":     `\u2028\u2029\ufeff`,
		"\xff\x9b ok \xe2\x80":   `\xff\x9b ok \xe2\x80`,
		"\U000e0001\ufffd":       "\\U000e0001\ufffd",
	} {
		if got := printable.Text(in); got != want {
			t.Errorf("%q is shown as %s, want %s", in, got, want)
		}
	}
	if got := printable.Lines("a\tb\n\x1b\r\n"); got != "a\tb\n\\x1b\\r\n" {
		t.Errorf("lines are %q", got)
	}
	got := printable.Sprintf("%5d|%-4s|%.2q|%v|%s", 7, "\n", "\x1b\x1bx", errors.New("e\x1b"), []string{"\u202e"})
	if got != `    7|\n   |"\x1b\x1b"|e\x1b|[\u202e]` {
		t.Errorf("formatted: %s", got)
	}
}

func TestJSONHoldsNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	value := map[string]any{"k\u009b\u202e": "a\x1b\x7f\u0085\u2066\U000e0001 \xff<&>", "raw": json.RawMessage("\"\u009b\\u0041 \xff\"")}
	b, err := printable.JSON(value)
	if err != nil || printable.Text(string(b)) != string(b) || !strings.Contains(string(b), "<&>") {
		t.Errorf("%q, %v", b, err)
	}
	var got any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"k\u009b\u202e": "a\x1b\x7f\u0085\u2066\U000e0001 \ufffd<&>", "raw": "\u009bA \ufffd"}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("read back as %q", got)
	}
}

func FuzzPrintable(f *testing.F) {
	f.Add("\x1b[31m\u202e\xff")
	f.Fuzz(func(t *testing.T, s string) {
		for _, out := range []string{printable.Text(s), printable.Lines(s), printable.Sprintf("%s", s)} {
			if !utf8.ValidString(out) || strings.IndexFunc(out, func(r rune) bool {
				return !unicode.IsPrint(r) && (r != '\n' && r != '\t' || out == printable.Text(s))
			}) >= 0 {
				t.Errorf("%q is shown as %q", s, out)
			}
		}
		b, err := printable.JSON(s)
		var back string
		if err != nil || json.Unmarshal(b, &back) != nil || back != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Errorf("%q is %s, %v", s, b, err)
		}
		if printable.Text(string(b)) != string(b) {
			t.Errorf("%q is %q", s, b)
		}
	})
}
