package configfile

import (
	"bytes"
	"encoding/json"
	"errors"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// parseJSON returns the nodes of a text that is an object of JSON, nil if it is not.
// YAML has no \/ and no surrogate pairs, as some encoders of JSON write them.
func parseJSON(data []byte) *yaml.Node {
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) || !json.Valid(data) || !utf8.Valid(data) {
		return nil
	}
	p := jsonParser{data: data, tokens: json.NewDecoder(bytes.NewReader(data)), at: Position{1, 1}}
	p.tokens.UseNumber()
	return p.node()
}

// brokenJSON says where a text that begins as an object of JSON is none, and why; empty
// if it does not, or is one.
func brokenJSON(data []byte) (at Position, why string) {
	var object map[string]any
	broken, is := errors.AsType[*json.SyntaxError](json.Unmarshal(data, &object))
	if !is || !bytes.HasPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{")) {
		return Position{}, ""
	}
	p := jsonParser{data: data, at: Position{1, 1}}
	p.advance(int(broken.Offset) - 1) // that of the byte that it cannot have, or of the last one
	return p.at, broken.Error()
}

type jsonParser struct {
	data   []byte
	tokens *json.Decoder
	offset int // the place of at
	at     Position
}

// node reads one value, of a text that is valid; nil at the end of an object or a list.
func (p *jsonParser) node() *yaml.Node {
	p.advance(int(p.tokens.InputOffset()))
	p.advance(p.offset + len(p.data[p.offset:]) - len(bytes.TrimLeft(p.data[p.offset:], " \t\r\n,:")))
	n := &yaml.Node{Line: p.at.Line, Column: p.at.Column, Kind: yaml.ScalarNode}
	token, err := p.tokens.Token()
	if err != nil {
		return nil // it has been read as a whole
	}
	switch v := token.(type) {
	case json.Delim:
		switch v {
		case '{':
			n.Kind, n.Tag = yaml.MappingNode, "!!map"
		case '[':
			n.Kind, n.Tag = yaml.SequenceNode, "!!seq"
		default:
			return nil
		}
		for element := p.node(); element != nil; element = p.node() {
			n.Content = append(n.Content, element)
		}
	case string:
		n.Tag, n.Value, n.Style = "!!str", v, yaml.DoubleQuotedStyle
	case json.Number:
		n.Value = v.String()
		n.Tag = n.ShortTag() // a whole number, or not
	case bool:
		n.Tag, n.Value = "!!bool", map[bool]string{true: "true", false: "false"}[v]
	default:
		n.Tag, n.Value = "!!null", "null"
	}
	return n
}

// advance moves on to a later offset.
func (p *jsonParser) advance(offset int) {
	for _, r := range string(p.data[p.offset:offset]) {
		if p.at.Column++; r == '\n' {
			p.at = Position{p.at.Line + 1, 1}
		}
	}
	p.offset = offset
}
