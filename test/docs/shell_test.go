package docs

import (
	"fmt"
	"strings"
	"testing"
)

// command is one command of a document, as a shell would see it, up to the first
// pipe, redirection or comment.
type command struct {
	block

	words   []string
	comment string
	// output is what a console block shows below it.
	output string
}

func (c command) String() string { return fmt.Sprintf("%s: %q", c.where(), strings.Join(c.words, " ")) }

// tool returns the arguments of Warren's tool, if that is what the command runs.
func (c command) tool() (args []string, ok bool) {
	switch {
	case c.words[0] == "warren":
		return c.words[1:], true
	case len(c.words) > 3 && strings.Join(c.words[:3], " ") == "go run ./cmd/warren":
		return c.words[3:], true
	}
	return nil, false
}

// commands returns all commands of a document's blocks for shells.
func commands(t *testing.T, file string) (found []command) {
	t.Helper()
	for _, b := range blocks(t, file, "sh") {
		for line := range strings.Lines(b.text) {
			for part := range strings.SplitSeq(line, " && ") {
				if words, comment := split(t, b, part); len(words) > 0 {
					found = append(found, command{block: b, words: words, comment: comment})
				}
			}
		}
	}
	for _, b := range blocks(t, file, "console") {
		for _, scene := range strings.Split("\n"+b.text, "\n$ ")[1:] {
			line, output, _ := strings.Cut(scene, "\n")
			words, comment := split(t, b, line)
			found = append(found, command{block: b, words: words, comment: comment, output: output})
		}
	}
	return found
}

// split does with quotes what a shell does, and no more.
func split(t *testing.T, b block, line string) (words []string, comment string) {
	t.Helper()
	var word strings.Builder
	in, quote := false, rune(0)
	end := func() {
		if in {
			words = append(words, word.String())
		}
		in = false
		word.Reset()
	}
	for i, r := range strings.TrimSpace(line) + "\n" {
		switch {
		case quote != 0 && r == '\n':
			t.Fatalf("%s: a quote does not end: %s", b.where(), line)
		case quote == r:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == '#' && !in:
			return words, strings.TrimSpace(strings.TrimSpace(line)[i+1:])
		case strings.ContainsRune("|<>&;", r):
			end()
			return words, ""
		case strings.ContainsRune(" \t\n", r):
			end()
		default:
			in = true
			word.WriteRune(r)
		}
	}
	return words, ""
}

func TestCommandsAreSplitAsByAShell(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		`warren call rpc_queue 30   # 832040`:              `["warren" "call" "rpc_queue" "30"]832040`,
		`rabbitmqctl '^(a|b)\.' "x y" ''`:                  `["rabbitmqctl" "^(a|b)\\." "x y" ""]`,
		`warren store export f --state failed | jq .error`: `["warren" "store" "export" "f" "--state" "failed"]`,
		`warren serve &`:                                   `["warren" "serve"]`,
		`# a comment`:                                      `[]a comment`,
		`curl -s http://127.0.0.1/a#b`:                     `["curl" "-s" "http://127.0.0.1/a#b"]`,
	} {
		words, comment := split(t, block{}, line)
		if got := fmt.Sprintf("%q", words) + comment; got != want {
			t.Errorf("%s\ngot  %s\nwant %s", line, got, want)
		}
	}
}
