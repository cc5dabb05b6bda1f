package configfile_test

import (
	"strings"
	"testing"

	"github.com/warren-rpc/warren/internal/configfile"
)

func TestSyntaxErrorsNameTheirPlace(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("  # a comment\n", 5000)
	for text, want := range map[string]string{
		"methods:\n  a: {timeout: 1s}\n  b:\n\tc: 1\n": "4:1: is not YAML: there is a tab; indent with spaces",
		"{\"a\": \"\\/\",\n \"b\": ]}":                 "2:7: is not JSON: invalid character ']' looking for beginning of value",
		"{\"a\": \"\\ud83d\\ude00\",\n \"b\": 1\n":     "2:8: is not JSON: unexpected end of JSON input",
		"a: \"\\/\"\n":                                          "1:1: is not YAML: found unknown escape character",
		"methods:\n  a: 1\n  \"b\": \tx: y\n":                   "3:1: is not YAML: mapping values are not allowed in this context",
		"methods:\n  # caf\xe9\n  a: {timeout: 1s}\n":           "2:8: is not YAML: the byte 0xe9 is not UTF-8; save the file in that encoding",
		"methods:\n  a: 1\n  b: grün \xfc\n":                    "3:11: is not YAML: the byte 0xfc is not UTF-8; save the file in that encoding",
		"methods: {}\n\x00\n":                                   "2:1: is not YAML: there is a control character, 0x0",
		"methods:\n  a: [1\n  b: }\n":                           "2:1: is not YAML: did not find expected ',' or ']'",
		"methods:\n  x:\n    timeout: 1s\n   retry: {}\n":       "4:1: is not YAML: did not find expected key",
		"methods:\n  a: &x {}\n  b: *y\n":                       "3:1: is not YAML: unknown anchor 'y' referenced",
		"methods:\n  a: @x\n":                                   "2:1: is not YAML: found character that cannot start any token",
		"methods:\n" + long + "  a: \"x\n":                      "5002:1: is not YAML: found unexpected end of stream",
		"methods: {}\n---\n\n- [\n":                             "4:1: is not YAML: did not find expected node content",
		"methods: {}\n---\na: b\n":                              "2:1: a second document begins here; one is allowed",
		"# only\n# comments\n":                                  `1:1: has no "methods"`,
		"methods:\n" + long + "\tx: 1\n" + long + "  b: \xff\n": "10003:6: is not YAML: the byte 0xff is not UTF-8; save the file in that encoding",
	} {
		d := configfile.Decoder{File: "f", Data: []byte(text), Must: "methods"}
		d.Document()
		if len(d.Findings) != 1 || d.Findings[0].String() != "f:"+want {
			t.Errorf("%.60q: %v, want f:%s", text, d.Findings, want)
		}
	}
}

func TestMarkOfUTF8IsNoPartOfAFile(t *testing.T) {
	t.Parallel()
	data, err := configfile.ReadFrom(strings.NewReader("\ufeff# only comments\n"))
	if err != nil || string(data) != "# only comments\n" {
		t.Errorf("%q, %v", data, err)
	}
}
