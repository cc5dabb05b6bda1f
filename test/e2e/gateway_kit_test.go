package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// front is a gateway that serves HTTP on a port of this machine.
type front struct {
	g    *gateway.Gateway
	c    *client.Client
	addr string
	web  *http.Client
	log  *rig.Log // of accesses
}

// newFront returns a gateway over a client of its own, which ends with the test.
func newFront(t testing.TB, url string, cfg gateway.Config, change ...func(*client.Config)) *front {
	t.Helper()
	f := &front{c: newClient(t, url, change...), log: &rig.Log{}}
	if err := f.c.Ready(testContext(t)); err != nil {
		t.Fatal(err)
	}
	cfg.Logger, cfg.AccessLog = rig.Logger(t), f.log.Logger()
	cfg.KeySecret = []byte("0123456789abcdef")
	g, err := gateway.New(f.c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	f.g = g
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.addr = l.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- gateway.Serve(ctx, l, g, gateway.ServerConfig{Logger: rig.Logger(t)}) }()
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	f.web = &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return f
}

// answer is what a request got.
type answer struct {
	status int
	header http.Header
	body   string
}

// problem is the body of an error.
type problem struct {
	Type, Title, Detail, Code, Reason, Outcome string

	Status int
	CallID string `json:"call_id"`
}

func (a answer) problem(t testing.TB) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(a.body), &p); err != nil || a.header.Get("Content-Type") != "application/problem+json" || p.Status != a.status {
		t.Fatalf("%v: %+v", err, a)
	}
	return p
}

// ask makes a request. Headers are given as names and values in turn.
func (f *front) ask(t testing.TB, method, target, body string, headers ...string) answer {
	t.Helper()
	a, err := f.try(testContext(t), method, target, body, headers...)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func (f *front) try(ctx context.Context, method, target, body string, headers ...string) (answer, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+f.addr+target, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	resp, err := f.web.Do(req)
	if err != nil {
		return answer{}, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, string(text)}, err
}

// raw writes to a connection of its own and returns all that is answered until the
// gateway closes it.
func (f *front) raw(t testing.TB, text string) string {
	t.Helper()
	conn, err := net.Dial("tcp", f.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(patience.Soon))
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the gateway keeps the connection after %q and the answer %q", text, answer)
	}
	return string(answer)
}

// describe answers with what it was asked, as JSON.
func describe(_ context.Context, req *warren.Request) (*warren.Reply, error) {
	body, err := json.Marshal(map[string]any{
		"header": req.Header, "type": req.ContentType, "encoding": req.ContentEncoding, "body": string(req.Body), "id": req.CallID,
	})
	return &warren.Reply{ContentType: "application/json", Body: body}, err
}

// description is what describe answers.
type description struct {
	Header                   map[string]string
	Type, Encoding, Body, ID string
}

func (a answer) description(t testing.TB) description {
	t.Helper()
	var m description
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.status != http.StatusOK {
		t.Fatalf("%v: %+v", err, a)
	}
	return m
}
