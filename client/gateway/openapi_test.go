package gateway_test

import (
	"crypto/sha256"
	"encoding/json"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func sha(s string) [32]byte { return sha256.Sum256([]byte(s)) }

type operation struct {
	OperationID string `json:"operationId"`
	Summary     string
	Parameters  []struct {
		Name, In string
		Required bool
		Schema   map[string]any
	}
	RequestBody *struct {
		Required bool
		Content  map[string]struct{ Schema any }
	} `json:"requestBody"`
	Responses map[string]struct {
		Description string
		Content     map[string]struct{ Schema any }
	}
}

// checkOpenAPI demands the structure that OpenAPI 3.1 prescribes, as far as these
// documents use it, and exactly the operations that are named.
func checkOpenAPI(t testing.TB, text []byte, want map[string][]string) {
	t.Helper()
	var doc struct {
		OpenAPI    string
		Info       struct{ Title, Version string }
		Paths      map[string]map[string]operation
		Components struct{ Schemas map[string]any }
	}
	decoder := json.NewDecoder(strings.NewReader(string(text)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&doc); err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(doc.OpenAPI, "3.1.") || doc.Info.Title == "" || doc.Info.Version == "" {
		t.Errorf("%+v", doc.Info)
	}
	ids := map[string]bool{}
	for path, item := range doc.Paths {
		if got := slices.Sorted(maps.Keys(item)); !slices.Equal(got, want[path]) {
			t.Errorf("%s has %q; want %q", path, got, want[path])
		}
		for method, op := range item {
			if op.OperationID == "" || ids[op.OperationID] {
				t.Errorf("%s %s: operationId %q is not its own", method, path, op.OperationID)
			}
			ids[op.OperationID] = true
			checkOperation(t, path, op)
		}
	}
	if len(doc.Paths) != len(want) {
		t.Errorf("paths %q", slices.Sorted(maps.Keys(doc.Paths)))
	}
	for _, found := range regexp.MustCompile(`"\$ref": "#/components/schemas/([^"]+)"`).FindAllSubmatch(text, -1) {
		if _, there := doc.Components.Schemas[string(found[1])]; !there {
			t.Errorf("there is no schema %s", found[1])
		}
	}
}

func checkOperation(t testing.TB, path string, op operation) {
	t.Helper()
	var inPath []string
	seen := map[string]bool{}
	for _, p := range op.Parameters {
		if seen[p.In+p.Name] || p.Schema == nil || !slices.Contains([]string{"path", "query", "header"}, p.In) ||
			p.In == "header" && slices.Contains([]string{"Accept", "Content-Type", "Authorization"}, p.Name) {
			t.Errorf("%s: parameter %+v", path, p)
		}
		seen[p.In+p.Name] = true
		if p.In == "path" {
			inPath = append(inPath, "{"+p.Name+"}")
			if !p.Required {
				t.Errorf("%s: a parameter of the path is not required", path)
			}
		}
	}
	if templates := regexp.MustCompile(`\{[^}]*\}`).FindAllString(path, -1); !slices.Equal(templates, inPath) {
		t.Errorf("%s has the parameters %q", path, inPath)
	}
	if op.RequestBody != nil && len(op.RequestBody.Content) != 1 {
		t.Errorf("%s: %+v", path, op.RequestBody)
	}
	if _, there := op.Responses["default"].Content["application/problem+json"]; !there {
		t.Errorf("%s: errors are not described", path)
	}
	for status, response := range op.Responses {
		if response.Description == "" || status != "default" && len(status) != 3 {
			t.Errorf("%s: response %s %+v", path, status, response)
		}
	}
}
