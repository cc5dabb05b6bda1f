package gatewayfile

import "github.com/warren-rpc/warren/internal/setting"

// fileFields are those of a file: of gateway.Config and of [File].
var fileFields = []setting.Field{
	{Name: "title", Kind: setting.Text, Doc: "Of the OpenAPI document."},
	{Name: "version", Kind: setting.Text, Doc: "Of the OpenAPI document."},
	{Name: "max_body", Kind: setting.Size, Above: true, Doc: "The largest body of a request on routes that do not say. Default: 1MiB; from 1 to 128MiB."},
	{Name: "max_reply", Kind: setting.Size, Above: true, Doc: "The largest body of a reply on routes that do not say. Default: 1MiB; from 1 to 128MiB."},
	{Name: "max_bodies", Kind: setting.Size, Above: true, Doc: "The bodies of all requests at work together; one that goes past it is refused with 503. Default: 256MiB; from max_body to 1GiB."},
	{Name: "concurrency", Kind: setting.Count, Above: true, Doc: "Requests at work on all routes; one more is refused with 503. One whose caller has gone is at work until its call has ended. Default: 4096; from 1 to 1000000."},
	{Name: "body_timeout", Kind: setting.Duration, Above: true, Doc: "How long a body may take to arrive. Default: 30s; from 1ms to 1h."},
	{Name: "write_timeout", Kind: setting.Duration, Above: true, Doc: "How long a caller may take to read its reply. Default: 30s; from 1ms to 1h."},
	{Name: "challenge", Kind: setting.Text, Doc: "The header WWW-Authenticate of refusals. Default: Bearer."},
	{Name: "headers", Kind: setting.Part, Doc: "Headers that every route passes on, besides its own."},
	{Name: "headers.in", Kind: setting.List, Doc: inDoc},
	{Name: "headers.out", Kind: setting.List, Doc: outDoc},
	{Name: "cors", Kind: setting.Part, Doc: "Which pages of other origins may call from a browser."},
	{Name: "cors.origins", Kind: setting.List, Doc: `Such as https://shop.example; "*" for all.`},
	{Name: "cors.headers", Kind: setting.List, Doc: "Request headers that pages may set. Default: what the gateway and its routes know."},
	{Name: "cors.credentials", Kind: setting.Bool, Doc: "Pages may send cookies and the like. Default: false."},
	{Name: "cors.max_age", Kind: setting.Duration, Doc: "How long browsers may remember it. Default: 10m; up to 24h."},
	{Name: "auth", Kind: setting.Part, Doc: "Who callers are. Default: they are not known apart."},
	{Name: "auth.tokens", Kind: setting.Text, Doc: "The file of bearer tokens: on each line a subject, a blank and the hex SHA-256 of its token. A relative path begins at this file's folder."},
	{Name: "key_secret", Kind: setting.Text, Doc: "The file of what the IDs of calls with an Idempotency-Key are made with: a line of 16 to 1024 bytes, the same for all gateways that serve one caller, and for good. Required with auth. A relative path begins at this file's folder."},
	{Name: "server", Kind: setting.Part, Doc: "What connections may take."},
	{Name: "server.header_timeout", Kind: setting.Duration, Above: true, Doc: "How long the head of a request may take to arrive. Default: 5s; from 1ms to 1h."},
	{Name: "server.idle_timeout", Kind: setting.Duration, Above: true, Doc: "How long a connection is kept between requests. Default: 2m; from 1ms to 24h."},
	{Name: "server.max_header_bytes", Kind: setting.Size, Above: true, Doc: "The largest head of a request. Default: 32KiB; from 4KiB to 1MiB."},
	{Name: "server.drain_delay", Kind: setting.Duration, Doc: "How long connections are accepted after the stop, while /readyz says so. Default: 0s; up to 10m."},
	{Name: "server.drain_timeout", Kind: setting.Duration, Above: true, Doc: "How long requests at work may take after that. Default: 20s; from 1ms to 1h."},
	{Name: "server.h2c", Kind: setting.Bool, Doc: "HTTP/2 without TLS, for proxies. Default: false."},
	{Name: "schemas", Kind: setting.Custom, Doc: `JSON Schemas that routes refer to as "#/components/schemas/NAME".`},
	{Name: "routes", Kind: setting.Custom, Doc: "By an HTTP method, a blank and a path, such as GET /orders/{id}."},
}

const (
	inDoc  = "Request headers that are passed on, as http.header.NAME in lower case."
	outDoc = "Response headers that a reply may set, by http.header.NAME."
)

// routeFields are those of gateway.Route.
var routeFields = []setting.Field{
	{Name: "method", Kind: setting.Text, Doc: "What is called. Required."},
	{Name: "timeout", Kind: setting.Duration, Above: true, Doc: "Bounds the call; callers may ask for less by Request-Timeout. Default: that of the method's policy; up to 24h."},
	{Name: "max_body", Kind: setting.Size, Doc: "The largest body; 0: none is taken. Default: the file's; up to 128MiB."},
	{Name: "max_reply", Kind: setting.Size, Above: true, Doc: "The largest body of a reply; a longer one is 502. Default: the file's; up to 128MiB."},
	{Name: "concurrency", Kind: setting.Count, Doc: "Requests at work; one more is refused with 429. One whose caller has gone is at work until its call has ended. Default: 0, no bound but the file's; up to 1000000."},
	{Name: "rate", Kind: setting.Part, Doc: "Requests over it are refused with 429."},
	{Name: "rate.per_second", Kind: setting.Number, Above: true, Doc: "How many come to be allowed in a second. Above 0, up to 1000000."},
	{Name: "rate.burst", Kind: setting.Count, Above: true, Doc: "How many may come at once. Default: per_second; up to 1000000."},
	{Name: "idempotent", Kind: setting.Bool, Doc: "The handler may run more than once for a call, by nature or since its server has a store. Default: what the method's policy says."},
	{Name: "wait_for_server", Kind: setting.Bool, Doc: "Calls wait for a server instead of failing at once with 503. Default: false."},
	{Name: "require_key", Kind: setting.Bool, Doc: "Requests without an Idempotency-Key are refused. Default: false."},
	{Name: "headers", Kind: setting.Part, Doc: "Headers that this route passes on, besides the file's."},
	{Name: "headers.in", Kind: setting.List, Doc: inDoc},
	{Name: "headers.out", Kind: setting.List, Doc: outDoc},
	{Name: "query", Kind: setting.List, Doc: "Query parameters that are passed on; others are ignored. Default: all are passed on."},
	{Name: "lists", Kind: setting.List, Doc: "Query parameters that may be there more than once; their header is a JSON array."},
	{Name: "payload", Kind: setting.Custom, Doc: "The payload is made of parameters: of one, as text, or of several, as an object of JSON, each with its type."},
	{Name: "reply_type", Kind: setting.Text, Doc: "The content type of replies that say none. Default: application/octet-stream."},
	{Name: "summary", Kind: setting.Text, Doc: "For the OpenAPI document."},
	{Name: "request", Kind: setting.Custom, Doc: "The JSON Schema of the request's body, for the OpenAPI document; a text is a $ref."},
	{Name: "reply", Kind: setting.Custom, Doc: "The JSON Schema of the reply's body, for the OpenAPI document; a text is a $ref."},
}
