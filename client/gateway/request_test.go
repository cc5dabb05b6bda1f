package gateway_test

import (
	"maps"
	"net/http"
	"strings"
	"testing"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/rig"
)

func TestRequestBecomesTheDocumentedMessage(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("orders.put"), mirror)
		cfg := routes(gateway.Route{
			Pattern: "PUT /orders/{id}/{rest...}", Method: "orders.put", Lists: []string{"tag"},
			Headers: gateway.Headers{In: []string{"if-match", "Accept-Language", "Cookie"}},
		})
		cfg.Headers.In = []string{"X-Tenant"}
		cfg.Authenticate = func(*http.Request) (gateway.Identity, error) {
			return gateway.Identity{Subject: "ada", Claims: map[string]string{"role": "admin"}}, nil
		}
		g := newGateway(r, cfg)
		resp := ask(r.T.Context(), g, "PUT", "/orders/a%2Fb%0d%0aX/x/y%20z?q=%C3%A4&tag=1&tag=2&empty=", `{"n":1}`, head{
			"Content-Type": "application/json", "Content-Encoding": "identity", "If-Match": `"7"`, "accept-language": "de", "X-Tenant": "t",
			"X-Other": "no", "Http.subject": "eve", "Http.claim.role": "root", "Authorization": "Bearer secret", "Cookie": "a=b",
			"Traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "Tracestate": "v=1", "Baggage": "k=v", "Connection": "keep-alive, X-Tenant",
		})
		got := wantMirrored(r.T, resp)
		want := map[string]string{
			"http.method": "PUT", "http.path": "/orders/a%2Fb%0d%0aX/x/y%20z", "http.route": "PUT /orders/{id}/{rest...}",
			"http.subject": "ada", "http.claim.role": "admin", "http.param.id": "a/b\r\nX", "http.param.rest": "x/y z",
			"http.query.q": "ä", "http.query.tag": `["1","2"]`, "http.query.empty": "",
			"http.header.if-match": `"7"`, "http.header.accept-language": "de", "http.header.x-tenant": "t", "http.header.cookie": "a=b",
			"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "tracestate": "v=1", "baggage": "k=v",
		}
		if !maps.Equal(got.Header, want) {
			r.T.Errorf("headers\n%q\nwant\n%q", got.Header, want)
		}
		if got.Type != "application/json" || got.Encoding != "identity" || got.Body != `{"n":1}` || len(got.ID) != 22 {
			r.T.Errorf("%+v", got)
		}
		if id := resp.Header.Get("Warren-Call-Id"); id != got.ID || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			r.T.Errorf("call %s is told as %q", got.ID, id)
		}
	})
}

func TestOnlyListedQueryParametersPassAndNoneTwice(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("find"), mirror)
		g := newGateway(r, routes(
			gateway.Route{Pattern: "GET /listed", Method: "find", Query: []string{"q"}},
			gateway.Route{Pattern: "GET /any", Method: "find"},
			gateway.Route{Pattern: "GET /{id}/x", Method: "find"},
		))
		got := wantMirrored(r.T, ask(r.T.Context(), g, "GET", "/listed?q=1&utm=2&utm=3", "", nil))
		if got.Header["http.query.q"] != "1" || len(got.Header) != 4 {
			r.T.Errorf("%q", got.Header)
		}
		for _, target := range []string{
			"/any?a=1&a=2", "/any?a=%zz", "/any?a;b", "/any?%20=1", "/any?=1", "/any?%ff=1", "/any?a=%ff", "/%ff/x", "/any?" + strings.Repeat("a", 65) + "=1",
			"/any?" + strings.Repeat("a=1&", 64) + "b=2",
		} {
			wantProblem(r.T, ask(r.T.Context(), g, "GET", target, "", nil), 400, "invalid_argument", "bad_parameter", "not_executed")
		}
		// What no message has room for, the client refuses.
		for _, target := range []string{"/any?a=" + strings.Repeat("x", 17_000), "/any?a0=1" + manyParameters(63)} {
			wantProblem(r.T, ask(r.T.Context(), g, "GET", target, "", nil), 400, "invalid_argument", "bad_request", "not_executed")
		}
	})
}

func manyParameters(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("&p" + strings.Repeat("x", i) + "=1")
	}
	return b.String()
}

func TestHeadersThatAreNoTextAreRefused(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		g := newGateway(r, routes(gateway.Route{Pattern: "POST /m", Method: "m", Headers: gateway.Headers{In: []string{"X-A"}}}))
		for name, value := range map[string]string{
			"X-A": "\xff", "Content-Type": "a/b\x01", "Content-Encoding": strings.Repeat("x", 256),
		} {
			wantProblem(r.T, ask(r.T.Context(), g, "POST", "/m", "x", head{name: value}), 400, "invalid_argument", "bad_header", "not_executed")
		}
		// Trace context that is not valid begins anew.
		got := wantMirrored(r.T, ask(r.T.Context(), g, "POST", "/m", "x", head{
			"Traceparent": "00-00000000000000000000000000000000-b7ad6b7169203331-01", "Tracestate": "v=1", "Baggage": "\x01",
		}))
		if len(got.Header) != 3 {
			r.T.Errorf("%q", got.Header)
		}
	})
}

func TestParametersBecomeThePayload(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		g := newGateway(r, routes(
			gateway.Route{Pattern: "GET /fib/{n}", Method: "m", Payload: gateway.Payload{Text: "n"}},
			gateway.Route{Pattern: "GET /text", Method: "m", Payload: gateway.Payload{Text: "q"}},
			gateway.Route{
				Pattern: "GET /users/{id}", Method: "m", Lists: []string{"tag"}, Payload: gateway.Payload{JSON: map[string]string{
					"id": "integer", "ratio": "number", "all": "boolean", "name": "string", "tag": "integer",
				}},
			},
		))
		ctx := r.T.Context()
		for target, want := range map[string][2]string{
			"/fib/30":   {"text/plain; charset=utf-8", "30"},
			"/text?q=x": {"text/plain; charset=utf-8", "x"},
			"/users/7":  {"application/json", `{"id":7}`},
			"/users/-7?ratio=1e3&all=true&name=5&tag=1&tag=2": {"application/json", `{"all":true,"id":-7,"name":"5","ratio":1e3,"tag":[1,2]}`},
			"/users/7?id=8": {"application/json", `{"id":7}`}, // the path's goes before
		} {
			if got := wantMirrored(r.T, ask(ctx, g, "GET", target, "", nil)); got.Type != want[0] || got.Body != want[1] {
				r.T.Errorf("%s is %s, %s", target, got.Type, got.Body)
			}
		}
		for _, target := range []string{
			"/users/x", "/users/1.5", "/users/7?ratio=.5", "/users/7?ratio=%221%22", "/users/7?ratio=null", "/users/7?all=1", "/users/7?tag=a",
			"/users/99999999999999999999", "/text",
		} {
			wantProblem(r.T, ask(ctx, g, "GET", target, "", nil), 400, "invalid_argument", "bad_parameter", "not_executed")
		}
		wantProblem(r.T, ask(ctx, g, "GET", "/fib/30", "body", nil), 413, "resource_exhausted", "request_too_large", "not_executed")
	})
}

func TestBodyOverItsBoundIsRefused(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		cfg := routes(
			gateway.Route{Pattern: "POST /m", Method: "m"}, gateway.Route{Pattern: "POST /none", Method: "m", MaxBody: -1},
			gateway.Route{Pattern: "POST /more", Method: "m", MaxBody: 2 << 20},
		)
		cfg.MaxBody = 4
		g := newGateway(r, cfg)
		ctx := r.T.Context()
		if got := wantMirrored(r.T, ask(ctx, g, "POST", "/m", "1234", nil)); got.Body != "1234" {
			r.T.Errorf("%+v", got)
		}
		resp := ask(ctx, g, "POST", "/m", "12345", nil)
		wantProblem(r.T, resp, 413, "resource_exhausted", "request_too_large", "not_executed")
		if resp.Header.Get("Connection") != "close" {
			r.T.Error("what was not read may be taken for the next request")
		}
		wantProblem(r.T, ask(ctx, g, "POST", "/none", "1", nil), 413, "resource_exhausted", "request_too_large", "not_executed")
		// The client's own bound.
		wantProblem(r.T, ask(ctx, g, "POST", "/more", strings.Repeat("x", 1<<20+1), nil), 413, "resource_exhausted", "request_too_large", "not_executed")
	})
}
