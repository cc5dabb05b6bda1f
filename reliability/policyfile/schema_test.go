package policyfile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/warren-rpc/warren/reliability/policyfile"
)

const published = "../../docs/schema/policy.schema.json"

var update = flag.Bool("update", false, "write "+published)

func TestPublishedSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile(published, policyfile.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(published)
	if err != nil || !bytes.Equal(text, policyfile.Schema()) {
		t.Errorf("docs/schema/policy.schema.json is stale (%v); write it anew: "+
			"go test ./reliability/policyfile -run TestPublishedSchemaIsCurrent -update", err)
	}
}

// What the schema and the parser refuse is the same, where a schema can say it.
func TestSchemaAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	for _, good := range []string{
		string(text), "methods:", "methods: {}", "methods: {'*': }", "methods: {a: {timeout: 1h30m}}", "methods: {a: {budget: on, breaker: false}}",
		`{"$schema": "x", "methods": {"a.*": {"retry": {"codes": [], "attempts": 2.0}}}}`, "methods: {a: {idempotent: true, hedge: {delay: 0s}}}",
		"methods: {a: {bulkhead: {calls: 0}, budget: {ratio: 1, tokens: 3}}}", "methods: {a: {attempt_timeout: 1.5s}}",
	} {
		if errs := validate(t, good); len(errs) > 0 {
			t.Errorf("the schema refuses %.100s: %v", good, errs)
		}
		if _, _, err := policyfile.Parse("x", []byte(good)); err != nil {
			t.Errorf("the parser refuses %.100s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"[]", "{}", "{methods: {}, more: 1}", "methods: []", "methods: {a/b: {}}", "methods: {'a*b': {}}", "methods: {'': {}}", "methods: {a: 5}",
		"methods: {a: {timeout: 5}}", "methods: {a: {timeout: '5'}}", "methods: {a: {timeout: -1s}}", "methods: {a: {timeout: 1d}}",
		"methods: {a: {timout: 5s}}", "methods: {a: {idempotent: 'true'}}", "methods: {a: {retry: {attempts: 9}}}",
		"methods: {a: {retry: {attempts: 1.5}}}", "methods: {a: {retry: off}}", "methods: {a: {retry: {codes: unavailable}}}",
		"methods: {a: {retry: {codes: [nope]}}}", "methods: {a: {retry: {codes: [aborted, aborted]}}}", "methods: {a: {budget: no}}",
		"methods: {a: {budget: {ratio: 0}}}", "methods: {a: {budget: {token: 5}}}", "methods: {a: {breaker: {failures: 1.1}}}",
		"methods: {a: {hedge: {on: true}}}", "methods: {a: {bulkhead: {calls: -1}}}", "methods: {a: {attempts: 3}}", "methods: {a: {timeout: null}}",
	} {
		if errs := validate(t, bad); len(errs) == 0 {
			t.Errorf("the schema takes %s", bad)
		}
		if _, _, err := policyfile.Parse("x", []byte(bad)); err == nil {
			t.Errorf("the parser takes %s", bad)
		}
	}
}

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

// validate judges a document by the schema.
func validate(t *testing.T, document string) []string {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(document), &value); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(value)
	if err == nil {
		err = json.Unmarshal(plain, &value)
	}
	if err != nil {
		t.Fatal(err)
	}
	v := validator{t: t, root: parseSchema(t, policyfile.Schema())}
	v.check(v.root, value, "")
	return v.errs
}

func parseSchema(t *testing.T, text []byte) *schema {
	t.Helper()
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	var s schema
	if err := d.Decode(&s); err != nil {
		t.Fatalf("the test does not know a keyword: %v", err)
	}
	return &s
}

type validator struct {
	t    *testing.T
	root *schema
	errs []string
}

func (v *validator) refuse(wrong bool, path, keyword string) {
	if wrong {
		v.errs = append(v.errs, path+": "+keyword)
	}
}

func (v *validator) check(s *schema, value any, path string) {
	v.t.Helper()
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
		branch := validator{t: v.t, root: v.root}
		branch.check(one, value, path)
		return len(branch.errs) == 0
	}), path, "anyOf")
	switch value := value.(type) {
	case string:
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
	v.t.Helper()
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
			v.check(parseSchema(v.t, s.Additional), item, path)
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
