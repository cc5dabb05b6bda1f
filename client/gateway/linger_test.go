package gateway_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/patience"
)

// As a proxy does: nginx speaks HTTP/1.0 unless told otherwise, writes the whole body,
// and takes a connection that ends meanwhile for a failure of the gateway.
func TestRefusalsArriveWholeAtWhoWritesTheBodyFirst(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) {
		cfg.MaxBody = 100_000
		cfg.Routes = append(cfg.Routes, gateway.Route{
			Pattern: "POST /one", Method: "gate", Concurrency: 1, Timeout: time.Hour, // longer than this test on any machine
		})
		cfg.Authenticate = func(r *http.Request) (gateway.Identity, error) {
			if r.Header.Get("Authorization") == "no" {
				return gateway.Identity{}, errors.New("unknown")
			}
			return gateway.Identity{}, nil
		}
	})
	go func() {
		req, _ := http.NewRequestWithContext(context.Background(), http.MethodPost, "http://"+s.addr+"/one", nil)
		if resp, err := http.DefaultClient.Do(req); err == nil {
			_ = resp.Body.Close()
		}
	}()
	<-s.gate.Entered // and so the route's only place is taken
	defer func() {
		close(s.gate.Release)
		http.DefaultClient.CloseIdleConnections()
	}()
	body := strings.Repeat("x", 5_000_000)
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for _, target := range []struct{ line, header, want string }{
		{"POST /m", "", "413"}, {"POST /m", "Authorization: no\r\n", "401"}, {"POST /nothing", "", "404"}, {"PUT /m", "", "405"}, {"POST /one", "", "429"},
	} {
		for name, text := range map[string]string{
			"HTTP/1.0":          " HTTP/1.0\r\nHost: x\r\nConnection: close\r\n" + target.header + length + "\r\n" + body,
			"HTTP/1.1":          " HTTP/1.1\r\nHost: x\r\n" + target.header + length + "\r\n" + body,
			"HTTP/1.1, chunked": " HTTP/1.1\r\nHost: x\r\n" + target.header + "Transfer-Encoding: chunked\r\n\r\n" + chunked,
			"a small body":      " HTTP/1.0\r\nHost: x\r\n" + target.header + "Content-Length: 200000\r\n\r\n" + body[:200000],
		} {
			answer := s.raw(t, target.line+text)
			if status := strings.Fields(answer + " x x")[1]; status != target.want || !strings.HasSuffix(answer, "}") {
				t.Errorf("%s over %s: %.300q; want %s", target.line, name, answer, target.want)
			}
		}
	}
}

// Who is asked to wait with the body is told at once, and the connection is not held
// for what will not come.
func TestRefusalIsNotHeldUpByABodyThatWaitsToBeAskedFor(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) { cfg.BodyTimeout = patience.Soon })
	conn := s.dial(t)
	began := time.Now()
	if _, err := io.WriteString(conn, "POST /nothing HTTP/1.1\r\nHost: x\r\nContent-Length: 5000000\r\nExpect: 100-continue\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404 ") {
		t.Errorf("%q, %v", answer, err)
	}
	if took := time.Since(began); took > patience.Soon/2 {
		t.Errorf("the connection was held for %v", took)
	}
}

// A caller that goes on sending to one who has answered is cut off after the time that
// a body has.
func TestBodyThatIsRefusedIsReadNoLongerThanABodyMayTake(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) { cfg.BodyTimeout = 50 * time.Millisecond })
	conn := s.dial(t)
	if _, err := io.WriteString(conn, "POST /nothing HTTP/1.0\r\nHost: x\r\nContent-Length: 5000000\r\n\r\nx"); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for err := error(nil); err == nil; {
		time.Sleep(5 * time.Millisecond)
		_, err = io.WriteString(conn, "x")
	}
	if took := time.Since(began); took > patience.Soon/2 {
		t.Errorf("the body was read for %v", took)
	}
}
