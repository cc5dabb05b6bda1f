package docs

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// block is one fenced block of a Markdown file.
type block struct {
	file string
	line int // of its first line
	lang string
	text string
}

func (b block) where() string { return fmt.Sprintf("%s:%d", b.file, b.line) }

// name is the file name in the first line's comment, empty if there is none.
func (b block) name() string {
	first, _, _ := strings.Cut(b.text, "\n")
	for _, comment := range []string{"// ", "# "} {
		if name, ok := strings.CutPrefix(first, comment); ok && !strings.Contains(name, " ") {
			return name
		}
	}
	return ""
}

// documents are the Markdown files that these tests hold true, relative to the
// root.
func documents(t *testing.T) []string {
	t.Helper()
	files := []string{"README.md", "CHANGELOG.md"}
	for _, pattern := range []string{"docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range found {
			name, err := filepath.Rel(root, file)
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, name)
		}
	}
	if len(files) < 6 {
		t.Fatalf("only these documents were found: %q", files)
	}
	return files
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// blocks returns the fenced blocks of a file in one language.
func blocks(t *testing.T, file, lang string) []block {
	t.Helper()
	var found []block
	var open *block
	for i, line := range strings.Split(read(t, file), "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		switch {
		case open == nil && isFence:
			open = &block{file: file, line: i + 2, lang: fence}
		case open != nil && isFence:
			if open.lang == lang {
				found = append(found, *open)
			}
			open = nil
		case open != nil:
			open.text += line + "\n"
		}
	}
	if open != nil {
		t.Fatalf("%s: the block does not end", open.where())
	}
	return found
}

// prose returns a file without its fenced blocks.
func prose(t *testing.T, file string) string {
	t.Helper()
	var text strings.Builder
	inside := false
	for line := range strings.Lines(read(t, file)) {
		fence := strings.HasPrefix(line, "```")
		if !fence && !inside {
			text.WriteString(line)
		}
		inside = inside != fence
	}
	return text.String()
}
