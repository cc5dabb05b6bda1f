package report

import (
	"bytes"
	"encoding/json"
	"io"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/warren-rpc/warren/test/chaos/check"
	"github.com/warren-rpc/warren/test/chaos/history"
)

// Servers choose the texts of errors, and callers IDs: neither a terminal nor a reader
// of the page gets more of them than text.
func TestReportsHoldNothingThatATerminalObeys(t *testing.T) {
	t.Parallel()
	const evil = "\x1b]0;owned\a\r\n\x7f\u009b31m\u0085\u202emoc.live\u2066\u2028\u2029\ufeff\xff\x9b"
	run := sample(t, 60)
	run.Mode, run.Command = evil, evil
	run.Kills, run.Missing = map[string]int{evil: 1}, map[string]string{evil: evil}
	r := run.Report
	r.Faults, r.Errors, r.Visualisations = map[string]int{evil: 2}, map[string]int{evil: 3}, []string{"/x/" + evil}
	for i := range r.Timeline.Faults {
		r.Timeline.Faults[i].Fault.Name, r.Timeline.Faults[i].Fault.Target = evil, evil
	}
	r.Invariants = append(r.Invariants, check.Invariant{
		Name: evil, Promise: evil, Checked: 1, Broken: 1,
		Examples: []check.Example{{CallID: evil, What: evil, Events: []history.Event{{
			Kind: evil, Process: evil, At: time.Second, Client: evil, CallID: evil, Method: evil, Mode: evil,
			Op: &history.Op{Name: evil, Key: evil, To: evil, Old: evil, New: evil}, Code: evil, Reason: evil, Text: evil, State: evil,
		}}}},
	})
	for name, write := range map[string]func(io.Writer, Run) error{"text": Text, "page": HTML, "JSON": JSON} {
		var b bytes.Buffer
		if err := write(&b, run); err != nil {
			t.Fatal(err)
		}
		text := b.String()
		for i, c := range text {
			invalid := c == utf8.RuneError && !strings.HasPrefix(text[i:], "\ufffd")
			if invalid || !unicode.IsPrint(c) && c != '\n' && c != '\t' {
				t.Fatalf("the %s holds %q: %q", name, c, text[max(0, i-60):i+10])
			}
		}
		if name == "text" && strings.Contains(text, "\n31m") {
			t.Error("a line of the text is another's")
		}
		if name == "JSON" && !json.Valid(b.Bytes()) {
			t.Errorf("it is no JSON: %s", text)
		}
		if !strings.Contains(text, "owned") {
			t.Errorf("the %s shows nothing of it", name)
		}
	}
}
