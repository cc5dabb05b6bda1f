package gateway_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client/gateway"
)

func TestConfigThatCannotWorkIsRefusedByField(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*gateway.Config){
		`gateway: routes: there are none`:                                     func(c *gateway.Config) { c.Routes = nil },
		`gateway: max_body: is -1; it must be from 1 to 134217728`:            func(c *gateway.Config) { c.MaxBody = -1 },
		`gateway: max_bodies: is 1024; it must be from 1048576 to 1073741824`: func(c *gateway.Config) { c.MaxBodies = 1024 },
		`gateway: route GET /m: max_body: is 2048; it must be from -1 to 1024`: func(c *gateway.Config) {
			c.MaxBody, c.MaxBodies, c.Routes[0].MaxBody = 1, 1024, 2048
		},
		`gateway: max_reply: is -1; it must be from 0 to 134217728`:                      func(c *gateway.Config) { c.MaxReply = -1 },
		`gateway: route GET /m: max_reply: is 134217729; it must be from 0 to 134217728`: func(c *gateway.Config) { c.Routes[0].MaxReply = 1<<27 + 1 },
		`gateway: key_secret: is 15; it must be from 16 to 1024`:                         func(c *gateway.Config) { c.KeySecret = []byte("123456789012345") },
		`gateway: key_secret: is missing: callers are told apart, and without a secret the IDs of their calls can be computed`: func(c *gateway.Config) {
			c.Authenticate = byHeader
		},
		`gateway: concurrency: is -1; it must be from 1 to 1000000`:                                              func(c *gateway.Config) { c.Concurrency = -1 },
		`gateway: body_timeout: is 2h0m0s; it must be from 1ms to 1h0m0s`:                                        func(c *gateway.Config) { c.BodyTimeout = 2 * time.Hour },
		`gateway: write_timeout: is -1ns; it must be from 1ms to 1h0m0s`:                                         func(c *gateway.Config) { c.WriteTimeout = -1 },
		`gateway: challenge: has bytes that no header can have`:                                                  func(c *gateway.Config) { c.Challenge = "a\nb" },
		`gateway: headers.in: "Connection" is about a connection, not a message`:                                 func(c *gateway.Config) { c.Headers.In = []string{"Connection"} },
		`gateway: headers.in: "a b" is not the name of a header`:                                                 func(c *gateway.Config) { c.Headers.In = []string{"a b"} },
		`gateway: headers.out: "content-type" is the gateway's own: it is mapped without being listed, or never`: func(c *gateway.Config) { c.Headers.Out = []string{"content-type"} },
		`gateway: headers.out: "Access-Control-Allow-Origin" is the gateway's own: it is mapped without being listed, or never`: func(c *gateway.Config) {
			c.Headers.Out = []string{"Access-Control-Allow-Origin"}
		},
		`gateway: cors.origins: "shop.example" is not an origin as browsers send it, such as https://shop.example: in lower case, without a path, a star or the scheme's own port`: func(c *gateway.Config) { c.CORS.Origins = []string{"shop.example"} },
		`gateway: cors.origins: "https://a.example/" is not an origin as browsers send it, such as https://shop.example: in lower case, without a path, a star or the scheme's own port`: func(c *gateway.Config) {
			c.CORS.Origins = []string{"https://a.example/"}
		},
		`gateway: cors.credentials: cannot go with the origin "*": every page could act as its reader`: func(c *gateway.Config) {
			c.CORS = gateway.CORS{Origins: []string{"*"}, Credentials: true}
		},
		`gateway: cors.origins: there are none, and so the rest says nothing`:                   func(c *gateway.Config) { c.CORS.Headers = []string{"X-A"} },
		`gateway: schemas.a b: has a name that is not made of [A-Za-z0-9._-]`:                   func(c *gateway.Config) { c.Schemas = map[string]json.RawMessage{"a b": []byte("{}")} },
		`gateway: route GET /m: method: method name "a b": byte 1 is not one of [A-Za-z0-9._-]`: func(c *gateway.Config) { c.Routes[0].Method = "a b" },
		`gateway: route GET /m: timeout: is 25h0m0s; it must be from 0s to 24h0m0s`:             func(c *gateway.Config) { c.Routes[0].Timeout = 25 * time.Hour },
		`gateway: route GET /m: max_body: is 134217729; it must be from -1 to 134217728`:        func(c *gateway.Config) { c.Routes[0].MaxBody = 1<<27 + 1 },
		`gateway: route GET /m: rate.per_second: is not there, and so the burst says nothing`:   func(c *gateway.Config) { c.Routes[0].Rate.Burst = 1 },
		`gateway: route GET /m: query: "a b" cannot be a parameter: its name must be 1 to 64 bytes of printable ASCII without blanks`: func(c *gateway.Config) {
			c.Routes[0].Query = []string{"a b"}
		},
		`gateway: route GET /m: payload: "n" is neither a parameter of the path nor a single one of the query`: func(c *gateway.Config) {
			c.Routes[0].Query, c.Routes[0].Payload.Text = []string{"q"}, "n"
		},
		`gateway: route GET /m: payload: "q" is "int"; it must be string, integer, number, boolean`: func(c *gateway.Config) {
			c.Routes[0].Payload.JSON = map[string]string{"q": "int"}
		},
		`gateway: route GET /m: payload: is a text and an object at once`: func(c *gateway.Config) {
			c.Routes[0].Payload = gateway.Payload{Text: "q", JSON: map[string]string{"q": "string"}}
		},
		`gateway: route GET /m: reply_type: "json;" is not a content type`: func(c *gateway.Config) { c.Routes[0].ReplyType = "json;" },
		`gateway: route GET /m: reply: refers to "#/components/schemas/Order", and there is no such schema`: func(c *gateway.Config) {
			c.Routes[0].Reply = []byte(`{"items":{"$ref":"#/components/schemas/Order"}}`)
		},
		`gateway: route GET /m: request: is not a schema: it must be an object, a boolean, or a text, which is a $ref`: func(c *gateway.Config) {
			c.Routes[0].Request = []byte(`[]`)
		},
		`gateway: route GET /m: matches what the route "GET /m" matches, and neither is the more specific one`: func(c *gateway.Config) {
			c.Routes = append(c.Routes, c.Routes[0])
		},
		`gateway: route GET /a/{x}: matches what the route "GET /{y}/a" matches, and neither is the more specific one`: func(c *gateway.Config) {
			c.Routes = append(c.Routes, gateway.Route{Pattern: "GET /{y}/a", Method: "m"}, gateway.Route{Pattern: "GET /a/{x}", Method: "m"})
		},
		`gateway: route GET /healthz: the gateway itself answers at /healthz`: func(c *gateway.Config) { c.Routes[0].Pattern = "GET /healthz" },
	} {
		cfg := routes(gateway.Route{Pattern: "GET /m", Method: "m"})
		change(&cfg)
		if found := gateway.Check(cfg); len(found) != 1 || found[0].Error() != want {
			t.Errorf("%q\nwant\n%s", found, want)
		}
	}
}

// An origin that no browser sends would be refused to every page, and nobody would know why.
func TestOriginsThatNeverMatchAreRefused(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]bool{
		"https://a.example": true, "http://a.example:8080": true, "http://localhost:443": true, "https://[::1]:8443": true, "https://xn--bcher-kva.example": true,
		"null": false, "https://A.example": false, "HTTPS://a.example": false, "https://*.a.example": false, "https://a.example:443": false,
		"http://a.example:80": false, "https://a.example:": false, "https://b\u00fccher.example": false, "https://u@a.example": false, "ftp://a.example": false,
		"https://a.example?": false, "https://a.example#": false, "": false, "https://": false,
	} {
		cfg := routes(gateway.Route{Pattern: "GET /m", Method: "m"})
		cfg.CORS.Origins = []string{origin}
		if found := gateway.Check(cfg); (len(found) == 0) != want {
			t.Errorf("%q: %q", origin, found)
		}
	}
}

func TestPatternsThatCannotBeServedAreRefused(t *testing.T) {
	t.Parallel()
	for pattern, want := range map[string]string{
		"": "must be a method", "/m": "must be a method", "GET": "must be a method", "GET  /m": "has blanks", "get /m": "must be in capitals",
		"CONNECT /m": "cannot be served", "GET example.org/m": "hosts cannot be told apart", "GET /m/": "write {$} after it", "GET /": "write {$} after it",
		"GET /a//b": "empty segments", "GET /a/../b": "empty segments", "GET /{": "cannot be read: bad wildcard segment",
		"GET /{a}{b}": "cannot be read: bad wildcard", "GET /{x}/{x}": "cannot be read: duplicate wildcard name", "GET /{a...}/b": "cannot be read: {...} wildcard not at end",
		"GET /{ä}": "must have 1 to 64 letters of ASCII", "GET /x\ny": "has blanks, or bytes",
	} {
		found := gateway.Check(routes(gateway.Route{Pattern: pattern, Method: "m"}))
		if len(found) != 1 || found[0].Field != "" || !strings.Contains(found[0].Message, want) || strings.Contains(found[0].Message, ".go") {
			t.Errorf("%q: %q; want %q", pattern, found, want)
		}
	}
	if found := gateway.Check(routes(gateway.Route{Pattern: "GET /{$}", Method: "m"}, gateway.Route{Pattern: "PURGE /{rest...}", Method: "m"})); len(found) > 0 {
		t.Error(found)
	}
}
