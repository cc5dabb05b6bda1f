package gateway

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"time"
)

// Config configures a [Gateway]. Every zero field but Routes has a default; [New]
// copies it, so later changes have no effect.
type Config struct {
	// Routes are what is served. At least one. Of routes whose patterns match the same
	// request the more specific one counts, as for [http.ServeMux]; those of which none
	// is are refused.
	Routes []Route
	// Headers are allowed on every route, besides its own.
	Headers Headers
	// MaxBody bounds the bodies of requests, in bytes, on routes that do not say,
	// whatever the client's own bound, MaxRequest. Servers and the broker have bounds
	// of their own. Default: 1 MiB; 1 to 128 MiB.
	MaxBody int
	// MaxReply bounds the bodies of replies, in bytes, on routes that do not say.
	// Default: the client's own bound, MaxReply; at most 128 MiB.
	MaxReply int
	// MaxBodies bounds the bytes of the bodies of all requests at work, those that are
	// still arriving among them; the request that goes past it is refused with 503.
	// They take two to three times as much memory while they arrive. Default: 256 MiB;
	// MaxBody of any route to 1 GiB.
	MaxBodies int
	// Concurrency bounds the requests at work on all routes together; one more is
	// refused at once with 503. One whose caller has gone is at work until its call has
	// ended. Default: 4,096; 1 to 1,000,000.
	Concurrency int
	// BodyTimeout is how long a request's body may take to arrive. Default: 30 s; 1 ms
	// to 1 h.
	BodyTimeout time.Duration
	// WriteTimeout is how long a caller may take to read its reply. Default: 30 s; 1 ms
	// to 1 h.
	WriteTimeout time.Duration
	// CORS lets pages of other origins call. Default: it does not.
	CORS CORS

	// Authenticate says who makes a request, before its body is read. An error refuses
	// it: a [warren.Error] with its own code and message, any other with 401 and no
	// text. It must not read the body, may be called concurrently, and ends with the
	// request's context. Default: all callers are one, without a name, and share their
	// idempotency keys.
	Authenticate func(*http.Request) (Identity, error)
	// KeySecret is what the IDs of calls with an Idempotency-Key are made with, besides
	// the subject, the route and the key: who can compute the ID of a call can ask
	// servers of it. It must be the same in all gateways that serve one caller, and stay
	// the same: requests that are made again after it has changed are other calls.
	// Required with Authenticate. Default: none, so that IDs can be computed; 16 to
	// 1024 bytes.
	KeySecret []byte
	// Challenge is the header WWW-Authenticate of refusals. Default: "Bearer".
	Challenge string

	// Title and Version are those of the OpenAPI document at /openapi.json, and Schemas
	// its components, which routes may refer to as "#/components/schemas/NAME".
	// Default: "Warren gateway", "0", none.
	Title, Version string
	Schemas        map[string]json.RawMessage

	// Logger gets what goes wrong here and not with a call. Default: slog.Default().
	Logger *slog.Logger
	// AccessLog gets one line for each request, without bodies, query parameters and
	// headers. Default: none.
	AccessLog *slog.Logger
}

// Route maps an HTTP method and a path to a Warren method.
type Route struct {
	// Pattern is an HTTP method, a blank and a path, as [http.ServeMux] has them:
	// "GET /orders/{id}", "PUT /files/{path...}", "GET /{$}". GET serves HEAD too.
	// Required.
	Pattern string
	// Method is what is called. Required.
	Method string
	// Timeout bounds the call. A caller may ask for less by the header
	// Request-Timeout, never for more. Default: that of the method's policy; at most
	// 24 h.
	Timeout time.Duration
	// MaxBody bounds the body in bytes. Default: Config.MaxBody; -1: no body is taken;
	// at most 128 MiB.
	MaxBody int
	// MaxReply bounds the body of the reply in bytes; a longer one is told as
	// reply_too_large, 502. Default: Config.MaxReply; at most 128 MiB.
	MaxReply int
	// Concurrency bounds the requests at work, and with them the calls that this
	// gateway has in the method's queue; one more is refused at once with 429. One
	// whose caller has gone is at work until its call has ended, by its answer or its
	// deadline. Default: no bound but Config.Concurrency; at most 1,000,000.
	Concurrency int
	// Rate bounds the requests per second; those over it are refused at once with 429.
	Rate Rate
	// Idempotent says that the handler may run more than once for one call without
	// harm, by nature or since its server has a store: see client.Idempotent. Default:
	// what the method's policy says.
	Idempotent bool
	// WaitForServer lets calls wait for a server, instead of failing at once with 503.
	WaitForServer bool
	// RequireKey refuses requests without an Idempotency-Key.
	RequireKey bool
	// Headers are allowed on this route, besides Config.Headers.
	Headers Headers
	// Query lists the query parameters that are passed on; others are ignored. Default:
	// all are passed on.
	Query []string
	// Lists names the query parameters that may be there more than once: their header
	// is a JSON array of strings, however many there are. Any other is refused if it
	// is there twice.
	Lists []string
	// Payload makes the request's payload of its parameters; a body is then refused.
	Payload Payload
	// ReplyType is the content type of replies that have a body and say none. Default:
	// application/octet-stream.
	ReplyType string

	// Summary, and Request and Reply, the JSON Schemas of the bodies, are for the
	// OpenAPI document. A schema may be a text: it is a $ref then.
	Summary        string
	Request, Reply json.RawMessage
}

// Headers are allow-lists of header names, in any case. What concerns a connection
// and not a message cannot be on them, nor what the gateway maps by itself.
type Headers struct {
	// In are the request headers that are passed on, as http.header.NAME in lower case.
	In []string
	// Out are the response headers that a reply may set.
	Out []string
}

// Rate is a token bucket.
type Rate struct {
	// PerSecond is how many requests come to be allowed in a second. Default: 0, no
	// bound; at most 1,000,000.
	PerSecond float64
	// Burst is how many may come at once. Default: PerSecond, rounded up; 1 to
	// 1,000,000.
	Burst int
}

// Payload makes a payload of path and query parameters, for servers that expect
// their arguments there. The zero Payload passes the request's body on.
type Payload struct {
	// Text names the parameter whose value is the payload, as text/plain.
	Text string
	// JSON names the parameters that are the members of a JSON object, each with its
	// type: string, integer, number or boolean. A query parameter that is not there is
	// left out; one of Route.Lists is an array.
	JSON map[string]string
}

// CORS says which pages of other origins may call from a browser.
type CORS struct {
	// Origins are the origins of the pages, such as "https://shop.example", or "*" for
	// all. Default: none.
	Origins []string
	// Headers are the request headers that pages may set. Default: Authorization,
	// Content-Type, Idempotency-Key, Request-Timeout, those of trace context, and what
	// the lists In have.
	Headers []string
	// Credentials lets pages send cookies and the like. It cannot go with "*".
	Credentials bool
	// MaxAge is how long browsers may remember what is allowed. Default: 10 min; at
	// most 24 h; negative: not at all.
	MaxAge time.Duration
}

func (c Config) withDefaults() Config {
	setDefault(&c.MaxBody, 1<<20)
	setDefault(&c.MaxBodies, 256<<20)
	setDefault(&c.Concurrency, 4096)
	setDefault(&c.BodyTimeout, 30*time.Second)
	setDefault(&c.WriteTimeout, 30*time.Second)
	setDefault(&c.CORS.MaxAge, 10*time.Minute)
	setDefault(&c.Challenge, "Bearer")
	setDefault(&c.Title, "Warren gateway")
	setDefault(&c.Version, "0")
	setDefault(&c.Logger, slog.Default())
	setDefault(&c.AccessLog, slog.New(slog.DiscardHandler))
	return c
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
