// Package schemacheck judges documents by JSON Schemas, as far as the schemas that
// the project publishes go. Tests hold by it that a schema and the parser of the
// same files agree.
package schemacheck

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// schema has the keywords that the schema uses; others fail the test.
type schema struct {
	Dialect            string             `json:"$schema"`
	Name               string             `json:"$id"`
	Title, Description string             // of no consequence
	Examples           []string           // the same
	Defs               map[string]*schema `json:"$defs"`
	Ref                string             `json:"$ref"`
	Type               json.RawMessage    // a name, or a list of them
	Enum               []any
	AnyOf              []*schema
	Pattern            string
	MinLength          int
	MinProperties      int
	Minimum            *float64
	ExclusiveMinimum   *float64
	Maximum            *float64
	Items              *schema
	UniqueItems        bool
	Required           []string
	PropertyNames      *schema
	Properties         map[string]*schema
	Additional         json.RawMessage `json:"additionalProperties"` // a schema, or false
}

// Validate judges a document, in YAML or JSON, by a JSON Schema, and returns what is
// wrong with it. The error says that one of the two cannot be read; a schema with a
// keyword that this package does not know is one of these.
func Validate(schemaText, document []byte) (wrong []string, err error) {
	var value any
	if err := yaml.Unmarshal(document, &value); err != nil {
		return nil, err
	}
	plain, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, &value); err != nil {
		return nil, err
	}
	root, err := parseSchema(schemaText)
	if err != nil {
		return nil, err
	}
	v := validator{root: root}
	v.check(root, value, "")
	return v.errs, v.err
}

func parseSchema(text []byte) (*schema, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var s schema
	if err := d.Decode(&s); err != nil {
		return nil, fmt.Errorf("the schema cannot be judged by: %w", err)
	}
	return &s, nil
}

type validator struct {
	root *schema
	errs []string
	err  error
}

func (v *validator) refuse(wrong bool, path, keyword string) {
	if wrong {
		v.errs = append(v.errs, path+": "+keyword)
	}
}

func (v *validator) check(s *schema, value any, path string) {
	if name, ok := strings.CutPrefix(s.Ref, "#/$defs/"); ok {
		v.check(v.root.Defs[name], value, path)
	}
	if s.Type != nil {
		var names []string
		if json.Unmarshal(s.Type, &names) != nil {
			names = []string{strings.Trim(string(s.Type), `"`)}
		}
		v.refuse(!slices.ContainsFunc(names, func(name string) bool { return isType(value, name) }), path, "type")
	}
	same := func(x any) bool { return reflect.DeepEqual(x, value) }
	v.refuse(s.Enum != nil && !slices.ContainsFunc(s.Enum, same), path, "enum")
	v.refuse(s.AnyOf != nil && !slices.ContainsFunc(s.AnyOf, func(one *schema) bool {
		branch := validator{root: v.root}
		branch.check(one, value, path)
		return len(branch.errs) == 0
	}), path, "anyOf")
	switch value := value.(type) {
	case string:
		v.refuse(len(value) < s.MinLength, path, "minLength")
		v.refuse(s.Pattern != "" && !regexp.MustCompile(s.Pattern).MatchString(value), path, "pattern")
	case float64:
		v.refuse(s.Minimum != nil && value < *s.Minimum, path, "minimum")
		v.refuse(s.ExclusiveMinimum != nil && value <= *s.ExclusiveMinimum, path, "exclusiveMinimum")
		v.refuse(s.Maximum != nil && value > *s.Maximum, path, "maximum")
	case []any:
		for i, item := range value {
			if s.Items != nil {
				v.check(s.Items, item, fmt.Sprint(path, "/", i))
			}
			v.refuse(s.UniqueItems && slices.Contains(value[:i], item), path, "uniqueItems")
		}
	case map[string]any:
		v.object(s, value, path)
	}
}

func (v *validator) object(s *schema, value map[string]any, path string) {
	v.refuse(len(value) < s.MinProperties, path, "minProperties")
	for _, name := range s.Required {
		_, there := value[name]
		v.refuse(!there, path, "required")
	}
	for name, item := range value {
		path := path + "/" + name
		if s.PropertyNames != nil {
			v.check(s.PropertyNames, name, path)
		}
		switch property, known := s.Properties[name]; {
		case known:
			v.check(property, item, path)
		case string(s.Additional) == "false":
			v.refuse(true, path, "additionalProperties")
		case s.Additional != nil:
			additional, err := parseSchema(s.Additional)
			if err != nil {
				v.err = err
				return
			}
			v.check(additional, item, path)
		}
	}
}

func isType(value any, name string) bool {
	switch v := value.(type) {
	case nil:
		return name == "null"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && v == float64(int64(v))
	case string:
		return name == "string"
	case []any:
		return name == "array"
	default:
		return name == "object"
	}
}
