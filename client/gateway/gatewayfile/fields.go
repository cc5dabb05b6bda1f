package gatewayfile

import (
	"encoding/json"
	"time"

	"github.com/warren-rpc/warren/client/gateway"
)

// kind is what a value must be.
type kind int

const (
	kindText     kind = iota + 1
	kindBool          // true or false
	kindCount         // a whole number
	kindNumber        // a number
	kindSize          // bytes: a whole number, or a text such as 64KiB
	kindDuration      // a text such as 250ms
	kindList          // a list of texts
	kindSchema        // a JSON Schema, or a text, which is a $ref
	kindSchemas       // schemas by their names
	kindPayload       // the name of a parameter, or types by names
	kindPart          // a mapping with fields of its own
)

// value is what a file says, as its kind has it.
type value struct {
	text     string
	flag     bool
	count    int
	number   float64
	duration time.Duration
	list     []string
	schema   json.RawMessage
	schemas  map[string]json.RawMessage
	kinds    map[string]string
}

// zero reports whether a number, a size or a duration is 0.
func (v value) zero() bool { return v.count == 0 && v.number == 0 && v.duration == 0 }

// field is a name that may stand in a file, or in a part of it.
type field[T any] struct {
	name string
	kind kind
	doc  string
	set  func(*T, value)
	part []field[T] // of kindPart

	// above says that 0 is out of bounds. In the structs it stands for the default,
	// which whoever writes 0 does not mean.
	above bool
}

var topFields = []field[File]{
	{name: "title", kind: kindText, doc: "Of the OpenAPI document.", set: func(f *File, v value) { f.Gateway.Title = v.text }},
	{name: "version", kind: kindText, doc: "Of the OpenAPI document.", set: func(f *File, v value) { f.Gateway.Version = v.text }},
	{name: "max_body", kind: kindSize, above: true, doc: "The largest body of a request on routes that do not say. Default: 1MiB; from 1 to 128MiB.",
		set: func(f *File, v value) { f.Gateway.MaxBody = v.count }},
	{name: "max_reply", kind: kindSize, above: true, doc: "The largest body of a reply on routes that do not say. Default: 1MiB; from 1 to 128MiB.",
		set: func(f *File, v value) { f.Gateway.MaxReply = v.count }},
	{name: "max_bodies", kind: kindSize, above: true, doc: "The bodies of all requests at work together; one that goes past it is refused with 503. Default: 256MiB; from max_body to 1GiB.",
		set: func(f *File, v value) { f.Gateway.MaxBodies = v.count }},
	{name: "concurrency", kind: kindCount, above: true, doc: "Requests at work on all routes; one more is refused with 503. One whose caller has gone is at work until its call has ended. Default: 4096; from 1 to 1000000.",
		set: func(f *File, v value) { f.Gateway.Concurrency = v.count }},
	{name: "body_timeout", kind: kindDuration, above: true, doc: "How long a body may take to arrive. Default: 30s; from 1ms to 1h.",
		set: func(f *File, v value) { f.Gateway.BodyTimeout = v.duration }},
	{name: "write_timeout", kind: kindDuration, above: true, doc: "How long a caller may take to read its reply. Default: 30s; from 1ms to 1h.",
		set: func(f *File, v value) { f.Gateway.WriteTimeout = v.duration }},
	{name: "challenge", kind: kindText, doc: "The header WWW-Authenticate of refusals. Default: Bearer.",
		set: func(f *File, v value) { f.Gateway.Challenge = v.text }},
	{name: "headers", kind: kindPart, doc: "Headers that every route passes on, besides its own.", part: []field[File]{
		{name: "in", kind: kindList, doc: inDoc, set: func(f *File, v value) { f.Gateway.Headers.In = v.list }},
		{name: "out", kind: kindList, doc: outDoc, set: func(f *File, v value) { f.Gateway.Headers.Out = v.list }},
	}},
	{name: "cors", kind: kindPart, doc: "Which pages of other origins may call from a browser.", part: []field[File]{
		{name: "origins", kind: kindList, doc: `Such as https://shop.example; "*" for all.`, set: func(f *File, v value) { f.Gateway.CORS.Origins = v.list }},
		{name: "headers", kind: kindList, doc: "Request headers that pages may set. Default: what the gateway and its routes know.",
			set: func(f *File, v value) { f.Gateway.CORS.Headers = v.list }},
		{name: "credentials", kind: kindBool, doc: "Pages may send cookies and the like. Default: false.",
			set: func(f *File, v value) { f.Gateway.CORS.Credentials = v.flag }},
		{name: "max_age", kind: kindDuration, doc: "How long browsers may remember it. Default: 10m; up to 24h.", set: func(f *File, v value) {
			if f.Gateway.CORS.MaxAge = v.duration; v.duration == 0 {
				f.Gateway.CORS.MaxAge = -1
			}
		}},
	}},
	{name: "auth", kind: kindPart, doc: "Who callers are. Default: they are not known apart.", part: []field[File]{
		{name: "tokens", kind: kindText, doc: "The file of bearer tokens: on each line a subject, a blank and the hex SHA-256 of its token. A relative path begins at this file's folder.",
			set: func(f *File, v value) { f.Tokens = v.text }},
	}},
	{name: "key_secret", kind: kindText, doc: "The file of what the IDs of calls with an Idempotency-Key are made with: a line of 16 to 1024 bytes, the same for all gateways that serve one caller, and for good. Required with auth. A relative path begins at this file's folder.",
		set: func(f *File, v value) { f.KeySecret = v.text }},
	{name: "server", kind: kindPart, doc: "What connections may take.", part: []field[File]{
		{name: "header_timeout", kind: kindDuration, above: true, doc: "How long the head of a request may take to arrive. Default: 5s; from 1ms to 1h.",
			set: func(f *File, v value) { f.Server.HeaderTimeout = v.duration }},
		{name: "idle_timeout", kind: kindDuration, above: true, doc: "How long a connection is kept between requests. Default: 2m; from 1ms to 24h.",
			set: func(f *File, v value) { f.Server.IdleTimeout = v.duration }},
		{name: "max_header_bytes", kind: kindSize, above: true, doc: "The largest head of a request. Default: 32KiB; from 4KiB to 1MiB.",
			set: func(f *File, v value) { f.Server.MaxHeaderBytes = v.count }},
		{name: "drain_delay", kind: kindDuration, doc: "How long connections are accepted after the stop, while /readyz says so. Default: 0s; up to 10m.",
			set: func(f *File, v value) { f.Server.DrainDelay = v.duration }},
		{name: "drain_timeout", kind: kindDuration, above: true, doc: "How long requests at work may take after that. Default: 20s; from 1ms to 1h.",
			set: func(f *File, v value) { f.Server.DrainTimeout = v.duration }},
		{name: "h2c", kind: kindBool, doc: "HTTP/2 without TLS, for proxies. Default: false.", set: func(f *File, v value) { f.Server.H2C = v.flag }},
	}},
	{name: "schemas", kind: kindSchemas, doc: `JSON Schemas that routes refer to as "#/components/schemas/NAME".`,
		set: func(f *File, v value) { f.Gateway.Schemas = v.schemas }},
}

const (
	inDoc  = "Request headers that are passed on, as http.header.NAME in lower case."
	outDoc = "Response headers that a reply may set, by http.header.NAME."
)

var routeFields = []field[gateway.Route]{
	{name: "method", kind: kindText, doc: "What is called. Required.", set: func(r *gateway.Route, v value) { r.Method = v.text }},
	{name: "timeout", kind: kindDuration, above: true, doc: "Bounds the call; callers may ask for less by Request-Timeout. Default: that of the method's policy; up to 24h.",
		set: func(r *gateway.Route, v value) { r.Timeout = v.duration }},
	{name: "max_body", kind: kindSize, doc: "The largest body; 0: none is taken. Default: the file's; up to 128MiB.", set: func(r *gateway.Route, v value) {
		if r.MaxBody = v.count; v.count == 0 {
			r.MaxBody = -1
		}
	}},
	{name: "max_reply", kind: kindSize, above: true, doc: "The largest body of a reply; a longer one is 502. Default: the file's; up to 128MiB.",
		set: func(r *gateway.Route, v value) { r.MaxReply = v.count }},
	{name: "concurrency", kind: kindCount, doc: "Requests at work; one more is refused with 429. One whose caller has gone is at work until its call has ended. Default: 0, no bound but the file's; up to 1000000.",
		set: func(r *gateway.Route, v value) { r.Concurrency = v.count }},
	{name: "rate", kind: kindPart, doc: "Requests over it are refused with 429.", part: []field[gateway.Route]{
		{name: "per_second", kind: kindNumber, above: true, doc: "How many come to be allowed in a second. Above 0, up to 1000000.",
			set: func(r *gateway.Route, v value) { r.Rate.PerSecond = v.number }},
		{name: "burst", kind: kindCount, above: true, doc: "How many may come at once. Default: per_second; up to 1000000.", set: func(r *gateway.Route, v value) { r.Rate.Burst = v.count }},
	}},
	{name: "idempotent", kind: kindBool, doc: "The handler may run more than once for a call, by nature or since its server has a store. Default: what the method's policy says.",
		set: func(r *gateway.Route, v value) { r.Idempotent = v.flag }},
	{name: "wait_for_server", kind: kindBool, doc: "Calls wait for a server instead of failing at once with 503. Default: false.",
		set: func(r *gateway.Route, v value) { r.WaitForServer = v.flag }},
	{name: "require_key", kind: kindBool, doc: "Requests without an Idempotency-Key are refused. Default: false.",
		set: func(r *gateway.Route, v value) { r.RequireKey = v.flag }},
	{name: "headers", kind: kindPart, doc: "Headers that this route passes on, besides the file's.", part: []field[gateway.Route]{
		{name: "in", kind: kindList, doc: inDoc, set: func(r *gateway.Route, v value) { r.Headers.In = v.list }},
		{name: "out", kind: kindList, doc: outDoc, set: func(r *gateway.Route, v value) { r.Headers.Out = v.list }},
	}},
	{name: "query", kind: kindList, doc: "Query parameters that are passed on; others are ignored. Default: all are passed on.",
		set: func(r *gateway.Route, v value) { r.Query = v.list }},
	{name: "lists", kind: kindList, doc: "Query parameters that may be there more than once; their header is a JSON array.",
		set: func(r *gateway.Route, v value) { r.Lists = v.list }},
	{name: "payload", kind: kindPayload, doc: "The payload is made of parameters: of one, as text, or of several, as an object of JSON, each with its type.",
		set: func(r *gateway.Route, v value) { r.Payload = gateway.Payload{Text: v.text, JSON: v.kinds} }},
	{name: "reply_type", kind: kindText, doc: "The content type of replies that say none. Default: application/octet-stream.",
		set: func(r *gateway.Route, v value) { r.ReplyType = v.text }},
	{name: "summary", kind: kindText, doc: "For the OpenAPI document.", set: func(r *gateway.Route, v value) { r.Summary = v.text }},
	{name: "request", kind: kindSchema, doc: "The JSON Schema of the request's body, for the OpenAPI document; a text is a $ref.",
		set: func(r *gateway.Route, v value) { r.Request = v.schema }},
	{name: "reply", kind: kindSchema, doc: "The JSON Schema of the reply's body, for the OpenAPI document; a text is a $ref.",
		set: func(r *gateway.Route, v value) { r.Reply = v.schema }},
}

func names[T any](fields []field[T]) []string {
	list := make([]string, len(fields))
	for i, f := range fields {
		list[i] = f.name
	}
	return list
}
