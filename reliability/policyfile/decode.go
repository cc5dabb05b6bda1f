package policyfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/reliability"
)

const (
	// A file of a megabyte has fewer keys; only aliases can have more.
	maxKeys = 300_000
	// Nobody reads more at a time.
	maxErrors = 100
)

// decoder walks the nodes of a file, so that everything it says has a line.
type decoder struct {
	file     string
	data     []byte
	findings []Finding
	places   map[place]position
	keys     int
	full     bool // has given up
}

func (d *decoder) add(at position, level reliability.Level, path, format string, args ...any) {
	d.findings = append(d.findings, Finding{
		File: d.file, Line: max(at.line, 1), Column: max(at.column, 1), Level: level, Path: path,
		Message: fmt.Sprintf(format, args...),
	})
}

func (d *decoder) refuse(node *yaml.Node, path, format string, args ...any) {
	d.add(position{node.Line, node.Column}, reliability.LevelError, path, format, args...)
}

// locate returns where a field is said, or else its part, or else the pattern.
func (d *decoder) locate(pattern, field string) position {
	part, _, _ := strings.Cut(field, ".")
	for _, name := range []string{field, part, ""} {
		if at, ok := d.places[place{pattern, name}]; ok {
			return at
		}
	}
	return position{}
}

func (d *decoder) decode() reliability.Rules {
	rules := reliability.Rules{Methods: map[string]reliability.Spec{}}
	root := d.document()
	if root == nil {
		return rules
	}
	var methods bool
	d.each(root, root, "", func(key string, at, value *yaml.Node) {
		switch key {
		case "methods":
			methods = true
			d.each(at, value, "methods", func(pattern string, at, value *yaml.Node) {
				d.places[place{pattern, ""}] = position{at.Line, at.Column}
				rules.Methods[pattern] = d.spec(pattern, at, value)
			})
		case "$schema": // for editors
		default:
			d.refuse(at, clip(key), "is not known here%s", suggest(key, []string{"methods"}))
		}
	})
	if !methods && len(d.findings) == 0 {
		d.add(position{}, reliability.LevelError, "", `has no "methods"`)
	}
	return rules
}

// document parses the text. It returns nil if there is nothing to go on with,
// and has said why.
func (d *decoder) document() *yaml.Node {
	if len(d.data) > MaxSize {
		d.add(position{}, reliability.LevelError, "", "is over %d bytes long", MaxSize)
		return nil
	}
	parser := yaml.NewDecoder(bytes.NewReader(d.data))
	var first, second yaml.Node
	switch err := parser.Decode(&first); {
	case errors.Is(err, io.EOF):
		d.add(position{}, reliability.LevelError, "", `has no "methods"`)
		return nil
	case err != nil:
		d.syntax(err)
		return nil
	}
	switch err := parser.Decode(&second); {
	case errors.Is(err, io.EOF):
	case err != nil:
		d.syntax(err)
		return nil
	default:
		d.refuse(&second, "", "a second document begins here; one is allowed")
		return nil
	}
	if first.Kind != yaml.DocumentNode || len(first.Content) != 1 {
		d.add(position{}, reliability.LevelError, "", `has no "methods"`)
		return nil
	}
	return first.Content[0]
}

var syntaxLine = regexp.MustCompile(`^yaml: (?:line (\d+): )?`)

// syntax tells the parser's error, and the cause where it is a common one.
func (d *decoder) syntax(err error) {
	text, at := err.Error(), position{}
	if found := syntaxLine.FindStringSubmatch(text); found != nil {
		at.line, _ = strconv.Atoi(found[1])
		text = text[len(found[0]):]
	}
	text = "is not YAML: " + strings.ReplaceAll(text, "\n", "; ")
	lines := strings.Split(string(d.data), "\n")
	// The parser may stop at the line after.
	for n := at.line; n >= 1 && n >= at.line-1; n-- {
		if n > len(lines) {
			continue
		}
		line := lines[n-1]
		content := strings.TrimLeft(line, " \t")
		indent := line[:len(line)-len(content)]
		switch {
		case strings.Contains(indent, "\t"):
			at, text = position{n, strings.IndexByte(indent, '\t') + 1}, "is not YAML: there is a tab; indent with spaces"
		case strings.HasPrefix(content, "*"):
			at, text = position{n, len(indent) + 1}, `is not YAML: put a pattern that begins with a star in quotes, as in "*":`
		default:
			continue
		}
		break
	}
	d.add(at, reliability.LevelError, "", "%s", text)
}

// each calls fn for every key of a mapping; place is where anything else is
// refused. Nothing, as after a key all of whose
// values are comments, is an empty mapping.
func (d *decoder) each(place, node *yaml.Node, path string, fn func(key string, at, value *yaml.Node)) {
	node = resolve(node)
	if isNull(node) {
		return
	}
	if node.Kind != yaml.MappingNode {
		d.refuse(place, path, "is %s; it must be a mapping", describe(node))
		return
	}
	seen := make(map[string]int, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		at, value := node.Content[i], node.Content[i+1]
		name := resolve(at)
		if d.keys++; d.keys > maxKeys || len(d.findings) >= maxErrors {
			if !d.full {
				d.full = true
				d.refuse(at, path, "this and what follows was not read: too many errors, or aliases of aliases")
			}
			return
		}
		switch first, twice := seen[name.Value]; {
		case name.Kind != yaml.ScalarNode:
			d.refuse(at, path, "has a key that is %s; it must be a name", describe(name))
		case name.ShortTag() == "!!merge":
			d.refuse(at, path, "merge keys (<<) are not read; say what patterns share in a shorter pattern")
		case twice:
			d.refuse(at, join(path, name.Value), "is there twice, first on line %d", first)
		default:
			seen[name.Value] = at.Line
			fn(name.Value, at, value)
		}
	}
}

// resolve follows an alias. One that contains itself does no harm: what is read
// is a few levels deep, whatever the file.
func resolve(node *yaml.Node) *yaml.Node {
	for range 10 {
		if node.Kind != yaml.AliasNode || node.Alias == nil {
			break
		}
		node = node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool { return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null" }

func describe(node *yaml.Node) string {
	switch node.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.ScalarNode:
		if isNull(node) {
			return "nothing"
		}
		return strconv.Quote(clip(node.Value))
	default:
		return "something else"
	}
}

// clip bounds what is repeated of a file.
func clip(text string) string {
	const most = 60
	if len(text) > most {
		text = strings.ToValidUTF8(text[:most], "") + "…"
	}
	quoted := strconv.Quote(text)
	return quoted[1 : len(quoted)-1]
}

func join(path, name string) string {
	if path == "" {
		return clip(name)
	}
	return path + "." + clip(name)
}
