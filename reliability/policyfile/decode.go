package policyfile

import (
	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/policy"
	"github.com/warren-rpc/warren/internal/setting"
	"github.com/warren-rpc/warren/reliability"
)

// decoder reads a file of policies.
type decoder struct {
	configfile.Decoder

	rules reliability.Rules
}

func newDecoder(name string, data []byte) *decoder {
	return &decoder{
		Decoder: configfile.Decoder{
			File: name, Data: data, Must: "methods", NoMerge: "say what patterns share in a shorter pattern",
		},
		rules: reliability.Rules{Methods: map[string]reliability.Policy{}},
	}
}

func (d *decoder) decode() {
	root := d.Document()
	if root == nil {
		return
	}
	var methods bool
	d.Each(root, root, "", func(key string, at, value *yaml.Node) {
		switch key {
		case "methods":
			methods = true
			d.Each(at, value, key, d.policy)
		case "$schema": // for editors
		default:
			d.Refuse(at, configfile.Clip(key), "is not known here%s", configfile.Suggest(key, []string{"methods"}))
		}
	})
	if !methods && len(d.Findings) == 0 {
		d.Missing()
	}
}

// policy reads what is said of a pattern.
func (d *decoder) policy(pattern string, at, node *yaml.Node) {
	d.Mark(pattern, "", at)
	path := configfile.Join("methods", pattern)
	var p reliability.Policy
	if n := configfile.Resolve(node); configfile.IsNull(n) || n.Kind == yaml.MappingNode && len(n.Content) == 0 {
		d.Add(configfile.At(at), setting.LevelWarning, path, "says nothing")
	}
	d.Section(configfile.Section{
		Entry: pattern, Path: path, Fields: policy.Fields(),
		Set: func(f *setting.Field, value any) {
			if names, ok := value.([]string); ok {
				value = codes(names)
			}
			f.Set(&p, value)
		},
	}, at, node)
	d.rules.Methods[pattern] = p
}

// codes returns the codes of names that are known.
func codes(names []string) []warren.Code {
	list := make([]warren.Code, len(names))
	for i, name := range names {
		list[i], _ = warren.ParseCode(name)
	}
	return list
}
