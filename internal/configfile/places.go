package configfile

import "strings"

// Place is what has a position in a file: a field of an entry, such as a route or a
// pattern of methods; the entry itself if the field is empty; and a field of the file
// if the entry is.
type Place struct{ Entry, Field string }

// Places are where things are said in a file.
type Places map[Place]Position

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
