package configfile

import (
	"testing"

	"go.yaml.in/yaml/v3"
)

// What JSON and YAML both have is the same node at the same place, whichever reads it.
func TestJSONIsReadAsYAMLReadsIt(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{}`, `{"a": {"b": [1, -2.5, 1e3, true, false, null, "x", "", "5", "\u00e9\n\"\\"]}, "c": 99999999999999999999}`,
		" {\n\t\"a\": \"é\", \"b\":\r\n  {\"c\": []}}\n", "\ufeff{\"a\": 1, \"a\": 2}", `{"ключ":"значение","*":{"x":"y"}}`,
	} {
		var document yaml.Node
		if err := yaml.Unmarshal([]byte(text), &document); err != nil {
			t.Fatal(err)
		}
		object := parseJSON([]byte(text))
		if object == nil {
			t.Errorf("%s is not taken for JSON", text)
			continue
		}
		compare(t, text, document.Content[0], object)
	}
	for _, text := range []string{"", "[1]", "a: b", "{a: b}", `{"a": 1} {"b": 2}`, "{\"a\": 1}\n---\n", "{\"a\": \"\xe9\"}", `{"a": 1`} {
		if parseJSON([]byte(text)) != nil {
			t.Errorf("%q is taken for JSON", text)
		}
	}
}

func compare(t *testing.T, text string, want, got *yaml.Node) {
	t.Helper()
	if got.Kind != want.Kind || got.ShortTag() != want.ShortTag() || got.Value != want.Value || At(got) != At(want) || len(got.Content) != len(want.Content) {
		t.Errorf("%s: %+v; want %+v", text, got, want)
		return
	}
	for i := range want.Content {
		compare(t, text, want.Content[i], got.Content[i])
	}
}

func TestJSONAsPHPWritesItIsTaken(t *testing.T) {
	t.Parallel()
	d := Decoder{File: "f", Data: []byte(`{"GET \/a":"\ud83d\ude00 caf\u00e9","b":"<\/a>"}`)}
	got := map[string]string{}
	places := map[string]Position{}
	root := d.Document()
	if root == nil {
		t.Fatal(d.Findings)
	}
	d.Each(root, root, "", func(key string, at, node *yaml.Node) {
		got[key], places[key] = node.Value, At(at)
	})
	if got["GET /a"] != "😀 café" || got["b"] != "</a>" || places["b"] != (Position{1, 37}) || len(d.Findings) > 0 {
		t.Errorf("%q, %v, %v", got, places, d.Findings)
	}
}
