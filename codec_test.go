package warren_test

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/warren-rpc/warren"
)

func TestJSONDepthIsBounded(t *testing.T) {
	t.Parallel()
	nested := func(opening, closing string, depth int) string {
		return strings.Repeat(opening, depth) + "1" + strings.Repeat(closing, depth)
	}
	most := warren.MaxJSONDepth
	for name, test := range map[string]struct {
		body string
		ok   bool
	}{
		"arrays at the bound":       {nested("[", "]", most), true},
		"arrays over it":            {nested("[", "]", most+1), false},
		"objects at the bound":      {nested(`{"a":`, "}", most), true},
		"objects over it":           {nested(`{"a":`, "}", most+1), false},
		"both over it":              {nested(`[{"a":`, "}]", most/2+1), false},
		"a million":                 {nested("[", "]", 1_000_000), false},
		"opened and never closed":   {strings.Repeat("[", most+1), false},
		"closed and opened again":   {"[" + strings.Repeat("[],", 1000) + "[]]", true},
		"brackets in a string":      {`"` + strings.Repeat("[{", 1000) + `"`, true},
		"brackets after a quote":    {`["\"` + strings.Repeat("[", 1000) + `"]`, true},
		"an escaped backslash":      {`["\\",` + nested("[", "]", most-1) + `]`, true},
		"and then too deep":         {`["\\",` + nested("[", "]", most) + `]`, false},
		"brackets in a key":         {`{"[[{{[[\\\"[[":1}`, true},
		"closing brackets go first": {strings.Repeat("]", 100) + nested("[", "]", most+1), false},
	} {
		var v any
		err := warren.JSON.Unmarshal([]byte(test.body), &v)
		if (err == nil) != test.ok {
			t.Errorf("%s: %v", name, err)
		}
		if err != nil && len(err.Error()) > 200 {
			t.Errorf("%s: the error has %d bytes", name, len(err.Error()))
		}
	}
}

func TestJSONTakesOneValueAndNothingElse(t *testing.T) {
	t.Parallel()
	for body, ok := range map[string]bool{
		`1`: true, ` {"a": [1, "x"]} `: true, "null": true, "\t\r\n 1 \t\r\n": true,
		``: false, ` `: false, "\n": false, `1 2`: false, `{} {}`: false, `1,`: false, `{}]`: false, `1x`: false,
		"1\x00": false, "1\v": false, "1\ufeff": false, "\ufeff1": false, `{`: false, `{"a":}`: false, `NaN`: false, `'a'`: false,
	} {
		var v any
		if err := warren.JSON.Unmarshal([]byte(body), &v); (err == nil) != ok {
			t.Errorf("%q: %v", body, err)
		}
	}
	var v any
	if err := warren.JSON.Unmarshal(nil, &v); err == nil || !strings.Contains(err.Error(), "empty") {
		t.Errorf("an empty body is told as %v", err)
	}
}

func TestJSONRoundTrip(t *testing.T) {
	t.Parallel()
	type order struct {
		ID    int64             `json:"id"`
		Text  string            `json:"text"`
		Tags  map[string]string `json:"tags"`
		Blob  []byte            `json:"blob"`
		Price *float64          `json:"price"`
	}
	rapid.Check(t, func(t *rapid.T) {
		in := order{
			ID: rapid.Int64().Draw(t, "id"), Text: rapid.String().Draw(t, "text"),
			Tags: rapid.MapOf(rapid.String(), rapid.String()).Draw(t, "tags"),
			Blob: rapid.SliceOf(rapid.Byte()).Draw(t, "blob"), Price: rapid.Ptr(rapid.Float64(), true).Draw(t, "price"),
		}
		body, err := warren.JSON.Marshal(in)
		if err != nil {
			t.Fatal(err)
		}
		var out order
		if err := warren.JSON.Unmarshal(body, &out); err != nil {
			t.Fatal(err)
		}
		again, err := warren.JSON.Marshal(out)
		if err != nil || !bytes.Equal(body, again) || out.ID != in.ID || out.Text != in.Text {
			t.Fatalf("%s became %s, %v", body, again, err)
		}
	})
}

// FuzzJSONUnmarshal compares with encoding/json: the codec may refuse more, and
// must read what it accepts alike.
func FuzzJSONUnmarshal(f *testing.F) {
	for _, seed := range []string{``, `1`, `{"a":[1,2,{"b":null}]}`, `[[[]]] x`, `"\"[\\"`, strings.Repeat("[", 65)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var ours, theirs any
		err := warren.JSON.Unmarshal(body, &ours)
		reference := json.Unmarshal(body, &theirs)
		if err != nil {
			return
		}
		if reference != nil {
			t.Fatalf("%q is accepted, although it is not JSON: %v", body, reference)
		}
		a, err := json.Marshal(ours)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := json.Marshal(theirs); err != nil || !bytes.Equal(a, b) {
			t.Fatalf("%q is read as %s; want %s", body, a, b)
		}
	})
}

func TestRawPassesBytesThrough(t *testing.T) {
	t.Parallel()
	for _, v := range []any{[]byte("\x00\xff"), "\x00\xff"} {
		body, err := warren.Raw.Marshal(v)
		if err != nil || string(body) != "\x00\xff" {
			t.Errorf("%T became %q, %v", v, body, err)
		}
	}
	if body, err := warren.Raw.Marshal(nil); body != nil || err != nil {
		t.Errorf("nil became %q, %v", body, err)
	}
	if _, err := warren.Raw.Marshal(7); err == nil || !strings.Contains(err.Error(), "int") {
		t.Errorf("an int is told as %v", err)
	}

	body := []byte("body")
	var b []byte
	var s string
	if err := warren.Raw.Unmarshal(body, &b); err != nil || string(b) != "body" {
		t.Errorf("the body became %q, %v", b, err)
	}
	if err := warren.Raw.Unmarshal(body, &s); err != nil || s != "body" {
		t.Errorf("the body became %q, %v", s, err)
	}
	body[0] = 'B'
	if string(b) != "body" || s != "body" {
		t.Errorf("the codec keeps the body that it decoded: %q, %q", b, s)
	}
	var n int
	if err := warren.Raw.Unmarshal(body, &n); err == nil || !strings.Contains(err.Error(), "*int") {
		t.Errorf("a *int is told as %v", err)
	}
}

func TestCodecsNameTheirContentType(t *testing.T) {
	t.Parallel()
	if got := warren.JSON.ContentType(); got != "application/json" {
		t.Errorf("JSON is %q", got)
	}
	if got := warren.Raw.ContentType(); got != "application/octet-stream" {
		t.Errorf("Raw is %q", got)
	}
}
