package gateway_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/rig"
)

func TestPathsAndMethodsThatAreNotServedAreProblems(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		g := newGateway(r, routes(
			gateway.Route{Pattern: "GET /orders/{id}", Method: "m"}, gateway.Route{Pattern: "DELETE /orders/{id}", Method: "m"},
			gateway.Route{Pattern: "POST /orders", Method: "m"}, gateway.Route{Pattern: "GET /files/{path...}", Method: "m"},
			gateway.Route{Pattern: "GET /{$}", Method: "m"},
		))
		ctx := r.T.Context()
		for _, path := range []string{"/nothing", "/orders/", "/orders/1/", "/orders//1", "/orders/./1", "/orders/x/../1", "//orders/1", "/files", "/files//x"} {
			resp := ask(ctx, g, "GET", path, "", nil)
			if wantProblem(r.T, resp, 404, "not_found", "unknown_path", "not_executed"); resp.Header.Get("Location") != "" {
				r.T.Errorf("%s is redirected", path)
			}
		}
		for path, param := range map[string]string{
			"/files/a/b": "a/b", "/files/": "", "/files/a%2F..%2Fb": "a/../b", "/files/%2e%2e/x": "../x",
		} {
			if got := wantMirrored(r.T, ask(ctx, g, "GET", path, "", nil)); got.Header["http.param.path"] != param {
				r.T.Errorf("%s: %q", path, got.Header)
			}
		}
		wantMirrored(r.T, ask(ctx, g, "GET", "/", "", nil))
		if resp := ask(ctx, g, "HEAD", "/orders/1", "", nil); wantStatus(r.T, resp, 200) != "" {
			r.T.Error("HEAD has a body")
		}
		for method, allow := range map[string]string{"PUT": "DELETE,GET,HEAD,OPTIONS", "OPTIONS": "DELETE,GET,HEAD,OPTIONS"} {
			resp := ask(ctx, g, method, "/orders/1", "", nil)
			if method == "OPTIONS" {
				wantStatus(r.T, resp, 204)
			} else {
				wantProblem(r.T, resp, 405, "unimplemented", "method_not_allowed", "not_executed")
			}
			if got := strings.Join(resp.Header.Values("Allow"), ","); got != allow {
				r.T.Errorf("%s: Allow is %s", method, got)
			}
		}
	})
}

func TestLimitsRefuseAtOnceAndSayWhenToComeAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		gate := rig.NewGate()
		r.Serve(rig.Named("slow"), gate.Handle)
		r.Serve(rig.Named("m"), rig.Echo)
		cfg := routes(
			gateway.Route{Pattern: "GET /one", Method: "slow", Concurrency: 1}, gateway.Route{Pattern: "GET /rated", Method: "m", Rate: gateway.Rate{PerSecond: 0.4, Burst: 2}},
			gateway.Route{Pattern: "GET /free", Method: "slow"},
		)
		cfg.Concurrency = 2
		g := newGateway(r, cfg)
		ctx := r.T.Context()
		background := func(path string) {
			go ask(ctx, g, "GET", path, "", nil)
			<-gate.Entered
		}
		background("/one")
		resp := ask(ctx, g, "GET", "/one", "", nil)
		if wantProblem(r.T, resp, 429, "resource_exhausted", "route_limit", "not_executed"); resp.Header.Get("Retry-After") != "1" {
			r.T.Errorf("%q", resp.Header)
		}
		for _, want := range []string{"", "", "3", "1", ""} {
			if resp := ask(ctx, g, "GET", "/rated", "", nil); want == "" {
				wantStatus(r.T, resp, 204)
			} else if wantProblem(r.T, resp, 429, "resource_exhausted", "route_limit", "not_executed"); resp.Header.Get("Retry-After") != want {
				r.T.Errorf("Retry-After is %q; want %s", resp.Header.Get("Retry-After"), want)
			} else {
				time.Sleep(2 * time.Second)
			}
		}
		background("/free")
		resp = ask(ctx, g, "GET", "/rated", "", nil)
		if wantProblem(r.T, resp, 503, "unavailable", "gateway_limit", "not_executed"); resp.Header.Get("Retry-After") != "1" {
			r.T.Errorf("%q", resp.Header)
		}
		wantStatus(r.T, ask(ctx, g, "GET", gateway.HealthPath, "", nil), 200) // whatever the load
		close(gate.Release)
	})
}

func TestCallersThatTheHookRefusesAreToldSo(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		var refusal error
		cfg := routes(gateway.Route{Pattern: "POST /m", Method: "m", MaxBody: 1})
		cfg.Challenge = `Bearer realm="shop"`
		cfg.Authenticate = func(*http.Request) (gateway.Identity, error) { return gateway.Identity{}, refusal }
		g := newGateway(r, cfg)
		for _, c := range []struct {
			err                  error
			status               int
			code, reason, detail string
		}{
			{errors.New("ldap://admin:secret"), 401, "unauthenticated", "unauthenticated", "the caller is not known"},
			{warren.Errorf(warren.CodeUnauthenticated, "the token has expired"), 401, "unauthenticated", "", "the token has expired"},
			{warren.Errorf(warren.CodePermissionDenied, "not from here").WithReason("region"), 403, "permission_denied", "region", "not from here"},
			{warren.Errorf(warren.CodeUnavailable, "ldap is down"), 503, "unavailable", "", "the service cannot be reached now"},
		} {
			refusal = c.err
			resp := ask(r.T.Context(), g, "POST", "/m", "too large", nil) // not even looked at
			p := wantProblem(r.T, resp, c.status, c.code, c.reason, "not_executed")
			if p.Detail != c.detail || (resp.Header.Get("WWW-Authenticate") == cfg.Challenge) != (c.status == 401) {
				r.T.Errorf("%v: %+v, %q", c.err, p, resp.Header)
			}
		}
		refusal = nil
		if m := wantMirrored(r.T, ask(r.T.Context(), g, "POST", "/m", "", nil)); m.Header["http.subject"] != "" {
			r.T.Errorf("%+v", m)
		}
	})
}

func TestPanicOfAHookEndsItsRequestAlone(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		cfg := routes(gateway.Route{Pattern: "GET /m", Method: "m"})
		var what any = "secret"
		cfg.Authenticate = func(*http.Request) (gateway.Identity, error) { panic(what) }
		g := newGateway(r, cfg)
		p := wantProblem(r.T, ask(r.T.Context(), g, "GET", "/m", "", nil), 500, "internal", "panic", "not_executed")
		if p.Incident == "" || strings.Contains(p.Detail, "secret") || g.Stats().AtWork != 0 {
			r.T.Errorf("%+v, %+v", p, g.Stats())
		}
		what = http.ErrAbortHandler
		defer func() {
			if recover() != http.ErrAbortHandler { //nolint:errorlint // as it is
				r.T.Error("a hook cannot abort")
			}
		}()
		ask(r.T.Context(), g, "GET", "/m", "", nil)
	})
}

func TestGatewayWithoutServersSaysComeAgain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Peer().Declare("empty", nil)
		g := newGateway(r, routes(
			gateway.Route{Pattern: "GET /none", Method: "none"}, gateway.Route{Pattern: "GET /empty", Method: "empty"},
			gateway.Route{Pattern: "GET /wait", Method: "empty", WaitForServer: true, Timeout: time.Second},
		))
		for path, reason := range map[string]string{"/none": "no_route", "/empty": "no_server"} {
			resp := ask(r.T.Context(), g, "GET", path, "", nil)
			if wantProblem(r.T, resp, 503, "unavailable", reason, "not_executed"); resp.Header.Get("Retry-After") != "1" {
				r.T.Errorf("%q", resp.Header)
			}
		}
		resp := ask(r.T.Context(), g, "GET", "/wait", "", nil)
		wantProblem(r.T, resp, 504, "deadline_exceeded", "", "unknown")
	})
}

func TestReadinessFollowsTheConnectionAndTheDrain(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		g := newGateway(r, routes(gateway.Route{Pattern: "GET /m", Method: "m"}))
		ctx := r.T.Context()
		status := func() (int, string) {
			resp := ask(ctx, g, "GET", gateway.ReadyPath, "", nil)
			return resp.StatusCode, resp.Header.Get("Connection")
		}
		if code, _ := status(); code != 200 {
			r.T.Errorf("ready: %d", code)
		}
		g.Drain()
		if code, connection := status(); code != 503 || connection != "close" {
			r.T.Errorf("draining: %d, %q", code, connection)
		}
		wantMirrored(r.T, ask(ctx, g, "GET", "/m", "", nil))
		wantStatus(r.T, ask(ctx, g, "GET", gateway.HealthPath, "", nil), 200)
	})
	t.Run("without a broker", func(t *testing.T) {
		rig.Bubble(t, func(r *rig.Rig) {
			g, err := gateway.New(r.Client(), routes(gateway.Route{Pattern: "GET /m", Method: "m"}))
			if err != nil {
				r.T.Fatal(err)
			}
			wantStatus(r.T, ask(r.T.Context(), g, "GET", gateway.ReadyPath, "", nil), 503)
			wantProblem(r.T, ask(r.T.Context(), g, "GET", "/m", "", nil), 504, "deadline_exceeded", "not_connected", "not_executed")
		}, amqptest.Rule{When: amqptest.When{Method: "connection.open"}, Times: amqptest.Always, Do: amqptest.Drop()})
	})
}

func TestPagesOfAllowedOriginsMayCall(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		cfg := routes(
			gateway.Route{Pattern: "PUT /m", Method: "m", Headers: gateway.Headers{In: []string{"X-A"}, Out: []string{"Location"}}},
			gateway.Route{Pattern: "GET /m", Method: "m"},
		)
		cfg.CORS = gateway.CORS{Origins: []string{"https://shop.example"}, Credentials: true, MaxAge: time.Hour}
		g := newGateway(r, cfg)
		ctx := r.T.Context()
		preflight := func(origin, method string) http.Header {
			resp := ask(ctx, g, "OPTIONS", "/m", "", head{"Origin": origin, "Access-Control-Request-Method": method})
			wantStatus(r.T, resp, 204)
			return resp.Header
		}
		h := preflight("https://shop.example", "PUT")
		if h.Get("Access-Control-Allow-Origin") != "https://shop.example" || h.Get("Access-Control-Allow-Methods") != "GET, HEAD, PUT, OPTIONS" ||
			h.Get("Access-Control-Allow-Headers") != "Authorization, Baggage, Content-Type, Idempotency-Key, Request-Timeout, Traceparent, Tracestate, X-A" ||
			h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Access-Control-Max-Age") != "3600" || h.Get("Vary") != "Origin" {
			r.T.Errorf("%q", h)
		}
		for _, h := range []http.Header{preflight("https://evil.example", "PUT"), preflight("https://shop.example", "DELETE"), preflight("null", "PUT")} {
			if h.Get("Access-Control-Allow-Origin") != "" || h.Get("Vary") != "Origin" {
				r.T.Errorf("%q", h)
			}
		}
		for origin, want := range map[string]string{"https://shop.example": "https://shop.example", "https://shop.example.evil": "", "": ""} {
			resp := ask(ctx, g, "PUT", "/m", "", head{"Origin": origin})
			wantMirrored(r.T, resp)
			if h := resp.Header; h.Get("Access-Control-Allow-Origin") != want ||
				want != "" && h.Get("Access-Control-Expose-Headers") != "Idempotency-Replayed, Location, Retry-After, Warren-Call-Id" {
				r.T.Errorf("%s: %q", origin, h)
			}
		}
		cfg.CORS = gateway.CORS{Origins: []string{"*"}, MaxAge: -1}
		g = newGateway(r, cfg)
		if h := preflight("https://any.example", "GET"); h.Get("Access-Control-Allow-Origin") != "*" || h.Get("Access-Control-Max-Age") != "0" {
			r.T.Errorf("%q", h)
		}
	})
}

func TestAccessLogHasOneLineForARequestAndNoSecrets(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), mirror)
		var log rig.Log
		cfg := routes(gateway.Route{Pattern: "POST /m/{id}", Method: "m"})
		cfg.AccessLog, cfg.Authenticate = log.Logger(), byHeader
		g := newGateway(r, cfg)
		const target = "/m/7%0Aadmin?token=s3cr3t"
		wantMirrored(r.T, ask(r.T.Context(), g, "POST", target, "s3cr3t", head{"X-User": "ada", "Authorization": "Bearer s3cr3t", "Idempotency-Key": "s3cr3t"}))
		wantStatus(r.T, ask(r.T.Context(), g, "GET", "/"+strings.Repeat("x", 1000), "", nil), 404)
		lines := strings.Split(strings.TrimSpace(log.String()), "\n")
		if len(lines) != 2 || strings.Contains(log.String(), "s3cr3t") || len(lines[1]) > 500 {
			r.T.Fatalf("%q", lines)
		}
		for _, part := range []string{"method=POST", "path=/m/7%0Aadmin", "status=200", "in=6", "subject=ada", `route="POST /m/{id}"`, "calls=m", "call_id=", "ms="} {
			if !strings.Contains(lines[0], part) {
				r.T.Errorf("no %s in %s", part, lines[0])
			}
		}
		if !strings.Contains(lines[1], "reason=unknown_path") || !strings.Contains(lines[1], "outcome=not_executed") {
			r.T.Error(lines[1])
		}
	})
}

func TestOpenAPIDocumentHasEveryRoute(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		cfg := routes(
			gateway.Route{
				Pattern: "GET /orders/{id}", Method: "orders.get", Summary: "One order", Reply: json.RawMessage(`"#/components/schemas/Order"`),
				Query: []string{"view"}, Lists: []string{"tag"}, Payload: gateway.Payload{JSON: map[string]string{"id": "integer"}},
				Headers: gateway.Headers{In: []string{"Accept-Language", "Authorization"}},
			},
			gateway.Route{Pattern: "POST /orders", Method: "orders.create", Request: json.RawMessage(`{"type":"object"}`), RequireKey: true},
			gateway.Route{Pattern: "PUT /orders/{id}", Method: "orders.create"}, gateway.Route{Pattern: "GET /files/{path...}", Method: "files.get"},
			gateway.Route{Pattern: "GET /{$}", Method: "home"}, gateway.Route{Pattern: "PURGE /orders", Method: "orders.purge"},
		)
		cfg.Title, cfg.Version = "Shop", "2"
		cfg.Schemas = map[string]json.RawMessage{"Order": json.RawMessage(`{"type":"object","properties":{"next":{"$ref":"#/components/schemas/Order"}}}`)}
		cfg.Authenticate = byHeader
		g := newGateway(r, cfg)
		resp := ask(r.T.Context(), g, "GET", gateway.OpenAPIPath, "", nil)
		checkOpenAPI(r.T, []byte(wantStatus(r.T, resp, 200)), map[string][]string{
			"/orders/{id}": {"get", "put"}, "/orders": {"post"}, "/files/{path}": {"get"}, "/": {"get"},
		})
		if resp.Header.Get("Content-Type") != "application/json" {
			r.T.Errorf("%q", resp.Header)
		}
	})
}

func TestConcurrentRequestsAreAnsweredEachWithItsOwn(t *testing.T) {
	t.Parallel()
	r := rig.New(t, amqptest.Options{})
	r.Serve(rig.Named("m"), mirror)
	g := newGateway(r, routes(gateway.Route{Pattern: "GET /m/{id}", Method: "m"}), func(cfg *client.Config) { cfg.Interceptors = nil })
	s := httptest.NewServer(g)
	defer s.Close()
	ids := make(chan string)
	done := make(chan bool)
	for range 16 {
		go func() {
			ok := true
			for id := range ids {
				resp, err := s.Client().Get(s.URL + "/m/" + id)
				if err != nil {
					t.Error(err)
					ok = false
					continue
				}
				var m mirrored
				err = json.NewDecoder(resp.Body).Decode(&m)
				ok = ok && err == nil && m.Header["http.param.id"] == id
				_ = resp.Body.Close()
			}
			done <- ok
		}()
	}
	for i := range 200 {
		ids <- strings.Repeat("x", i%7) + "-" + string(rune('a'+i%26))
	}
	close(ids)
	for range 16 {
		if !<-done {
			t.Error("a reply was not the request's")
		}
	}
	s.Client().CloseIdleConnections()
	if st := g.Stats(); st.Requests != 200 || st.AtWork != 0 {
		t.Errorf("%+v", st)
	}
}

func TestBearerTokensKnowTheirSubjects(t *testing.T) {
	t.Parallel()
	hook := gateway.BearerTokens(map[[32]byte]string{sha("t0ken"): "ada", sha(""): "nobody"})
	for header, want := range map[string]string{"Bearer t0ken": "ada", "bearer  t0ken": "ada", "Bearer t0kem": "", "Basic t0ken": "", "Bearer": "", "Bearer  ": "", "t0ken": ""} {
		req := httptest.NewRequestWithContext(context.Background(), "GET", "/", nil)
		req.Header.Set("Authorization", header)
		id, err := hook(req)
		if id.Subject != want || (err == nil) != (want != "") || err != nil && warren.CodeOf(err) != warren.CodeUnauthenticated {
			t.Errorf("%s: %+v, %v", header, id, err)
		}
	}
	req := httptest.NewRequestWithContext(context.Background(), "GET", "/", nil)
	req.Header["Authorization"] = slices.Repeat([]string{"Bearer t0ken"}, 2)
	if _, err := hook(req); err == nil {
		t.Error("two tokens are taken")
	}
}
