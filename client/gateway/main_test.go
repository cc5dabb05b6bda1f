package gateway_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/rig"
)

func TestMain(m *testing.M) { rig.Main(m, func() error { return nil }) }

// newGateway returns a gateway over a client of the rig's broker.
func newGateway(r *rig.Rig, cfg gateway.Config, change ...func(*client.Config)) *gateway.Gateway {
	r.T.Helper()
	cfg.Logger = rig.Logger(r.T)
	if cfg.Authenticate != nil {
		cfg.KeySecret = []byte("0123456789abcdef")
	}
	g, err := gateway.New(r.Ready(change...), cfg)
	if err != nil {
		r.T.Fatal(err)
	}
	return g
}

// routes are those of a gateway that has nothing else.
func routes(list ...gateway.Route) gateway.Config { return gateway.Config{Routes: list} }

// head is the headers of a request.
type head map[string]string

// response is what a request got.
type response struct {
	StatusCode int
	Header     http.Header
	Body       string
}

// ask makes a request without a connection.
func ask(ctx context.Context, g http.Handler, method, target, body string, headers head) response {
	var reader io.Reader
	if body != "" {
		reader = strings.NewReader(body)
	}
	req := httptest.NewRequestWithContext(ctx, method, target, reader)
	for name, value := range headers {
		req.Header.Set(name, value)
	}
	w := httptest.NewRecorder()
	g.ServeHTTP(w, req)
	sent := w.Result()
	defer sent.Body.Close()
	text, _ := io.ReadAll(sent.Body) // of a recorder
	return response{sent.StatusCode, sent.Header, string(text)}
}

// problem is the body of an error.
type problem struct {
	Type, Title, Detail, Code, Reason, Outcome, Incident string

	Status  int
	CallID  string `json:"call_id"`
	Details map[string]string
}

// wantProblem demands an error that is told as RFC 9457 has it.
func wantProblem(t testing.TB, resp response, status int, code, reason, outcome string) problem {
	t.Helper()
	text := wantStatus(t, resp, status)
	var p problem
	if err := json.Unmarshal([]byte(text), &p); err != nil || resp.Header.Get("Content-Type") != "application/problem+json" {
		t.Fatalf("%v, %v: %s", err, resp.Header, text)
	}
	if p.Status != status || p.Code != code || p.Reason != reason || p.Outcome != outcome || p.Type != "about:blank" || p.Title == "" || p.Detail == "" {
		t.Fatalf("problem %+v; want %d %s/%s (%s)", p, status, code, reason, outcome)
	}
	return p
}

// wantStatus demands a status and returns the body.
func wantStatus(t testing.TB, resp response, status int) string {
	t.Helper()
	if resp.StatusCode != status {
		t.Fatalf("status %d; want %d: %.500s", resp.StatusCode, status, resp.Body)
	}
	return resp.Body
}

// mirror answers with what it was asked, as JSON.
func mirror(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	body, err := json.Marshal(map[string]any{
		"header": req.Header, "type": req.ContentType, "encoding": req.ContentEncoding, "body": string(req.Body), "id": req.CallID,
	})
	return &warren.Reply{ContentType: "application/json", Body: body}, err
}

// mirrored is what mirror answers.
type mirrored struct {
	Header                   map[string]string
	Type, Encoding, Body, ID string
}

func wantMirrored(t testing.TB, resp response) mirrored {
	t.Helper()
	var m mirrored
	if err := json.Unmarshal([]byte(wantStatus(t, resp, http.StatusOK)), &m); err != nil {
		t.Fatal(err)
	}
	return m
}
