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
	"unicode/utf8"

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

// validate judges a document by the keywords that the schema uses; a keyword
// that it does not know fails the test.
func validate(t *testing.T, document string) []string {
	t.Helper()
	var value any
	if err := yaml.Unmarshal([]byte(document), &value); err != nil {
		t.Fatal(err)
	}
	plain, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var root map[string]any
	if json.Unmarshal(plain, &value) != nil || json.Unmarshal(policyfile.Schema(), &root) != nil {
		t.Fatal("not JSON")
	}
	v := validator{t: t, root: root}
	v.check(root, value, "")
	return v.errs
}

type validator struct {
	t    *testing.T
	root map[string]any
	errs []string
}

func (v *validator) refuse(path, keyword string, value any) {
	v.errs = append(v.errs, fmt.Sprintf("%s: %v, by %s", path, value, keyword))
}

func (v *validator) check(schema map[string]any, value any, path string) {
	inner, _ := value.(map[string]any)
	list, _ := value.([]any)
	n, isNumber := value.(float64)
	text, isText := value.(string)
	for keyword, want := range schema {
		wrong := false
		switch keyword {
		case "$schema", "$id", "$defs", "title", "description", "examples":
		case "$ref":
			at := v.root
			for _, step := range strings.Split(want.(string), "/")[1:] {
				at = at[step].(map[string]any)
			}
			v.check(at, value, path)
		case "type":
			types, several := want.([]any)
			if !several {
				types = []any{want}
			}
			wrong = !slices.ContainsFunc(types, func(t any) bool { return isType(value, t.(string)) })
		case "enum":
			wrong = !slices.ContainsFunc(want.([]any), func(x any) bool { return reflect.DeepEqual(x, value) })
		case "anyOf":
			wrong = true
			for _, s := range want.([]any) {
				one := validator{t: v.t, root: v.root}
				one.check(s.(map[string]any), value, path)
				wrong = wrong && len(one.errs) > 0
			}
		case "pattern":
			wrong = isText && !regexp.MustCompile(want.(string)).MatchString(text)
		case "minimum":
			wrong = isNumber && n < want.(float64)
		case "exclusiveMinimum":
			wrong = isNumber && n <= want.(float64)
		case "maximum":
			wrong = isNumber && n > want.(float64)
		case "items":
			for i, item := range list {
				v.check(want.(map[string]any), item, fmt.Sprint(path, "/", i))
			}
		case "uniqueItems":
			for i, item := range list {
				wrong = wrong || slices.ContainsFunc(list[:i], func(x any) bool { return reflect.DeepEqual(x, item) })
			}
		case "required":
			for _, name := range want.([]any) {
				_, ok := inner[name.(string)]
				wrong = wrong || inner != nil && !ok
			}
		case "propertyNames":
			for name := range inner {
				v.check(want.(map[string]any), name, path+"/"+name)
			}
		case "properties":
			for name, s := range want.(map[string]any) {
				if value, ok := inner[name]; ok {
					v.check(s.(map[string]any), value, path+"/"+name)
				}
			}
		case "additionalProperties":
			properties, _ := schema["properties"].(map[string]any)
			for name, value := range inner {
				if _, ok := properties[name]; ok {
					continue
				}
				if s, ok := want.(map[string]any); ok {
					v.check(s, value, path+"/"+name)
				} else {
					wrong = true
				}
			}
		default:
			v.t.Errorf("the test does not know the keyword %q", keyword)
		}
		if wrong {
			v.refuse(path, keyword, value)
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
		return name == "string" && utf8.ValidString(v)
	case []any:
		return name == "array"
	default:
		return name == "object"
	}
}
