package configfile

import (
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/internal/setting"
)

// Section is a mapping of fields: a whole file, or an entry of it, such as a route
// or a pattern of methods. A field whose name has a dot stands in a part, which is a
// mapping within it.
type Section struct {
	// Entry is its name; empty for the file itself.
	Entry string
	// Path is where it stands, for findings.
	Path string
	// Fields are all that it may have, in the order in which they are told.
	Fields []setting.Field
	// Hints are told of names that are not known, instead of a suggestion. It may be
	// nil.
	Hints map[string]string
	// Set is told each value, of the type that its kind has.
	Set func(f *setting.Field, value any)
	// Custom reads fields of that kind, and refuses what it cannot read. It may be nil
	// if there are none.
	Custom func(f *setting.Field, at, node *yaml.Node)
}

// Section reads a section, and notes the places of its fields. What it cannot read it
// refuses.
func (d *Decoder) Section(s Section, at, node *yaml.Node) { d.part(&s, "", s.Path, at, node) }

func (d *Decoder) part(s *Section, part, path string, at, node *yaml.Node) {
	d.Each(at, node, path, func(key string, at, node *yaml.Node) {
		if key == "$schema" && path == "" { // for editors
			return
		}
		name, path := key, Join(path, key)
		if part != "" {
			name = part + "." + key
		}
		d.field(s, part, name, path, at, node)
	})
}

// field reads what stands after a key.
func (d *Decoder) field(s *Section, part, name, path string, at, node *yaml.Node) {
	i := slices.IndexFunc(s.Fields, func(f setting.Field) bool { return f.Name == name })
	below := names(s.Fields, name) // if it is a part
	if i < 0 && len(below) == 0 {
		hint, ok := s.Hints[name]
		if !ok {
			hint = suggestField(s.Fields, part, strings.TrimPrefix(name, part+"."))
		}
		d.Refuse(at, path, "is not known%s", hint)
		return
	}
	d.Mark(s.Entry, name, at)
	mapping := Resolve(node).Kind == yaml.MappingNode
	if i < 0 && !mapping {
		d.Refuse(at, path, "is %s; it must be a mapping, of %s", Describe(Resolve(node)), strings.Join(below, ", "))
		return
	}
	if i < 0 || s.Fields[i].Kind == setting.Part || len(below) > 0 && mapping {
		d.part(s, name, path, at, node)
		return
	}
	f := &s.Fields[i]
	if f.Kind == setting.Custom {
		s.Custom(f, at, node)
		return
	}
	value, where, wrong := read(f, node)
	if wrong != "" {
		if where == nil {
			where = at
		}
		d.Refuse(where, path, "%s", wrong)
		return
	}
	s.Set(f, value)
}

// names returns those that may stand in a part, or beside the parts if it is empty,
// in the order in which they are documented.
func names(fields []setting.Field, part string) []string {
	var list []string
	for _, f := range fields {
		name := f.Name
		if part != "" {
			rest, within := strings.CutPrefix(name, part+".")
			if !within {
				continue
			}
			name = rest
		}
		name, _, _ = strings.Cut(name, ".")
		if !slices.Contains(list, name) {
			list = append(list, name)
		}
	}
	return list
}

// suggestField returns "; did you mean x?" with the nearest of the names that a part
// has, or where a field of this name belongs, or else all names.
func suggestField(fields []setting.Field, part, name string) string {
	known := names(fields, part)
	if text := near(name, known); text != "" {
		return text
	}
	for _, f := range fields {
		if other, rest, ok := strings.Cut(f.Name, "."); ok && normal(rest) == normal(name) {
			return "; did you mean " + rest + " in " + other + "?"
		}
		if f.Name == name {
			return "; " + name + " belongs directly to the pattern"
		}
	}
	return Suggest(name, known)
}
