package e2e

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/reliability"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

func TestGatewayMapsRequestsAsDocumented(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, func(s *server.Server) error { return s.HandleRaw(server.Method{Name: "told"}, describe) })
	f := newFront(t, url, gateway.Config{
		Routes: []gateway.Route{
			{Pattern: "PUT /orders/{id}/{rest...}", Method: "told", Lists: []string{"tag"}, Headers: gateway.Headers{In: []string{"If-Match", "X-List"}}},
			{Pattern: "GET /typed/{id}", Method: "told", Payload: gateway.Payload{JSON: map[string]string{"id": "integer", "all": "boolean"}}},
			{Pattern: "GET /text/{n}", Method: "told", Payload: gateway.Payload{Text: "n"}, Query: []string{"q"}},
		},
		Authenticate: func(r *http.Request) (gateway.Identity, error) {
			return gateway.Identity{Subject: r.Header.Get("X-User"), Claims: map[string]string{"tenant": "t"}}, nil
		},
	})
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	got := f.ask(t, "PUT", "/orders/a%2Fb%0d%0a/x/y?q=%C3%A4+b&tag=1&tag=2", "body", "Content-Type", "text/x", "Content-Encoding", "identity",
		"If-Match", `"7"`, "X-List", "a", "X-List", "b", "X-Unlisted", "no", "X-User", "ada", "Http.subject", "eve",
		"Traceparent", parent, "Tracestate", "a=b", "Baggage", "c=d", "Request-Timeout", "5s").description(t)
	want := map[string]string{
		"http.method": "PUT", "http.path": "/orders/a%2Fb%0d%0a/x/y", "http.route": "PUT /orders/{id}/{rest...}", "http.param.id": "a/b\r\n",
		"http.param.rest": "x/y", "http.query.q": "ä b", "http.query.tag": `["1","2"]`, "http.header.if-match": `"7"`, "http.header.x-list": "a, b",
		"http.subject": "ada", "http.claim.tenant": "t", "traceparent": parent, "tracestate": "a=b", "baggage": "c=d",
	}
	if !maps.Equal(got.Header, want) || got.Type != "text/x" || got.Encoding != "identity" || got.Body != "body" || len(got.ID) != 22 {
		t.Errorf("%+v\nwant\n%q", got, want)
	}
	if got := f.ask(t, "GET", "/typed/7?all=true", "").description(t); got.Body != `{"all":true,"id":7}` || got.Type != "application/json" {
		t.Errorf("%+v", got)
	}
	if got := f.ask(t, "GET", "/text/7?q=1&other=2", "").description(t); got.Body != "7" || got.Header["http.query.q"] != "1" || got.Header["http.query.other"] != "" {
		t.Errorf("%+v", got)
	}
	if a := f.ask(t, "HEAD", "/text/7", ""); a.status != 200 || a.body != "" || a.header.Get("Content-Length") == "0" {
		t.Errorf("%+v", a)
	}
}

func TestGatewayMapsRepliesOfPlainServersAsDocumented(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	p := newPlainPeer(t, url)
	p.Declare("plain", nil)
	requests := p.Consume("plain")
	replies := map[string]amqp.Publishing{
		"status":  {Headers: amqp.Table{"http.status": int32(201), "http.header.Location": "/x/7", "http.header.x-unlisted": "no"}, ContentType: "text/plain", Body: []byte("made")},
		"text":    {Headers: amqp.Table{"http.status": "303", "http.header.location": "/y"}},
		"empty":   {},
		"untyped": {Body: []byte("5")},
		"encoded": {ContentEncoding: "br", ContentType: "text/plain", Body: []byte("x")},
		"number":  {Headers: amqp.Table{"http.status": int32(700)}, Body: []byte("x")},
		"crlf":    {Headers: amqp.Table{"http.header.Location": "/\r\nSet-Cookie: evil=1\r\n\r\n<script>"}, Body: []byte("x")},
		"name":    {Headers: amqp.Table{"http.header.Location\r\nSet-Cookie": "evil=1", "http.header.Set-Cookie": "evil=1"}, Body: []byte("x")},
		"type":    {ContentType: "text/html\r\nSet-Cookie: evil=1", Body: []byte("x")},
		"version": {Type: "warren/9;k=reply", Body: []byte("x")},
	}
	go func() {
		for d := range requests {
			reply := replies[string(d.Body)]
			reply.CorrelationId = d.CorrelationId
			_ = p.Channel.PublishWithContext(context.Background(), "", d.ReplyTo, false, false, reply)
		}
	}()
	f := newFront(t, url, gateway.Config{Routes: []gateway.Route{{
		Pattern: "POST /plain", Method: "plain", ReplyType: "application/json", Headers: gateway.Headers{Out: []string{"Location"}},
	}}})
	for body, want := range map[string]answer{
		"status":  {201, http.Header{"Location": {"/x/7"}, "Content-Type": {"text/plain"}, "Content-Length": {"4"}}, "made"},
		"text":    {303, http.Header{"Location": {"/y"}, "Content-Length": {"0"}}, ""},
		"empty":   {204, http.Header{}, ""},
		"untyped": {200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"1"}}, "5"},
		"encoded": {200, http.Header{"Content-Type": {"text/plain"}, "Content-Encoding": {"br"}, "Content-Length": {"1"}}, "x"},
		"name":    {200, http.Header{"Content-Type": {"application/json"}, "Content-Length": {"1"}}, "x"},
	} {
		a := f.ask(t, "POST", "/plain", body)
		if len(a.header.Get("Warren-Call-Id")) != 22 || a.header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: %q", body, a.header)
		}
		for _, common := range []string{"Warren-Call-Id", "X-Content-Type-Options", "Date"} {
			a.header.Del(common)
		}
		if a.status != want.status || a.body != want.body || !maps.EqualFunc(a.header, want.header, func(x, y []string) bool { return strings.Join(x, "|") == strings.Join(y, "|") }) {
			t.Errorf("%s: %+v; want %+v", body, a, want)
		}
	}
	for _, body := range []string{"number", "crlf", "type", "version"} {
		a := f.ask(t, "POST", "/plain", body)
		p := a.problem(t)
		if a.status != 502 || p.Reason != "bad_reply" || a.header.Get("Set-Cookie") != "" || a.header.Get("Location") != "" || strings.Contains(a.body, "script") {
			t.Errorf("%s: %+v", body, a)
		}
	}
}

// Each row of the document's tables of codes and reasons, over HTTP: errors of an
// interceptor pass through all that those of a server do.
func TestGatewayTellsEveryCodeAndReasonAsDocumented(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "fail"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			code, err := warren.ParseCode(string(req.Body))
			return nil, errors.Join(err, warren.Errorf(code, "words").WithReason("of_mine"))
		})
	})
	local := func(next warren.Handler) warren.Handler {
		return func(ctx context.Context, req *warren.Request) (*warren.Reply, error) {
			if code, reason, ok := strings.Cut(string(req.Body), "/"); ok {
				c, err := warren.ParseCode(code)
				if err != nil {
					return nil, err
				}
				return nil, warren.Errorf(c, "secret").WithReason(reason)
			}
			return next(ctx, req)
		}
	}
	f := newFront(t, url, gateway.Config{Routes: []gateway.Route{{Pattern: "POST /fail", Method: "fail"}}}, func(cfg *client.Config) {
		cfg.Interceptors = []warren.Interceptor{local}
		// One that opens would tell all the others.
		off := map[string]reliability.Policy{"*": {Breaker: reliability.BreakerPolicy{Off: new(true)}, Retry: reliability.RetryPolicy{Attempts: new(1)}}}
		cfg.Policies.Methods = off
	})
	doc, err := os.ReadFile("../../docs/gateway.md")
	if err != nil {
		t.Fatal(err)
	}
	vocabulary, err := os.ReadFile("../../error.go")
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]int{} // by codes and reasons
	for _, row := range regexp.MustCompile("(?m)^\\| (`[^|]*) \\| (\\d{3})\\b[^|]* \\|$").FindAllStringSubmatch(string(doc), -1) {
		for _, name := range regexp.MustCompile("`(\\w+)`").FindAllStringSubmatch(row[1], -1) {
			status[name[1]], _ = strconv.Atoi(row[2])
		}
	}
	for code := warren.CodeCanceled; code <= warren.CodeUnauthenticated; code++ {
		a := f.ask(t, "POST", "/fail", code.String())
		if p := a.problem(t); a.status != status[code.String()] || p.Code != code.String() || p.Reason != "of_mine" || p.Outcome != "executed" {
			t.Errorf("%v: %+v; want %d", code, a, status[code.String()])
		}
	}
	// The code that usually goes with a reason stands in its comment.
	usual := map[string]string{
		"not_connected": "unavailable", "interrupted": "aborted", "reply_not_retained": "data_loss", "missing_identifier": "unauthenticated",
	}
	reasons := regexp.MustCompile(`(?m)^\s*Reason\w+\s+= "(\w+)"\s+// (\w+):?`).FindAllStringSubmatch(string(vocabulary), -1)
	for _, found := range reasons {
		reason, code := found[1], found[2]
		if usual[reason] != "" {
			code = usual[reason]
		}
		a := f.ask(t, "POST", "/fail", code+"/"+reason)
		if p := a.problem(t); a.status != status[reason] || status[reason] == 0 || p.Reason != reason || strings.Contains(a.body, "secret") {
			t.Errorf("%s/%s: %+v; want %d", code, reason, a, status[reason])
		}
	}
	if len(reasons) < 25 {
		t.Errorf("%d reasons", len(reasons))
	}
}

// The same for what really happens, where it can be had.
func TestGatewayTellsWhatReallyHappened(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	p := newPlainPeer(t, url)
	p.Declare("empty", nil)
	p.Declare("silent", nil)
	p.Consume("silent")
	s, err := server.New(server.Config{Broker: warren.Broker{URLs: []string{url}}, MaxReply: 10})
	if err != nil {
		t.Fatal(err)
	}
	for name, h := range map[string]warren.Handler{
		"large": func(context.Context, *warren.Request) (*warren.Reply, error) {
			return &warren.Reply{Body: make([]byte, 11)}, nil
		},
		"panic": func(context.Context, *warren.Request) (*warren.Reply, error) { panic("secret") },
	} {
		if err := s.HandleRaw(server.Method{Name: name}, h); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rig.Stop(t, s) })
	f := newFront(t, url, gateway.Config{MaxBody: 100, Routes: []gateway.Route{
		{Pattern: "POST /none", Method: "none"}, {Pattern: "POST /empty", Method: "empty"}, {Pattern: "POST /large", Method: "large"},
		{Pattern: "POST /panic", Method: "panic"}, {Pattern: "POST /silent", Method: "silent", Timeout: patience.Brief},
		{Pattern: "POST /full", Method: "full"}, {Pattern: "POST /open", Method: "open", WaitForServer: true}, {Pattern: "POST /rated", Method: "large", Rate: gateway.Rate{PerSecond: 0.001, Burst: 1}},
	}}, func(cfg *client.Config) {
		cfg.Policies.Methods = map[string]reliability.Policy{"open": {Breaker: reliability.BreakerPolicy{Volume: new(1), Open: new(10 * time.Minute)}}}
	})
	f.ask(t, "POST", "/open", "") // no route: the breaker opens
	f.ask(t, "POST", "/rated", "")
	for _, c := range []struct {
		path, body                     string
		status                         int
		code, reason, outcome, advised string
	}{
		{"/none", "", 503, "unavailable", "no_route", "not_executed", "1"},
		{"/empty", "", 503, "unavailable", "no_server", "not_executed", "1"},
		{"/large", "", 502, "resource_exhausted", "reply_too_large", "executed", ""},
		{"/panic", "", 500, "internal", "panic", "executed", ""},
		{"/silent", "", 504, "deadline_exceeded", "", "unknown", ""},
		{"/open", "", 503, "unavailable", "breaker_open", "not_executed", "600"},
		{"/rated", "", 429, "resource_exhausted", "route_limit", "not_executed", "1000"},
		{"/large", strings.Repeat("x", 101), 413, "resource_exhausted", "request_too_large", "not_executed", ""},
		{"/nothing", "", 404, "not_found", "unknown_path", "not_executed", ""},
	} {
		a := f.ask(t, "POST", c.path, c.body)
		p := a.problem(t)
		if a.status != c.status || p.Code != c.code || p.Reason != c.reason || p.Outcome != c.outcome || !advises(a.header.Get("Retry-After"), c.advised) || strings.Contains(a.body, "secret") {
			t.Errorf("%s: %+v", c.path, a)
		}
	}
	if a := f.ask(t, "GET", "/large", ""); a.status != 405 || a.header.Get("Allow") == "" || a.problem(t).Reason != "method_not_allowed" {
		t.Errorf("%+v", a)
	}
}

// advises reports whether the advice is what it was before some time has passed.
func advises(got, want string) bool {
	now, _ := strconv.Atoi(got)
	before, _ := strconv.Atoi(want)
	return got == want || now > 0 && now < before && before-now < int(patience.Soon.Seconds())
}
