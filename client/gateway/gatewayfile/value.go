package gatewayfile

import (
	"encoding/json"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/internal/configfile"
)

// payload reads the name of a parameter, or types by names.
func payload(node *yaml.Node) (p gateway.Payload, ok bool) {
	if node.Kind == yaml.MappingNode {
		p.JSON, ok = types(node)
	} else {
		p.Text, ok = configfile.Text(node)
	}
	return p, ok
}

func types(node *yaml.Node) (map[string]string, bool) {
	m := make(map[string]string, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, named := configfile.Text(configfile.Resolve(node.Content[i]))
		of, ok := configfile.Text(configfile.Resolve(node.Content[i+1]))
		if _, twice := m[name]; !named || !ok || twice {
			return nil, false
		}
		m[name] = of
	}
	return m, len(m) > 0
}

const wantedSchema = "a JSON Schema, or a text that refers to one"

// schemas reads schemas by their names, or says what is wrong.
func schemas(node *yaml.Node) (list map[string]json.RawMessage, wrong string) {
	if node.Kind != yaml.MappingNode {
		return nil, "is " + configfile.Describe(node) + "; write a mapping of JSON Schemas"
	}
	list = map[string]json.RawMessage{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		name := node.Content[i].Value
		value, ok := schema(configfile.Resolve(node.Content[i+1]))
		if !ok {
			return nil, "has " + configfile.Clip(name) + ", which is not " + wantedSchema
		}
		list[name] = value
	}
	return list, ""
}

// maxSchema bounds a schema: with aliases of aliases a short file can say much.
const maxSchema = 256 << 10

// schema returns a schema as JSON.
func schema(node *yaml.Node) (json.RawMessage, bool) {
	budget := maxSchema
	v, ok := plain(node, 0, &budget)
	if !ok {
		return nil, false
	}
	switch v.(type) {
	case string, bool, map[string]any:
	default:
		return nil, false
	}
	text, err := json.Marshal(v)
	return text, err == nil
}

// plain returns a node as a value of JSON.
func plain(node *yaml.Node, depth int, budget *int) (any, bool) {
	node = configfile.Resolve(node)
	if *budget -= len(node.Value) + 1; *budget < 0 || depth > 64 {
		return nil, false
	}
	switch node.Kind {
	case yaml.MappingNode:
		m := make(map[string]any, len(node.Content)/2)
		for i := 0; i+1 < len(node.Content); i += 2 {
			key := configfile.Resolve(node.Content[i])
			v, ok := plain(node.Content[i+1], depth+1, budget)
			if _, twice := m[key.Value]; !ok || twice || key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
				return nil, false
			}
			m[key.Value] = v
			*budget -= len(key.Value)
		}
		return m, true
	case yaml.SequenceNode:
		s := make([]any, 0, len(node.Content))
		for _, item := range node.Content {
			v, ok := plain(item, depth+1, budget)
			if !ok {
				return nil, false
			}
			s = append(s, v)
		}
		return s, true
	case yaml.ScalarNode:
		var v any
		if node.ShortTag() == "!!timestamp" { // JSON has none
			return node.Value, true
		}
		if err := node.Decode(&v); err != nil {
			return nil, false
		}
		return v, true
	default:
		return nil, false
	}
}
