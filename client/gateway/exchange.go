package gateway

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strconv"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
)

// exchange is one request and its answer. It belongs to the request's goroutine.
type exchange struct {
	g       *Gateway
	w       http.ResponseWriter
	r       *http.Request
	control *http.ResponseController
	began   time.Time

	route    *endpoint // nil if there is none
	identity Identity
	held     int  // slots of the gateway's bodies
	unread   bool // something of the body may still come
	bodyBy   time.Time
	called   bool

	// For the log.
	status         int // 0 while nothing is sent
	took           time.Duration
	received, sent int
	told           *problem
	callID         string
	attempts       int
	replayed       bool
}

// serve answers the request.
func (x *exchange) serve() *problem {
	x.w.Header().Set("X-Content-Type-Options", "nosniff")
	if x.g.draining.Load() || ambiguous(x.r) {
		x.w.Header().Set("Connection", "close")
	}
	if x.unread = x.hasBody(); x.unread {
		// The rest of a body that is refused may take as long as one that is not.
		x.awaitBody()
	}
	x.route = x.g.routes.find(x.r)
	if x.allowOrigin() {
		return nil
	}
	if x.route == nil {
		return x.lost()
	}
	if x.route.page != nil {
		x.route.page(x)
		return nil
	}
	if !x.g.slots.take(1) {
		return full("the gateway has too many requests at work")
	}
	defer x.g.slots.free(1)
	if p := x.identify(); p != nil {
		return p
	}
	if b := x.route.bucket; b != nil {
		if wait, ok := b.take(time.Now()); !ok {
			return limited(wait)
		}
	}
	if !x.route.slots.take(1) {
		return limited(time.Second)
	}
	defer x.route.slots.free(1)
	defer func() { x.g.bodies.free(x.held) }()
	return x.call()
}

// ambiguous reports whether a request may have said two lengths, which [http.Server]
// does not tell: what follows it on its connection may be meant as a part of it by
// whoever sent it, and must not be taken for a request.
func ambiguous(r *http.Request) bool {
	return r.ProtoMajor == 1 && (len(r.TransferEncoding) > 0 || r.ProtoMinor == 0)
}

// lost answers a request that has no route.
func (x *exchange) lost() *problem {
	methods := x.g.routes.allow(x.r)
	if len(methods) == 0 {
		return refusal(http.StatusNotFound, ReasonUnknownPath, "nothing is served at this path")
	}
	for _, method := range methods {
		x.w.Header().Add("Allow", method)
	}
	if x.r.Method == http.MethodOptions {
		x.send(http.StatusNoContent, "", nil)
		return nil
	}
	return refusal(http.StatusMethodNotAllowed, ReasonMethodNotAllowed, "the path has other methods: see the header Allow")
}

func full(detail string) *problem {
	p := refusal(http.StatusServiceUnavailable, ReasonGatewayLimit, detail)
	p.retryAfter = 1
	return p
}

func limited(wait time.Duration) *problem {
	p := refusal(http.StatusTooManyRequests, ReasonRouteLimit, "the route's limit is reached")
	p.retryAfter = max(seconds(wait), 1)
	return p
}

// call maps the request, makes the call and delivers its reply.
func (x *exchange) call() *problem {
	e := x.route
	key, p := idempotencyKey(x.r.Header)
	if p != nil {
		return p
	}
	if key == "" && e.RequireKey {
		return refusal(http.StatusBadRequest, ReasonBadKey, "the header "+headerKey+" is missing")
	}
	asked, p := requestTimeout(x.r.Header)
	if p != nil {
		return p
	}
	body, p := x.body()
	if p != nil {
		return p
	}
	x.g.routes.enter(x.w, x.r)
	m, p := e.mapRequest(x.r, x.identity, body)
	if p != nil {
		return p
	}
	x.called = true
	// The caller's deadline is the context's: that it is short tells nothing of the
	// method, as the route's timeout does.
	ctx := x.r.Context()
	if asked > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, asked)
		defer cancel()
	}
	reply, err := x.g.client.Call(ctx, e.Method, m.body, x.options(&m, key)...)
	gone := x.r.Context().Err() != nil
	if err == nil {
		if !gone {
			return x.deliver(reply)
		}
		p = x.gone()
		p.outcome, p.callID, p.attempts, p.replayed = warren.Executed, reply.CallID, reply.Attempts, reply.Replayed
		return p
	}
	known, ok := warren.AsError(err)
	if !ok {
		known = &warren.Error{Code: warren.CodeInternal, Cause: err} // no error of a client's is like this
	}
	if p = problemOf(known, false); gone {
		p.status = StatusClientClosedRequest
	}
	return p
}

// options are those of the call.
func (x *exchange) options(m *message, key string) []client.CallOption {
	e := x.route
	timeout := e.Timeout
	if timeout == 0 {
		timeout = x.g.client.Timeout(e.Method)
	}
	opts := make([]client.CallOption, 0, len(m.header)+9)
	opts = append(opts, client.WithTimeout(timeout), client.KeepWaiting(), client.WithMaxRequest(e.maxBody), client.WithMaxReply(e.maxReply),
		client.WithContentType(m.contentType), client.WithContentEncoding(m.contentEncoding))
	for name, value := range m.header {
		opts = append(opts, client.WithHeader(name, value))
	}
	if key != "" {
		opts = append(opts, client.WithCallID(callID(x.g.cfg.KeySecret, x.identity.Subject, e.Pattern, key)))
	}
	if e.Idempotent {
		opts = append(opts, client.Idempotent())
	}
	if e.WaitForServer {
		opts = append(opts, client.WaitForServer())
	}
	return opts
}

// gone is the end of a request whose caller has gone: nobody reads it.
func (x *exchange) gone() *problem {
	p := refusal(StatusClientClosedRequest, "", "the caller has gone")
	p.code = warren.CodeCanceled
	return p
}

// send answers. It is called once.
func (x *exchange) send(status int, contentType string, body []byte) {
	x.status = status
	h := x.w.Header()
	if contentType != "" {
		h.Set("Content-Type", contentType)
	} else {
		h["Content-Type"] = nil // not to be guessed from the body
	}
	if status != http.StatusNoContent && status != http.StatusNotModified {
		h.Set("Content-Length", strconv.Itoa(len(body)))
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(x.g.cfg.WriteTimeout))
	lingers := x.lingers()
	x.w.WriteHeader(status)
	if len(body) > 0 && x.r.Method != http.MethodHead {
		// One who does not read loses the connection, and nothing else.
		x.sent, _ = x.w.Write(body)
	}
	if x.took = time.Since(x.began); lingers {
		x.linger()
	}
}

// end answers for what has panicked, and writes the line of the log.
func (x *exchange) end(panicked any) {
	if panicked != nil {
		if err, ok := panicked.(error); ok && err == http.ErrAbortHandler { //nolint:errorlint // it is thrown as it is
			panic(panicked)
		}
		incident := rand.Text()
		x.g.cfg.Logger.Error("a request panicked", "panic", fmt.Sprint(panicked), "incident", incident, "stack", string(debug.Stack()))
		if x.status != 0 {
			panic(http.ErrAbortHandler) // half an answer must not look whole
		}
		p := &problem{
			status: http.StatusInternalServerError, detail: "the gateway failed", code: warren.CodeInternal,
			reason: warren.ReasonPanic, outcome: warren.NotExecuted, incident: incident,
		}
		if x.called {
			p.outcome = warren.Unknown
		}
		x.refuse(p)
	}
	x.log()
}

func (x *exchange) log() {
	log := x.g.cfg.AccessLog
	level := slog.LevelInfo
	if x.status >= http.StatusInternalServerError {
		level = slog.LevelWarn
	}
	if !log.Enabled(context.Background(), level) {
		return
	}
	attrs := make([]slog.Attr, 0, 20)
	attrs = append(attrs,
		slog.String("method", clip(x.r.Method)), slog.String("path", clip(x.r.URL.EscapedPath())), slog.Int("status", x.status),
		slog.Float64("ms", float64(x.took.Microseconds())/1000),
		slog.Int("in", x.received), slog.Int("out", x.sent), slog.String("remote", x.r.RemoteAddr), slog.String("proto", x.r.Proto),
	)
	text := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if x.route != nil {
		text("route", x.route.Pattern)
		text("calls", x.route.Method)
	}
	text("subject", clip(x.identity.Subject))
	text("call_id", x.callID)
	if x.attempts > 1 {
		attrs = append(attrs, slog.Int("attempts", x.attempts))
	}
	if x.replayed {
		attrs = append(attrs, slog.Bool("replayed", true))
	}
	if p := x.told; p != nil {
		text("code", p.code.String())
		text("reason", p.reason)
		text("outcome", p.outcome.String())
		text("incident", p.incident)
		if p.cause != nil && p.status >= http.StatusInternalServerError {
			text("error", p.cause.Error())
		}
	}
	log.LogAttrs(context.Background(), level, "request", attrs...)
}

// clip bounds what is logged of what a caller chose.
func clip(s string) string {
	const most = 200
	if len(s) > most {
		return s[:most] + "…"
	}
	return s
}
