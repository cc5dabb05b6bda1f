package gatewayfile_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/client/gateway/gatewayfile"
	"github.com/warren-rpc/warren/internal/configfile/schemacheck"
)

const published = "../../../docs/schema/gateway.schema.json"

var update = flag.Bool("update", false, "write "+published)

func TestPublishedSchemaIsCurrent(t *testing.T) {
	t.Parallel()
	if *update {
		if err := os.WriteFile(published, gatewayfile.Schema(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(published)
	if err != nil || !bytes.Equal(text, gatewayfile.Schema()) {
		t.Errorf("docs/schema/gateway.schema.json is stale (%v); write it anew: "+
			"go test ./client/gateway/gatewayfile -run TestPublishedSchemaIsCurrent -update", err)
	}
}

func TestEveryFieldIsRead(t *testing.T) {
	t.Parallel()
	got, err := gatewayfile.Parse("f", []byte(`
$schema: x
title: T
version: 1.10
max_body: 2KiB
max_reply: 4KiB
max_bodies: 3MiB
concurrency: 7
body_timeout: 1s
write_timeout: 2s
challenge: Bearer realm="x"
headers: {in: [X-A], out: [X-B]}
cors: {origins: [https://a.example], headers: [X-C], credentials: true, max_age: 0s}
auth: {tokens: tokens.txt}
key_secret: secret.txt
server: {header_timeout: 3s, idle_timeout: 4s, max_header_bytes: 8KiB, drain_delay: 5s, drain_timeout: 6s, h2c: true}
schemas: {S: {type: object, properties: {a: {const: 2001-01-01}}}}
routes:
  POST /a/{x}:
    method: m
    timeout: 1500ms
    max_body: 0
    max_reply: 5B
    concurrency: 8
    rate: {per_second: 0.5, burst: 9}
    idempotent: true
    wait_for_server: true
    require_key: true
    headers: {in: [X-D], out: [X-E]}
    query: [q]
    lists: [l]
    payload: {x: integer, l: string}
    reply_type: text/plain
    summary: Sum
    request: "#/components/schemas/S"
    reply: {type: array, items: true}
  GET /b/{x}: {method: n, payload: x}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := gatewayfile.File{
		Gateway: gateway.Config{
			Title: "T", Version: "1.10", MaxBody: 2048, MaxReply: 4096, MaxBodies: 3 << 20, Concurrency: 7, BodyTimeout: time.Second, WriteTimeout: 2 * time.Second, Challenge: `Bearer realm="x"`,
			Headers: gateway.Headers{In: []string{"X-A"}, Out: []string{"X-B"}},
			CORS:    gateway.CORS{Origins: []string{"https://a.example"}, Headers: []string{"X-C"}, Credentials: true, MaxAge: -1},
			Schemas: got.Gateway.Schemas,
			Routes: []gateway.Route{{
				Pattern: "POST /a/{x}", Method: "m", Timeout: 1500 * time.Millisecond, MaxBody: -1, MaxReply: 5, Concurrency: 8, Rate: gateway.Rate{PerSecond: 0.5, Burst: 9},
				Idempotent: true, WaitForServer: true, RequireKey: true, Headers: gateway.Headers{In: []string{"X-D"}, Out: []string{"X-E"}},
				Query: []string{"q"}, Lists: []string{"l"}, Payload: gateway.Payload{JSON: map[string]string{"x": "integer", "l": "string"}},
				ReplyType: "text/plain", Summary: "Sum", Request: []byte(`"#/components/schemas/S"`), Reply: []byte(`{"items":true,"type":"array"}`),
			}, {Pattern: "GET /b/{x}", Method: "n", Payload: gateway.Payload{Text: "x"}}},
		},
		Server: gateway.ServerConfig{
			HeaderTimeout: 3 * time.Second, IdleTimeout: 4 * time.Second, MaxHeaderBytes: 8192, DrainDelay: 5 * time.Second, DrainTimeout: 6 * time.Second, H2C: true,
		},
		Tokens: "tokens.txt", KeySecret: "secret.txt",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("\n%+v\nwant\n%+v", got, want)
	}
	if s := string(got.Gateway.Schemas["S"]); s != `{"properties":{"a":{"const":"2001-01-01"}},"type":"object"}` {
		t.Error(s)
	}
	// A field that files have and the structs do not set would be of no use, and one
	// that is forgotten here would be none that is read.
	for _, v := range []any{got.Gateway.Routes[0], got.Server, got.Gateway.CORS} {
		s := reflect.ValueOf(v)
		for i := range s.NumField() {
			if name := s.Type().Field(i).Name; s.Field(i).IsZero() && name != "TLS" && name != "Logger" {
				t.Errorf("%T.%s cannot be said in a file", v, name)
			}
		}
	}
}

func TestMistakesAreToldWithTheirLineAndField(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   `f:1:1: has no "routes"`,
		"max_body: 1":                        `f:1:1: has no "routes"`,
		"5":                                  `f:1:1: is "5"; it must be a mapping`,
		"routes: [":                          `f:1:1: is not YAML: did not find expected node content`,
		"routes:\n":                          `f:1:1: routes: there are none`,
		"routes: {}\nmaxbody: 1":             `f:2:1: maxbody: is not known; did you mean max_body?`,
		"routes: {}\nzzz: 1":                 `f:2:1: zzz: is not known; it may have title, version, max_body, max_reply, max_bodies, concurrency, body_timeout, write_timeout, challenge, headers, cors, auth, key_secret, server, schemas, routes`,
		"routes:\n  GET /a:\n":               `f:2:3: routes.GET /a.method: the method name is empty`,
		"routes:\n  GET /a: {method: a b}\n": `f:2:12: routes.GET /a.method: method name "a b": byte 1 is not one of [A-Za-z0-9._-]`,
		"routes:\n  /a: {method: m}\n":       `f:2:3: routes./a: the pattern must be a method, a blank and a path, such as "GET /orders/{id}"`,
		"routes:\n  GET /a: {method: m, timeout: 5}\n":                                                     `f:2:23: routes.GET /a.timeout: is 5, without a unit; write a duration such as "250ms"`,
		"routes:\n  GET /a: {method: m, timeout: 25h}\n":                                                   `f:2:23: routes.GET /a.timeout: is 25h0m0s; it must be from 0s to 24h0m0s`,
		"routes:\n  GET /a: {method: m, max_body: 1GB}\n":                                                  `f:2:23: routes.GET /a.max_body: is "1GB"; write a size such as "64KiB"`,
		"routes:\n  GET /a: {method: m, max_body: 200MiB}\n":                                               `f:2:23: routes.GET /a.max_body: is 209715200; it must be from -1 to 134217728`,
		"routes:\n  GET /a: {method: m, max_body: 99999999999MiB}\n":                                       `f:2:23: routes.GET /a.max_body: is "99999999999MiB"; write a size such as "64KiB"`,
		"routes:\n  GET /a: {method: m, idempotent: yes}\n":                                                `f:2:23: routes.GET /a.idempotent: is "yes"; write true or false`,
		"routes:\n  GET /a: {method: m, concurrency: 1.5}\n":                                               `f:2:23: routes.GET /a.concurrency: is "1.5"; write a whole number`,
		"routes:\n  GET /a: {method: m, rate: 5}\n":                                                        `f:2:23: routes.GET /a.rate: is "5"; it must be a mapping`,
		"routes:\n  GET /a: {method: m, rate: {burst: 5}}\n":                                               `f:2:23: routes.GET /a.rate.per_second: is not there, and so the burst says nothing`,
		"routes:\n  GET /a: {method: m, rate: {per_secnd: 5}}\n":                                           `f:2:30: routes.GET /a.rate.per_secnd: is not known; did you mean per_second?`,
		"routes:\n  GET /a: {method: m, headers: {in: X-A}}\n":                                             `f:2:33: routes.GET /a.headers.in: is "X-A"; write a list of texts`,
		"routes:\n  GET /a: {method: m, headers: {in: [TE]}}\n":                                            `f:2:33: routes.GET /a.headers.in: "TE" is about a connection, not a message`,
		"routes:\n  GET /a: {method: m, payload: [n]}\n":                                                   `f:2:23: routes.GET /a.payload: is a list; write the name of a parameter, or a mapping of names to types`,
		"routes:\n  GET /a: {method: m, reply: [1]}\n":                                                     `f:2:23: routes.GET /a.reply: is a list; write a JSON Schema, or a text that refers to one`,
		"routes:\n  GET /a: {method: m}\n  GET /a: {method: n}\n":                                          `f:3:3: routes.GET /a: is there twice, first on line 2`,
		"routes:\n  GET /a/{x}: {method: m}\n  GET /a/{y}: {method: n}\n":                                  `f:3:3: routes.GET /a/{y}: matches what the route "GET /a/{x}" matches, and neither is the more specific one`,
		"routes:\n  GET /readyz: {method: m}\n":                                                            `f:2:3: routes.GET /readyz: the gateway itself answers at /readyz`,
		"routes:\n  GET /a: {<<: {method: m}}\n":                                                           `f:2:12: routes.GET /a: merge keys (<<) are not read; say what routes share at the top of the file`,
		"server: {drain_delay: 0s, h2c: true}\nroutes: {GET /a: {method: m, max_body: 0, concurrency: 0}}": "",
		"max_body: 0\nroutes: {GET /a: {method: m}}":                                                       `f:1:1: max_body: is 0; leave it out for the default`,
		"server: {idle_timeout: 0s}\nroutes: {GET /a: {method: m}}":                                        `f:1:10: server.idle_timeout: is 0; leave it out for the default`,
		"routes:\n  GET /a: {method: m, timeout: 0s}\n":                                                    `f:2:23: routes.GET /a.timeout: is 0; leave it out for the default`,
		"routes:\n  GET /a: {method: m, rate: {per_second: 0}}\n":                                          `f:2:30: routes.GET /a.rate.per_second: is 0; leave it out for the default`,
		"auth:\nroutes: {GET /a: {method: m}}":                                                             `f:1:1: auth: has no tokens: everybody could call`,
		"routes:\n  GET /a: {method: m, rate: {}}\n":                                                       `f:2:23: routes.GET /a.rate: has no per_second, and so bounds nothing`,
		"auth: {tokens: t}\nroutes: {GET /a: {method: m}}":                                                 `f:1:1: auth: needs a key_secret, or the IDs of its callers' calls could be computed: write its file's name beside it`,
		"max_reply: 200MiB\nroutes: {GET /a: {method: m}}":                                                 `f:1:1: max_reply: is 209715200; it must be from 0 to 134217728`,
		"auth: {}\nroutes: {GET /a: {method: m}}":                                                          `f:1:1: auth: has no tokens: everybody could call`,
		"server:\n  max_header_bytes: 1\nroutes: {GET /a: {method: m}}":                                    `f:2:3: server.max_header_bytes: is 1; it must be from 4096 to 1048576`,
		"cors:\n  origins: [\"*\"]\n  credentials: true\nroutes: {GET /a: {method: m}}":                    `f:3:3: cors.credentials: cannot go with the origin "*": every page could act as its reader`,
		"cors: {origins: *x}\nroutes: {}":                                                                  `f:1:1: is not YAML: unknown anchor 'x' referenced`,
		"schemas: {S: 5}\nroutes: {GET /a: {method: m}}":                                                   `f:1:1: schemas: has S, which is not a JSON Schema, or a text that refers to one`,
		"auth: {tokens: }\nroutes: {GET /a: {method: m}}":                                                  `f:1:8: auth.tokens: is nothing; write a text`,
		"routes: {GET /a: {method: m}}\n---\nroutes: {}":                                                   `f:2:1: a second document begins here; one is allowed`,
	} {
		_, err := gatewayfile.Parse("f", []byte(text))
		var refused *gatewayfile.Error
		switch {
		case want == "" && err == nil:
		case want == "" || !errors.As(err, &refused) || len(refused.Findings) != 1 || err.Error() != want:
			t.Errorf("%q:\n%v\nwant\n%s", text, err, want)
		}
	}
}

func TestExampleIsSound(t *testing.T) {
	t.Parallel()
	file, err := gatewayfile.Load(example)
	if err != nil || len(file.Gateway.Routes) < 5 {
		t.Fatalf("%v, %+v", err, file)
	}
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	agree(t, string(text), true)
}

// What the schema and the parser refuse is the same, where a schema can say it.
func TestSchemaAgreesWithTheParser(t *testing.T) {
	t.Parallel()
	for _, good := range []string{
		"routes: {GET /a: {method: m}}", `{"routes": {"GET /a": {"method": "m", "timeout": "1h30m"}}}`, "version: 2\nroutes: {PURGE /a: {method: m}}",
		"routes: {GET /a: {method: m, max_body: 5B, payload: q}}", "routes: {GET /a: {method: m, rate: {per_second: 1}, reply: true}}",
		"headers:\nroutes: {GET /a: {method: m}}", "routes: {GET /a: {method: m, payload: {q: string}}}", "concurrency: 1\nroutes: {GET /a: {method: m}}",
	} {
		agree(t, good, true)
	}
	for _, bad := range []string{
		"[]", "{}", "routes: {}", "routes: []", "routes: {get /a: {method: m}}", "routes: {GET a: {method: m}}", "routes: {GET /a: {}}", "routes: {GET /a: 5}",
		"more: 1\nroutes: {GET /a: {method: m}}", "routes: {GET /a: {method: m, more: 1}}", "routes: {GET /a: {method: m, timeout: 5}}",
		"routes: {GET /a: {method: m, timeout: .5s}}", "routes: {GET /a: {method: m, timeout: -1s}}", "routes: {GET /a: {method: m, max_body: 1k}}",
		"routes: {GET /a: {method: m, max_body: -1}}", "routes: {GET /a: {method: m, max_body: 1.5}}", "routes: {GET /a: {method: m, concurrency: -1}}",
		"routes: {GET /a: {method: m, idempotent: 'true'}}", "routes: {GET /a: {method: m, headers: []}}", "routes: {GET /a: {method: m, headers: {in: [{}]}}}",
		"routes: {GET /a: {method: m, payload: {q: int}}}", "routes: {GET /a: {method: m, payload: {}}}", "routes: {GET /a: {method: m, payload: ''}}",
		"routes: {GET /a: {method: m, rate: {per_second: '1'}}}", "routes: {GET /a: {method: m, request: 5}}", "routes: {GET /a: {method: true}}",
		"cors: {credentials: 1, origins: ['*']}\nroutes: {GET /a: {method: m}}", "schemas: []\nroutes: {GET /a: {method: m}}",
	} {
		agree(t, bad, false)
	}
}

func agree(t *testing.T, text string, good bool) {
	t.Helper()
	wrong, err := schemacheck.Validate(gatewayfile.Schema(), []byte(text))
	if err != nil || (len(wrong) == 0) != good {
		t.Errorf("the schema says %v, %v of %.100s", wrong, err, text)
	}
	if _, err := gatewayfile.Parse("x", []byte(text)); (err == nil) != good {
		t.Errorf("the parser says %v of %.100s", err, text)
	}
}

// Aliases of aliases, and endless mistakes, end early and say so.
func TestHugeFilesAreBounded(t *testing.T) {
	t.Parallel()
	var laughs, wrong strings.Builder
	laughs.WriteString("schemas:\n  a0: &a0 {x: yyyyyyyyyyyyyyyyyyyyyyyyyy}\n")
	for i := 1; i < 40; i++ {
		fmt.Fprintf(&laughs, "  a%d: &a%d {x: *a%d, y: *a%d, z: *a%d}\n", i, i, i-1, i-1, i-1)
	}
	laughs.WriteString("routes: {GET /a: {method: m}}\n")
	wrong.WriteString("routes:\n")
	for i := range 20_000 {
		fmt.Fprintf(&wrong, "  GET /%d: {methd: m}\n", i)
	}
	for name, text := range map[string]string{
		"laughs": laughs.String(), "wrong": wrong.String(), "large": "# " + strings.Repeat("x", gatewayfile.MaxSize),
		"itself": "routes: &a {GET /a: {method: m, request: *a}}", "deep": "schemas: {a: " + strings.Repeat("[", 5000) + strings.Repeat("]", 5000) + "}\nroutes: {}",
	} {
		if _, err := gatewayfile.Parse("f", []byte(text)); err == nil || len(err.Error()) > 500 || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %.600v", name, err)
		}
	}
}

func TestFileThatCannotBeReadIsTheSystemsError(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "none")
	for _, err := range []error{second(gatewayfile.Load(path)), second(gatewayfile.LoadTokens(path)), second(gatewayfile.LoadSecret(path))} {
		var refused *gatewayfile.Error
		if !errors.Is(err, os.ErrNotExist) || errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "gatewayfile: ") {
			t.Error(err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestTokensAreReadAndNeverRepeated(t *testing.T) {
	t.Parallel()
	const one, two = "2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae", "fcde2b2edba56bf408601fb721fe9b5c338d10ee429ea04fae5511b68fbf8fb9"
	const unseen = ":1:1: has a character that cannot be seen, or that is not UTF-8"
	for text, want := range map[string]string{
		"# who\n\nada " + one + "\n bob\t" + strings.ToUpper(two) + "\r\nada " + one: "",
		"":                               ":1:1: has no tokens: nobody could call",
		"ada\n":                          ":1:1: must be a subject, a blank, and 64 digits of hex: the SHA-256 of its token",
		"\nada s3cr3t\n":                 ":2:1: must be a subject, a blank, and 64 digits of hex: the SHA-256 of its token",
		"ada " + strings.Repeat("x", 64): ":1:1: the second word is not hex",
		"ada e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855": ":1:1: is the SHA-256 of nothing: the token was empty when it was made",
		"\ufeffada " + one + "\nbob " + two:                                    "",
		"a\u200bda " + one:                                                     unseen, // a blank without width
		"ada\u00a0 " + one:                                                     unseen, // a blank that keeps words together
		"\u202eada " + one:                                                     unseen, // from here on from right to left
		"ad\u00ada " + one:                                                     unseen, // a hyphen at the end of a line alone
		"ad\u034fa " + one:                                                     unseen, // a join of marks
		"\u3164 " + one:                                                        unseen, // a letter that is empty
		"ada\ufe0f " + one:                                                     unseen, // how the letter before is shown
		"ada\x00 " + one:                                                       unseen,
		"ada\x1b " + one:                                                       unseen,
		"ad\xe9 " + one:                                                        unseen,
		"ada " + one + "\nbob\ufeff " + two:                                    ":2:1:" + strings.TrimPrefix(unseen, ":1:1:"),
		"ad\u00e9 " + one + "\n\u5c0f " + two:                                  "",
		"ada " + one + "\nbob " + one + "\n":                                   ":2:1: two subjects have the same token",
	} {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		subjects, err := gatewayfile.LoadTokens(path)
		if want == "" {
			if err != nil || len(subjects) != 2 || strings.HasPrefix(slices.Sorted(maps.Values(subjects))[0], "\ufeff") {
				t.Errorf("%v, %v", subjects, err)
			}
			continue
		}
		if err == nil || err.Error() != path+want {
			t.Errorf("%q: %v; want %s", text, err, want)
		}
	}
}

func TestSecretIsOneLineOfEnoughBytes(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"0123456789abcdef": "", "\ufeff  0123456789abcdef \r\n": "", strings.Repeat("x", 1024): "",
		"":                         ":1:1: has 0 bytes; a secret must have 16 to 1024",
		"s3cr3t\n":                 ":1:1: has 6 bytes; a secret must have 16 to 1024",
		strings.Repeat("x", 1025):  ":1:1: has 1025 bytes; a secret must have 16 to 1024",
		"0123456789abcdef\ns3cr3t": ":1:1: must be one line",
	} {
		path := filepath.Join(t.TempDir(), "secret")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		secret, err := gatewayfile.LoadSecret(path)
		switch {
		case want != "":
			if err == nil || err.Error() != path+want {
				t.Errorf("%q: %v; want %s", text, err, want)
			}
		case err != nil || string(secret) != strings.Trim(text, "\ufeff \r\n"):
			t.Errorf("%q, %v", secret, err)
		}
	}
}

// Whatever the bytes, parsing ends with a configuration that makes a gateway, or with
// an error on one line that names a place.
func FuzzParse(f *testing.F) {
	data, err := os.ReadFile(example)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(data)
	f.Add([]byte(`{"routes": {"GET /{a...}": {"method": "m", "payload": {"a": "integer"}, "request": {"$ref": "#/components/schemas/x"}}}}`))
	f.Add([]byte("routes: &a {GET /a: {method: m, request: *a}}"))
	f.Fuzz(func(t *testing.T, data []byte) {
		file, err := gatewayfile.Parse("f", data)
		if err == nil {
			if found := append(gateway.Check(file.Gateway), gateway.CheckServer(file.Server)...); len(found) > 0 {
				t.Error(found)
			}
			return
		}
		var refused *gatewayfile.Error
		if !errors.As(err, &refused) || !strings.HasPrefix(err.Error(), "f:") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%q", err)
		}
	})
}
