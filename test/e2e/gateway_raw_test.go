package e2e

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// What two readers of one connection could understand differently is refused, or
// understood once and the connection closed: nothing within a request becomes another
// one. The smuggled request here is always a POST to /evil.
func TestRequestsCannotBeSmuggled(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	var mu sync.Mutex
	var calls []string // path and body of each
	newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "m"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			mu.Lock()
			defer mu.Unlock()
			calls = append(calls, req.Header["http.path"]+" "+string(req.Body))
			return &warren.Reply{Body: []byte("ok")}, nil
		})
	})
	f := newFront(t, url, gateway.Config{BodyTimeout: patience.Times(time.Second), Routes: []gateway.Route{
		{Pattern: "POST /good", Method: "m", Headers: gateway.Headers{In: []string{"X-A"}}}, {Pattern: "POST /evil", Method: "m"}, {Pattern: "GET /good", Method: "m"},
	}})
	const evil = "POST /evil HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
	for name, c := range map[string]struct {
		text   string
		status string // of the first answer
		calls  string // that reach a server
	}{
		"two lengths":                   {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n" + evil, "400", ""},
		"two in one":                    {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 0, 5\r\n\r\n" + evil, "400", ""},
		"signed":                        {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: +0\r\n\r\n" + evil, "400", ""},
		"negative":                      {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n" + evil, "400", ""},
		"hex":                           {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 0x0\r\n\r\n" + evil, "400", ""},
		"chunks end before the length":  {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 56\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + evil, "200", "/good "},
		"length ends before the chunks": {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n33\r\n" + evil + "\r\n0\r\n\r\n", "200", "/good " + evil},
		"chunks of 1.0":                 {"POST /good HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + evil, "200", "/good "},
		"another coding":                {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: xchunked\r\n\r\n" + evil, "501", ""},
		"two codings":                   {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n" + evil, "501", ""},
		"two codings in one":            {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + evil, "501", ""},
		"coding with a tab":             {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n" + evil, "400", ""},
		"blank before the colon":        {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + evil, "400", ""},
		"folded":                        {"POST /good HTTP/1.1\r\nHost: x\r\n Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n", "400", ""},
		"bad chunk":                     {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n" + evil, "400", ""},
		"huge chunk":                    {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n10000000000000000\r\n" + evil, "400", ""},
		"chunk without its end":         {"POST /good HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nxPOST /evil HTTP/1.1\r\n\r\n", "400", ""},
		"body over its length":          {"POST /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 2\r\n\r\nab" + evil, "200", "/good ab"},
		"body under its length":         {"POST /good HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n\r\n" + evil, "408", ""},
		"refused with a body":           {"POST /none HTTP/1.1\r\nHost: x\r\nContent-Length: 51\r\nConnection: close\r\n\r\n" + evil, "404", ""},
		"return in a value":             {"GET /good HTTP/1.1\r\nHost: x\r\nX-A: a\rPOST /evil HTTP/1.1\r\n\r\n", "400", ""},
		"zero in a value":               {"GET /good HTTP/1.1\r\nHost: x\r\nX-A: a\x00b\r\n\r\n", "400", ""},
		"line end in a name":            {"GET /good HTTP/1.1\r\nHost: x\r\nX\rA: a\r\n\r\n", "400", ""},
		"blank in the target":           {"GET /good HTTP/1.1 x HTTP/1.1\r\nHost: x\r\n\r\n", "400", ""},
		"no host":                       {"GET /good HTTP/1.1\r\n\r\n", "400", ""},
		"two hosts":                     {"GET /good HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", "400", ""},
		"another version":               {"GET /good HTTP/9.9\r\nHost: x\r\n\r\n", "505", ""},
		"method that is none":           {"GE\x01T /good HTTP/1.1\r\nHost: x\r\n\r\n", "400", ""},
		"connect":                       {"CONNECT /good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "405", ""},
		"absolute target":               {"GET http://evil/good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "200", "/good "},
		"two slashes":                   {"GET //evil/good HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404", ""},
		"star":                          {"POST * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404", ""},
		"fragment":                      {"GET /good#/../evil HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", "404", ""},
		"upgrade":                       {"GET /good HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, close, X-A\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n", "200", "/good "},
	} {
		mu.Lock()
		calls = nil
		mu.Unlock()
		answers := f.raw(t, c.text)
		status, n := firstStatus(answers), strings.Count(answers, "HTTP/1.1 ")+strings.Count(answers, "HTTP/1.0 ")
		mu.Lock()
		got := strings.Join(calls, ", ")
		mu.Unlock()
		if status != c.status || n != 1 || got != c.calls {
			t.Errorf("%s: %d answers, the first %s (want %s), calls %q (want %q)\n%.300q", name, n, status, c.status, got, c.calls, answers)
		}
	}
}

func firstStatus(answers string) string {
	words := strings.Fields(answers)
	if len(words) < 2 {
		return ""
	}
	return words[1]
}

// Whatever a caller sends that a server gives back, the answer has the headers that
// it should have, and one body.
func TestCallersCannotInjectHeaders(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	newServer(t, url, func(s *server.Server) error {
		return s.HandleRaw(server.Method{Name: "reflect"}, func(_ context.Context, req *warren.Request) (*warren.Reply, error) {
			h := warren.Header{}
			for from, to := range map[string]string{"http.param.x": "http.header.Location", "http.query.q": "http.header.X-Q", "http.query.status": "http.status"} {
				if value, there := req.Header[from]; there {
					h[to] = value
				}
			}
			return &warren.Reply{ContentType: req.Header["http.query.type"], Header: h, Body: []byte("x")}, nil
		})
	})
	f := newFront(t, url, gateway.Config{Routes: []gateway.Route{{Pattern: "GET /r/{x}", Method: "reflect", Headers: gateway.Headers{Out: []string{"Location", "X-Q"}}}}})
	for target, status := range map[string]int{
		"/r/a%0d%0aEvil:%201": 502, "/r/a%0aEvil:1": 502, "/r/a%0dEvil:1": 502, "/r/a%00": 502, "/r/a?q=%0d%0a%0d%0a%3Cscript%3E": 502,
		"/r/a?type=text/html%0d%0aEvil:1": 502, "/r/a?status=200%0d%0aEvil:1": 502, "/r/a?status=200%20OK": 502, "/r/a%7f": 502,
		"/r/a?q=%E5%98%8D%E5%98%8AEvil:1": 200, // runes whose low bytes are a line's end
		"/r/a?q=plain":                    200, "/r/%2F%2Fevil": 200,
	} {
		raw := f.raw(t, "GET "+target+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		resp, err := http.ReadResponse(bufio.NewReader(strings.NewReader(raw)), nil)
		if err != nil {
			t.Fatalf("%s: %v: %q", target, err, raw)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		head, _, _ := strings.Cut(raw, "\r\n\r\n")
		if err != nil || resp.StatusCode != status || resp.Header.Get("Evil") != "" || strings.Contains(head, "\nEvil") || strings.Contains(string(body), "script") {
			t.Errorf("%s: %v, %q", target, err, raw)
		}
		if after := raw[len(head)+4+len(body):]; after != "" {
			t.Errorf("%s: after its answer comes %q", target, after)
		}
	}
}
