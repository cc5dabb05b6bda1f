package policyfile

import (
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/reliability"
)

// decoder reads a file of policies, and notes where each field is said.
type decoder struct {
	configfile.Decoder

	places map[place]configfile.Position
}

func newDecoder(name string, data []byte) *decoder {
	return &decoder{
		Decoder: configfile.Decoder{
			File: name, Data: data, Must: "methods", NoMerge: "say what patterns share in a shorter pattern",
		},
		places: map[place]configfile.Position{},
	}
}

// locate returns where a field is said, or else its part, or else the pattern.
func (d *decoder) locate(pattern, field string) configfile.Position {
	part, _, _ := strings.Cut(field, ".")
	for _, name := range []string{field, part, ""} {
		if at, ok := d.places[place{pattern, name}]; ok {
			return at
		}
	}
	return configfile.Position{}
}

func (d *decoder) decode() reliability.Rules {
	rules := reliability.Rules{Methods: map[string]reliability.Spec{}}
	root := d.Document()
	if root == nil {
		return rules
	}
	var methods bool
	d.Each(root, root, "", func(key string, at, value *yaml.Node) {
		switch key {
		case "methods":
			methods = true
			d.Each(at, value, "methods", func(pattern string, at, value *yaml.Node) {
				d.places[place{pattern, ""}] = configfile.At(at)
				rules.Methods[pattern] = d.spec(pattern, at, value)
			})
		case "$schema": // for editors
		default:
			d.Refuse(at, configfile.Clip(key), "is not known here%s", suggest(key, []string{"methods"}))
		}
	})
	if !methods && len(d.Findings) == 0 {
		d.Missing()
	}
	return rules
}
