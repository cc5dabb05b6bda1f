package gatewayfile

import (
	"encoding/json"
	"math"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/internal/configfile"
	"github.com/warren-rpc/warren/internal/policy"
)

var wanted = map[kind]string{
	kindText: "a text", kindBool: "true or false", kindCount: "a whole number", kindNumber: "a number",
	kindSize: `a size such as "64KiB"`, kindDuration: `a duration such as "250ms"`, kindList: "a list of texts",
	kindSchema: "a JSON Schema, or a text that refers to one", kindSchemas: "a mapping of JSON Schemas",
	kindPayload: "the name of a parameter, or a mapping of names to types",
}

// read returns what a node says, or what is wrong with it.
func read(k kind, node *yaml.Node) (v value, wrong string) {
	var ok bool
	switch k {
	case kindList:
		v.list, ok = list(node)
	case kindSchema:
		v.schema, ok = schema(node)
	case kindSchemas:
		v.schemas, ok = map[string]json.RawMessage{}, node.Kind == yaml.MappingNode
		for i := 0; ok && i+1 < len(node.Content); i += 2 {
			name := node.Content[i].Value
			if v.schemas[name], ok = schema(configfile.Resolve(node.Content[i+1])); !ok {
				return v, "has " + configfile.Clip(name) + ", which is not " + wanted[kindSchema]
			}
		}
	case kindPayload:
		if node.Kind == yaml.MappingNode {
			v.kinds, ok = kinds(node)
		} else {
			v.text, ok = text(node)
		}
	default:
		ok = scalar(k, node, &v)
	}
	if !ok {
		return v, "is " + configfile.Describe(node) + "; write " + wanted[k]
	}
	return v, ""
}

var durationForm = regexp.MustCompile(policy.DurationPattern)

func scalar(k kind, node *yaml.Node, v *value) (ok bool) {
	if node.Kind != yaml.ScalarNode {
		return false
	}
	var err error
	switch tag := node.ShortTag(); k {
	case kindText:
		v.text, ok = text(node)
	case kindBool:
		return tag == "!!bool" && node.Decode(&v.flag) == nil
	case kindDuration:
		v.duration, err = time.ParseDuration(node.Value)
		return tag == "!!str" && err == nil && durationForm.MatchString(node.Value)
	case kindSize:
		v.count, ok = size(node.Value)
		return ok && (tag == "!!int" || tag == "!!str")
	default: // numbers
		if tag != "!!int" && (tag != "!!float" || k == kindCount) || node.Decode(&v.number) != nil {
			return false
		}
		v.count = int(v.number)
		return k != kindCount || v.number >= 0 && v.number <= math.MaxInt32 && v.number == math.Trunc(v.number)
	}
	return ok
}

// text takes numbers too: "2" is a version, and 5 the name of a schema.
func text(node *yaml.Node) (string, bool) {
	tag := node.ShortTag()
	return node.Value, node.Kind == yaml.ScalarNode && (tag == "!!str" || tag == "!!int" || tag == "!!float") && node.Value != ""
}

func list(node *yaml.Node) ([]string, bool) {
	if node.Kind != yaml.SequenceNode {
		return nil, false
	}
	texts := make([]string, 0, len(node.Content))
	for _, item := range node.Content {
		s, ok := text(configfile.Resolve(item))
		if !ok {
			return nil, false
		}
		texts = append(texts, s)
	}
	return texts, true
}

func kinds(node *yaml.Node) (map[string]string, bool) {
	m := make(map[string]string, len(node.Content)/2)
	for i := 0; i+1 < len(node.Content); i += 2 {
		name, named := text(configfile.Resolve(node.Content[i]))
		of, ok := text(configfile.Resolve(node.Content[i+1]))
		if _, twice := m[name]; !named || !ok || twice {
			return nil, false
		}
		m[name] = of
	}
	return m, len(m) > 0
}

var units = []struct {
	suffix string
	bytes  int
}{{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"B", 1}, {"", 1}}

// size reads bytes. What is too much for any bound is refused here, so that it cannot
// overflow.
func size(s string) (int, bool) {
	for _, u := range units {
		if digits, ok := strings.CutSuffix(s, u.suffix); ok {
			n, err := strconv.Atoi(digits)
			return n * u.bytes, err == nil && n >= 0 && n <= math.MaxInt32/u.bytes && digits[0] != '+'
		}
	}
	return 0, false
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
