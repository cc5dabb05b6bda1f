package configfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/internal/setting"
)

const (
	// A file of a megabyte has fewer keys; only aliases can have more.
	maxKeys = 300_000
	// Nobody reads more at a time.
	maxErrors = 100
)

// Decoder walks the nodes of a file, so that everything it says has a line.
type Decoder struct {
	// File is its name, which findings are told with, and Data what it holds.
	File string
	Data []byte
	// Must is the key that a file must have.
	Must string
	// NoMerge is what the writer of a merge key should do instead.
	NoMerge string

	// Findings is what is wrong, in the order in which it was found.
	Findings []Finding
	// Places are where sections and their fields are said.
	Places Places

	keys int
	full bool // has given up
}

// Position is a place in a file, counted from 1; zero if there is none.
type Position struct{ Line, Column int }

// At returns where a node stands.
func At(node *yaml.Node) Position { return Position{node.Line, node.Column} }

// Add adds a finding.
func (d *Decoder) Add(at Position, level setting.Level, path, format string, args ...any) {
	d.Findings = append(d.Findings, Finding{
		File: d.File, Line: max(at.Line, 1), Column: max(at.Column, 1), Level: level, Path: path,
		Message: fmt.Sprintf(format, args...),
	})
}

// Refuse adds an error that stands at node.
func (d *Decoder) Refuse(node *yaml.Node, path, format string, args ...any) {
	d.Add(At(node), setting.LevelError, path, format, args...)
}

// Missing adds that the file lacks what it must have.
func (d *Decoder) Missing() { d.Add(Position{}, setting.LevelError, "", "has no %q", d.Must) }

// Document parses the text. It returns nil if there is nothing to go on with,
// and has said why.
func (d *Decoder) Document() *yaml.Node {
	if len(d.Data) > MaxSize {
		d.Add(Position{}, setting.LevelError, "", "is over %d bytes long", MaxSize)
		return nil
	}
	if object := parseJSON(d.Data); object != nil {
		return object
	}
	if at, wrong := unreadable(d.Data); wrong != "" {
		d.Add(at, setting.LevelError, "", "is not YAML: %s", wrong)
		return nil
	}
	first, second, err := documents(d.Data)
	switch {
	case err != nil:
		d.syntax(err)
		return nil
	case first == nil:
		d.Missing()
		return nil
	case second != nil:
		d.Refuse(second, "", "a second document begins here; one is allowed")
		return nil
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 {
		d.Missing()
		return nil
	}
	return first.Content[0]
}

// documents parses a text that has up to two documents; the second tells where it
// begins.
func documents(data []byte) (first, second *yaml.Node, err error) {
	parser := yaml.NewDecoder(bytes.NewReader(data))
	for _, node := range []**yaml.Node{&first, &second} {
		var document yaml.Node
		err := parser.Decode(&document)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, nil, err
		}
		*node = &document
	}
	return first, second, nil
}

// unreadable says where a text has the first byte that YAML cannot have, and why;
// empty if it has none. UTF-16 is left to the parser.
func unreadable(data []byte) (at Position, why string) {
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return Position{}, ""
	}
	at = Position{1, 1}
	for len(data) > 0 {
		r, width := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && width == 1:
			return at, fmt.Sprintf("the byte %#x is not UTF-8; save the file in that encoding", data[0])
		case r < ' ' && r != '\t' && r != '\n' && r != '\r' || r == 0x7f:
			return at, fmt.Sprintf("there is a control character, %#x", r)
		case r == '\n':
			at = Position{at.Line + 1, 1}
		default:
			at.Column++
		}
		data = data[width:]
	}
	return Position{}, ""
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

func withoutLine(err error) string {
	if err == nil {
		return ""
	}
	return syntaxLine.ReplaceAllString(err.Error(), "")
}

// errorLine returns the line on which the parser cannot go on, which it does not tell
// of all errors, and of some wrongly: the first at whose end it says the same.
func (d *Decoder) errorLine(text string) int {
	ends := []int{}
	for i, c := range d.Data {
		if c == '\n' {
			ends = append(ends, i+1)
		}
	}
	return 1 + sort.Search(len(ends), func(i int) bool {
		_, _, err := documents(d.Data[:ends[i]])
		return withoutLine(err) == text
	})
}

// syntax tells the parser's error, and the cause where it is a common one.
func (d *Decoder) syntax(err error) {
	text := withoutLine(err)
	if at, why := brokenJSON(d.Data); why != "" && strings.Contains(text, "escape") {
		d.Add(at, setting.LevelError, "", "is not JSON: %s", why)
		return
	}
	at := Position{Line: d.errorLine(text)}
	text = "is not YAML: " + strings.ReplaceAll(text, "\n", "; ")
	lines := strings.Split(string(d.Data), "\n")
	// The parser may stop at the line after.
	for n := at.Line; n >= 1 && n >= at.Line-1; n-- {
		if n > len(lines) {
			continue
		}
		line := lines[n-1]
		content := strings.TrimLeft(line, " \t")
		indent := line[:len(line)-len(content)]
		switch {
		case strings.Contains(indent, "\t"):
			at, text = Position{n, strings.IndexByte(indent, '\t') + 1}, "is not YAML: there is a tab; indent with spaces"
		case strings.HasPrefix(content, "*"):
			at, text = Position{n, len(indent) + 1}, `is not YAML: put a pattern that begins with a star in quotes, as in "*":`
		default:
			continue
		}
		break
	}
	d.Add(at, setting.LevelError, "", "%s", text)
}

// Each calls fn for every key of a mapping; place is where anything else is
// refused. Nothing, as after a key all of whose values are comments, is an empty
// mapping.
func (d *Decoder) Each(place, node *yaml.Node, path string, fn func(key string, at, value *yaml.Node)) {
	node = Resolve(node)
	if IsNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		d.Refuse(place, path, "is %s; it must be a mapping", Describe(node))
		return
	}
	seen := make(map[string]int, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		at, value := node.Content[i], node.Content[i+1]
		name := Resolve(at)
		if d.keys++; d.keys > maxKeys || len(d.Findings) >= maxErrors {
			if !d.full {
				d.full = true
				d.Refuse(at, path, "this and what follows was not read: too many errors, or aliases of aliases")
			}
			return
		}
		switch first, twice := seen[name.Value]; {
		case name.Kind != yaml.ScalarNode:
			d.Refuse(at, path, "has a key that is %s; it must be a name", Describe(name))
		case name.ShortTag() == "!!merge":
			d.Refuse(at, path, "merge keys (<<) are not read; %s", d.NoMerge)
		case twice:
			d.Refuse(at, Join(path, name.Value), "is there twice, first on line %d", first)
		default:
			seen[name.Value] = at.Line
			fn(name.Value, at, value)
		}
	}
}

// Resolve follows an alias. One that contains itself does no harm: what is read
// is a few levels deep, whatever the file.
func Resolve(node *yaml.Node) *yaml.Node {
	for range 10 {
		if node.Kind != yaml.AliasNode || node.Alias == nil {
			break
		}
		node = node.Alias
	}
	return node
}

// IsNull reports whether a node says nothing.
func IsNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

// Describe names what a node is, for a finding.
func Describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if IsNull(node) {
			return "nothing"
		}
		return strconv.Quote(Clip(node.Value))
	default:
		return "something else"
	}
}

// Clip bounds what is repeated of a file.
func Clip(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

// Join returns the path of what is called name below path.
func Join(path, name string) string {
	if path == "" {
		return Clip(name)
	}
	return path + "." + Clip(name)
}
