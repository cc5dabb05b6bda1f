package gateway

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
)

// FuzzMapRequest: whatever a caller sends, its message has no header but those that
// it may choose, and those that it may not choose are the gateway's.
func FuzzMapRequest(f *testing.F) {
	f.Add("/orders/a%2Fb", "q=1&tag=2", "X-A", "text", "k", "2s", []byte("{}"))
	f.Add("/orders/%00%0d%0a", "http.subject=eve&q=%ff", "Http.subject", "eve\r\nX: y", "", "250ms", []byte(nil))
	f.Add("/orders/..", "q=1&q=2", "Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "a b", "1e9", []byte{0xff})
	rs, found := compile(Config{Routes: []Route{{
		Pattern: "POST /orders/{id}", Method: "m", Lists: []string{"tag"}, Headers: Headers{In: []string{"X-A", "http.subject"}},
	}, {
		Pattern: "GET /orders/{id}", Method: "m", Payload: Payload{JSON: map[string]string{"id": "integer", "q": "number"}},
	}}}.withDefaults())
	if len(found) > 0 {
		f.Fatal(found)
	}
	f.Fuzz(func(t *testing.T, path, query, name, value, key, timeout string, body []byte) {
		u, err := url.ParseRequestURI(path)
		if err != nil || !strings.HasPrefix(path, "/") {
			return
		}
		u.RawQuery = query
		for _, method := range []string{http.MethodPost, http.MethodGet} {
			r := &http.Request{Method: method, URL: u, Header: http.Header{
				http.CanonicalHeaderKey(name): {value}, headerKey: {key}, headerTimeout: {timeout},
			}}
			e := rs.find(r)
			if e == nil || e.page != nil {
				continue
			}
			rs.enter(httptest.NewRecorder(), r)
			if k, p := idempotencyKey(r.Header); (p == nil) == (k == "") {
				t.Fatalf("key %q is %q, %+v", key, k, p)
			}
			if d, p := requestTimeout(r.Header); (p == nil) == (d <= 0) || d > maxTimeout {
				t.Fatalf("timeout %q is %v, %+v", timeout, d, p)
			}
			m, p := e.mapRequest(r, Identity{Subject: "ada"}, body)
			if p != nil {
				if p.status != http.StatusBadRequest || p.outcome != warren.NotExecuted || p.detail == "" {
					t.Fatalf("%+v", p)
				}
				continue
			}
			checkMessage(t, e, r, &m)
			if e.Payload.empty() && !bytes.Equal(m.body, body) || !e.Payload.empty() && !json.Valid(m.body) {
				t.Fatalf("body %q", m.body)
			}
		}
	})
}

func checkMessage(t *testing.T, e *endpoint, r *http.Request, m *message) {
	t.Helper()
	if m.header[headSubject] != "ada" || m.header[headMethod] != r.Method || m.header[headRoute] != e.Pattern || m.header[headPath] != r.URL.EscapedPath() {
		t.Fatalf("%q", m.header)
	}
	for name, value := range m.header {
		switch {
		case name == headSubject || name == headMethod || name == headRoute || name == headPath:
		case name == prefixParam+"id":
			if value != r.PathValue("id") {
				t.Fatalf("%q", m.header)
			}
		case strings.HasPrefix(name, prefixQuery) && parameterName(name[len(prefixQuery):]):
		case (name == prefixHeader+"x-a" || name == prefixHeader+"http.subject" || name == "traceparent" || name == "tracestate" || name == "baggage") && fieldValue(value):
		default:
			t.Fatalf("header %q: %q", name, value)
		}
	}
	if !fieldValue(m.contentType) || !fieldValue(m.contentEncoding) {
		t.Fatalf("%q, %q", m.contentType, m.contentEncoding)
	}
}

// FuzzMapReply: whatever a server answers, what is told is one HTTP message.
func FuzzMapReply(f *testing.F) {
	f.Add("200", "http.header.location", "/x", "text/plain", "gzip", []byte("x"))
	f.Add("304", "http.header.Location", "a\r\nSet-Cookie: b", "a\x00", "", []byte(nil))
	f.Add("", "HTTP.HEADER.location", "x", "", "", []byte("x"))
	e := newEndpoint(Config{MaxBody: 1}, Route{Pattern: "GET /m", Method: "m", Headers: Headers{Out: []string{"Location"}}})
	f.Fuzz(func(t *testing.T, status, name, value, contentType, encoding string, body []byte) {
		reply := &warren.Reply{Header: warren.Header{headStatus: status, name: value}, ContentType: contentType, ContentEncoding: encoding, Body: body}
		a, p := e.mapReply(reply)
		if p != nil {
			if p.status != http.StatusBadGateway || p.outcome != warren.Executed {
				t.Fatalf("%+v", p)
			}
			return
		}
		if a.status < 200 || a.status > 599 || !fieldValue(a.contentType) || len(a.body) > 0 && a.contentType == "" {
			t.Fatalf("%+v", a)
		}
		for name, value := range a.header {
			if name != "Location" && name != "Content-Encoding" || !fieldValue(value) {
				t.Fatalf("%q: %q", name, value)
			}
		}
	})
}
