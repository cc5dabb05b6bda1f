package configfile

import (
	"strings"

	"go.yaml.in/yaml/v3"
)

// Place is what has a position in a file: a field of an entry, such as a route or a
// pattern of methods; the entry itself if the field is empty; and a field of the file
// if the entry is.
type Place struct{ Entry, Field string }

// Places are where things are said in a file.
type Places map[Place]Position

// Mark notes that a field, or the entry itself if it is empty, is said at a node.
func (d *Decoder) Mark(entry, field string, node *yaml.Node) {
	if d.Places == nil {
		d.Places = Places{}
	}
	d.Places[Place{entry, field}] = At(node)
}

// Said returns where a field, or the entry itself, is said, and whether it is.
func (d *Decoder) Said(entry, field string) (Position, bool) {
	at, there := d.Places[Place{entry, field}]
	return at, there
}

// Locate returns where a field is said, or else its part, or else its entry.
func (p Places) Locate(entry, field string) Position {
	part, _, _ := strings.Cut(field, ".")
	for _, name := range []string{field, part, ""} {
		if at, ok := p[Place{entry, name}]; ok {
			return at
		}
	}
	return Position{}
}
