package gateway_test

import (
	"context"
	"strings"
	"testing"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/rig"
)

func TestReplyChoosesItsStatusAndListedHeaders(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		reply := &warren.Reply{}
		r.Serve(rig.Named("m"), func(context.Context, *warren.Request) (*warren.Reply, error) {
			copied := *reply
			return &copied, nil
		})
		g := newGateway(r, routes(
			gateway.Route{Pattern: "GET /m", Method: "m", Headers: gateway.Headers{Out: []string{"Location", "etag"}}},
			gateway.Route{Pattern: "GET /json", Method: "m", ReplyType: "application/json"},
		))
		ctx := r.T.Context()
		for _, c := range []struct {
			path        string
			reply       warren.Reply
			status      int
			contentType string
			body        string
		}{
			{"/m", warren.Reply{Body: []byte("x"), ContentType: "text/plain"}, 200, "text/plain", "x"},
			{"/m", warren.Reply{Body: []byte("x")}, 200, "application/octet-stream", "x"},
			{"/json", warren.Reply{Body: []byte("1")}, 200, "application/json", "1"},
			{"/m", warren.Reply{}, 204, "", ""},
			{"/m", warren.Reply{Header: warren.Header{"http.status": "304"}}, 304, "", ""},
			{"/m", warren.Reply{Header: warren.Header{"http.status": "202"}}, 202, "", ""},
			{"/m", warren.Reply{Body: []byte("{}"), ContentType: "application/json", Header: warren.Header{"http.status": "599"}}, 599, "application/json", "{}"},
		} {
			*reply = c.reply
			resp := ask(ctx, g, "GET", c.path, "", nil)
			if body := wantStatus(r.T, resp, c.status); body != c.body || resp.Header.Get("Content-Type") != c.contentType {
				r.T.Errorf("%+v: %q, %q", c, body, resp.Header)
			}
		}
		*reply = warren.Reply{Body: []byte("x"), ContentEncoding: "gzip", Header: warren.Header{
			"http.header.location": "/orders/7", "http.header.ETag": `"a"`, "http.header.set-cookie": "a=b", "http.header.content-length": "99",
			"http.header.transfer-encoding": "chunked", "http.header.": "x", "other": "x",
		}}
		resp := ask(ctx, g, "GET", "/m", "", nil)
		wantStatus(r.T, resp, 200)
		if h := resp.Header; h.Get("Location") != "/orders/7" || h.Get("ETag") != `"a"` || h.Get("Content-Encoding") != "gzip" ||
			len(h) != 7 || h.Get("Content-Length") != "1" {
			r.T.Errorf("%q", h)
		}
		// Of HEAD, everything but the body.
		if resp := ask(ctx, g, "HEAD", "/m", "", nil); wantStatus(r.T, resp, 200) != "" || resp.Header.Get("Content-Length") != "1" {
			r.T.Errorf("%q", resp.Header)
		}
	})
}

func TestReplyThatHTTPCannotTellIsABadGateway(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		reply := &warren.Reply{}
		r.Serve(rig.Named("m"), func(context.Context, *warren.Request) (*warren.Reply, error) {
			copied := *reply
			return &copied, nil
		})
		g := newGateway(r, routes(gateway.Route{Pattern: "GET /m", Method: "m", Headers: gateway.Headers{Out: []string{"Location"}}}))
		for _, broken := range []warren.Reply{
			{Header: warren.Header{"http.status": "100"}}, {Header: warren.Header{"http.status": "199"}}, {Header: warren.Header{"http.status": "600"}},
			{Header: warren.Header{"http.status": ""}}, {Header: warren.Header{"http.status": "2e2"}}, {Header: warren.Header{"http.status": "+20"}},
			{Header: warren.Header{"http.status": "0200"}}, {Header: warren.Header{"http.status": "200 OK\r\nX: y"}},
			{Header: warren.Header{"http.header.location": "/\r\nSet-Cookie: a=b"}}, {Header: warren.Header{"http.header.location": "/\x00"}},
			{Header: warren.Header{"http.header.location": "/a", "http.header.Location": "/b"}},
			{ContentType: "text/plain\r\nX: y", Body: []byte("x")}, {ContentEncoding: "gzip\n", Body: []byte("x")},
			{Header: warren.Header{"http.status": "204"}, Body: []byte("x")}, {Header: warren.Header{"http.status": "304"}, Body: []byte("x")},
			{Header: warren.Header{"http.status": "205"}, Body: []byte("x")},
		} {
			*reply = broken
			resp := ask(r.T.Context(), g, "GET", "/m", "", nil)
			p := wantProblem(r.T, resp, 502, "internal", "bad_reply", "executed")
			if p.CallID == "" || resp.Header.Get("Set-Cookie") != "" || resp.Header.Get("Location") != "" || resp.Header.Get("X") != "" {
				r.T.Errorf("%+v, %q", p, resp.Header)
			}
		}
	})
}

func TestEvery401HasTheChallenge(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), func(context.Context, *warren.Request) (*warren.Reply, error) {
			return nil, warren.Errorf(warren.CodeUnauthenticated, "the session has ended")
		})
		g := newGateway(r, routes(gateway.Route{Pattern: "GET /m", Method: "m"}))
		resp := ask(r.T.Context(), g, "GET", "/m", "", nil)
		p := wantProblem(r.T, resp, 401, "unauthenticated", "", "executed")
		if p.Detail != "the session has ended" || resp.Header.Get("WWW-Authenticate") != "Bearer" {
			r.T.Errorf("%+v, %q", p, resp.Header)
		}
	})
}

// A server of RabbitMQ's tutorial needs nothing of Warren's to be a part of the web.
func TestPlainServerIsServedAndMaySetTheStatus(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		p := r.Peer()
		p.Declare("plain", nil)
		requests := p.Consume("plain")
		done := make(chan struct{})
		go func() {
			defer close(done)
			for d := range requests {
				reply := amqp.Publishing{CorrelationId: d.CorrelationId, Body: []byte("made " + d.Headers["http.param.id"].(string))} //nolint:errcheck // text
				if string(d.Body) == "create" {
					reply.Headers = amqp.Table{"http.status": int32(201), "http.header.Location": "/things/7", "http.header.x\r\ny": "z"}
				}
				p.Publish(d.ReplyTo, reply)
			}
		}()
		g := newGateway(r, routes(gateway.Route{Pattern: "POST /things/{id}", Method: "plain", ReplyType: "text/plain", Headers: gateway.Headers{Out: []string{"Location"}}}))
		resp := ask(r.T.Context(), g, "POST", "/things/7", "create", nil)
		if body := wantStatus(r.T, resp, 201); body != "made 7" || resp.Header.Get("Location") != "/things/7" {
			r.T.Errorf("%q, %q", body, resp.Header)
		}
		if body := wantStatus(r.T, ask(r.T.Context(), g, "POST", "/things/8", "", nil), 200); body != "made 8" {
			r.T.Errorf("%q", body)
		}
		_ = p.Channel.Close()
		<-done
	})
}

func TestErrorsOfServersAreToldAsTheirCodesAllow(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		var failure *warren.Error
		r.Serve(rig.Named("m"), func(context.Context, *warren.Request) (*warren.Reply, error) { return nil, failure })
		g := newGateway(r, routes(gateway.Route{Pattern: "GET /m", Method: "m"}))
		for code, want := range map[warren.Code]int{
			warren.CodeCanceled: 409, warren.CodeUnknown: 500, warren.CodeInvalidArgument: 400, warren.CodeDeadlineExceeded: 504,
			warren.CodeNotFound: 404, warren.CodeAlreadyExists: 409, warren.CodePermissionDenied: 403, warren.CodeResourceExhausted: 429,
			warren.CodeFailedPrecondition: 400, warren.CodeAborted: 409, warren.CodeOutOfRange: 400, warren.CodeUnimplemented: 501,
			warren.CodeInternal: 500, warren.CodeUnavailable: 503, warren.CodeDataLoss: 500, warren.CodeUnauthenticated: 401,
		} {
			failure = warren.Errorf(code, "the table users").WithReason("of_mine").WithDetail("k", "v").WithRetryAfter(-1)
			resp := ask(r.T.Context(), g, "GET", "/m", "", nil)
			p := wantProblem(r.T, resp, want, code.String(), "of_mine", "executed")
			hidden := want >= 500 && code != warren.CodeUnimplemented || code == warren.CodeCanceled
			if (p.Detail == "the table users") == hidden || (p.Details["k"] == "v") == hidden || p.CallID == "" || resp.Header.Get("Retry-After") != "" {
				r.T.Errorf("%v: %+v, %q", code, p, resp.Header)
			}
		}
		// A reason of Warren's under another code is the application's.
		failure = warren.Errorf(warren.CodeNotFound, "gone").WithReason(warren.ReasonExpired).WithRetryAfter(1500 * 1e6)
		resp := ask(r.T.Context(), g, "GET", "/m", "", nil)
		wantProblem(r.T, resp, 404, "not_found", "expired", "executed")
		if resp.Header.Get("Retry-After") != "2" || resp.Header.Get("Cache-Control") != "no-store" {
			r.T.Errorf("%q", resp.Header)
		}
	})
}

func TestPanicOfAServerKeepsItsIncidentAndNothingElse(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		r.Serve(rig.Named("m"), func(context.Context, *warren.Request) (*warren.Reply, error) { panic("secret") })
		g := newGateway(r, routes(gateway.Route{Pattern: "GET /m", Method: "m"}))
		p := wantProblem(r.T, ask(r.T.Context(), g, "GET", "/m", "", nil), 500, "internal", "panic", "executed")
		if p.Incident == "" || strings.Contains(p.Detail, "secret") {
			r.T.Errorf("%+v", p)
		}
	})
}

func TestBoundsOfRoutesReplaceTheClients(t *testing.T) {
	rig.Bubble(t, func(r *rig.Rig) {
		s := r.NewServer(func(cfg *server.Config) { cfg.MaxRequest, cfg.MaxReply = 1000, 1000 })
		if err := s.HandleRaw(rig.Named("echo"), rig.Echo); err != nil {
			r.T.Fatal(err)
		}
		r.Start(s)
		g := newGateway(r, gateway.Config{MaxReply: 200, Routes: []gateway.Route{
			{Pattern: "POST /large", Method: "echo", MaxBody: 1000, MaxReply: 1000},
			{Pattern: "POST /lopsided", Method: "echo", MaxBody: 1000},
			{Pattern: "POST /small", Method: "echo", MaxBody: 1000, MaxReply: 50},
		}}, func(cfg *client.Config) { cfg.MaxRequest, cfg.MaxReply = 100, 100 })
		ctx := r.T.Context()
		body := func(n int) string { return strings.Repeat("x", n) }
		wantStatus(r.T, ask(ctx, g, "POST", "/large", body(1000), nil), 200)
		wantProblem(r.T, ask(ctx, g, "POST", "/large", body(1001), nil), 413, "resource_exhausted", "request_too_large", "not_executed")
		wantStatus(r.T, ask(ctx, g, "POST", "/lopsided", body(200), nil), 200)
		wantProblem(r.T, ask(ctx, g, "POST", "/lopsided", body(201), nil), 502, "resource_exhausted", "reply_too_large", "executed")
		wantStatus(r.T, ask(ctx, g, "POST", "/small", body(50), nil), 200)
		wantProblem(r.T, ask(ctx, g, "POST", "/small", body(51), nil), 502, "resource_exhausted", "reply_too_large", "executed")
	})
}
