package gateway

import (
	"net/textproto"
	"strings"
	"unicode/utf8"
)

// The AMQP headers of requests.
const (
	headMethod    = "http.method"  // GET
	headPath      = "http.path"    // as it was sent, with its escapes: /orders/a%2Fb
	headRoute     = "http.route"   // the pattern: GET /orders/{id}
	headSubject   = "http.subject" // who calls, as Config.Authenticate says
	prefixParam   = "http.param."  // parameters of the path
	prefixQuery   = "http.query."  // parameters of the query
	prefixHeader  = "http.header." // request headers in lower case; of replies, in any case
	prefixClaim   = "http.claim."  // what else Config.Authenticate says
	headStatus    = "http.status"  // of replies
	headerKey     = "Idempotency-Key"
	headerReplay  = "Idempotency-Replayed"
	headerCall    = "Warren-Call-Id"
	headerTimeout = "Request-Timeout"
)

// maxParameter is how many bytes the name of a parameter may have. With its prefix
// it is within the bound of header names on the wire.
const maxParameter = 64

func parameterName(name string) bool {
	return name != "" && len(name) <= maxParameter && strings.IndexFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
}

// token reports whether s is a token of RFC 9110, as names of headers are.
func token(s string) bool {
	const others = "!#$%&'*+-.^_`|~"
	return s != "" && strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune(others, r)
	}) < 0
}

// fieldValue reports whether s can be the value of a header: text without controls
// but tabs, and so without anything that could begin another header.
func fieldValue(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < ' ' && s[i] != '\t' || s[i] == 0x7f {
			return false
		}
	}
	return utf8.ValidString(s)
}

const (
	ofConnection = "is about a connection, not a message"
	ofGateway    = "is the gateway's own: it is mapped without being listed, or never"
)

// reserved says why headers cannot be on an allow-list, in either direction.
var reserved = map[string]string{
	"Connection": ofConnection, "Keep-Alive": ofConnection, "Proxy-Connection": ofConnection, "Proxy-Authenticate": ofConnection,
	"Proxy-Authorization": ofConnection, "Te": ofConnection, "Trailer": ofConnection, "Transfer-Encoding": ofConnection,
	"Upgrade": ofConnection, "Content-Length": ofConnection, "Http2-Settings": ofConnection,
	"Content-Type": ofGateway, "Content-Encoding": ofGateway,
}

var (
	reservedIn = map[string]string{
		"Host": ofGateway, "Expect": ofConnection, headerKey: ofGateway, headerTimeout: ofGateway,
		"Traceparent": ofGateway, "Tracestate": ofGateway, "Baggage": ofGateway,
	}
	reservedOut = map[string]string{
		"Date": ofGateway, headerReplay: ofGateway, headerCall: ofGateway, "X-Content-Type-Options": ofGateway,
	}
)

func refusedIn(name string) string { return refused(name, reservedIn) }

func refusedOut(name string) string {
	if strings.HasPrefix(textproto.CanonicalMIMEHeaderKey(name), "Access-Control-") {
		return ofGateway
	}
	return refused(name, reservedOut)
}

func refused(name string, more map[string]string) string {
	if !token(name) || len(name) > maxParameter {
		return "is not the name of a header"
	}
	canonical := textproto.CanonicalMIMEHeaderKey(name)
	if why := reserved[canonical]; why != "" {
		return why
	}
	return more[canonical]
}
