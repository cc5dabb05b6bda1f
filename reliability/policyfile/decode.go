package policyfile

import (
	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/reliability"
)

// decoder reads a file of policies, and notes where each field is said.
type decoder struct {
	configfile.Decoder

	places configfile.Places
}

func newDecoder(name string, data []byte) *decoder {
	return &decoder{
		Decoder: configfile.Decoder{
			File: name, Data: data, Must: "methods", NoMerge: "say what patterns share in a shorter pattern",
		},
		places: configfile.Places{},
	}
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
				d.places[configfile.Place{Entry: pattern, Field: ""}] = configfile.At(at)
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
