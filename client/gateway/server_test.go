package gateway_test

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/client/gateway"
	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rig"
)

// running is a gateway that serves on a port of this machine.
type running struct {
	g    *gateway.Gateway
	gate *rig.Gate
	addr string
	stop context.CancelFunc
	done chan error // what Serve returned
}

// run serves /m, which mirrors, and /gate, which waits.
func run(t *testing.T, scfg gateway.ServerConfig, change ...func(*gateway.Config)) *running {
	t.Helper()
	r := rig.New(t, amqptest.Options{})
	s := &running{gate: rig.NewGate(), done: make(chan error, 1)}
	r.Serve(rig.Named("m"), mirror)
	r.Serve(rig.Named("gate"), s.gate.Handle)
	cfg := routes(gateway.Route{Pattern: "POST /m", Method: "m"}, gateway.Route{Pattern: "GET /m", Method: "m"}, gateway.Route{Pattern: "GET /gate", Method: "gate"})
	for _, f := range change {
		f(&cfg)
	}
	s.g = newGateway(r, cfg)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.addr = l.Addr().String()
	scfg.Logger = rig.Logger(t)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.done <- gateway.Serve(ctx, l, s.g, scfg)
	}()
	t.Cleanup(func() {
		cancel()
		<-ended
	})
	return s
}

// raw writes text to the server and returns all that it answers until it closes the
// connection.
func (s *running) raw(t *testing.T, text string) string {
	t.Helper()
	conn := s.dial(t)
	if _, err := io.WriteString(conn, text); err != nil {
		t.Fatal(err)
	}
	answer, err := io.ReadAll(conn)
	if err != nil {
		t.Errorf("%q, and then %v", answer, err)
	}
	return string(answer)
}

func (s *running) dial(t *testing.T) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", s.addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(patience.Soon))
	return conn
}

func TestSlowCallersLoseTheirConnections(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{HeaderTimeout: patience.Times(time.Second), IdleTimeout: patience.Times(time.Second)}, func(cfg *gateway.Config) {
		cfg.BodyTimeout = patience.Times(time.Second)
	})
	if answer := s.raw(t, "GET /m HTTP/1.1\r\nHost: x\r\nX-Never: "); strings.Contains(answer, "200") {
		t.Errorf("half a head is answered: %q", answer)
	}
	answer := s.raw(t, "POST /m HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12")
	if !strings.HasPrefix(answer, "HTTP/1.1 408 ") || !strings.Contains(answer, `"reason":"body_timeout"`) || !strings.Contains(answer, "Connection: close") {
		t.Errorf("half a body: %q", answer)
	}
	if answer := s.raw(t, "GET /m HTTP/1.1\r\nHost: x\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("an idle connection: %q", answer)
	}
	if answer := s.raw(t, "GET /m HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 40<<10)+"\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 431 ") {
		t.Errorf("a long head: %.100q", answer)
	}
}

// A call may take longer than the body's time: what passes then must not be taken for
// the caller's going away.
func TestCallMayTakeLongerThanItsBody(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) {
		cfg.BodyTimeout = patience.Times(300 * time.Millisecond)
		cfg.Routes = append(cfg.Routes, gateway.Route{Pattern: "POST /gate", Method: "gate"})
	})
	conn := s.dial(t)
	if _, err := io.WriteString(conn, "POST /gate HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx"); err != nil {
		t.Fatal(err)
	}
	<-s.gate.Entered
	time.Sleep(patience.Times(600 * time.Millisecond)) // twice the body's time
	close(s.gate.Release)
	if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

// A refusal does not read the body, but net/http does, to keep the connection.
func TestBodyThatIsRefusedAndNeverComesHoldsNoConnection(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) {
		cfg.BodyTimeout = 50 * time.Millisecond
		cfg.Authenticate = func(*http.Request) (gateway.Identity, error) { return gateway.Identity{}, http.ErrNoCookie }
	})
	for request, want := range map[string]string{
		"POST /m": "401 ", "POST /nothing": "404 ", "PUT /m": "405 ", "OPTIONS /m": "204 ", "GET /healthz": "200 ",
	} {
		for _, length := range []string{"Content-Length: 9", "Transfer-Encoding: chunked"} {
			answer := s.raw(t, request+" HTTP/1.1\r\nHost: x\r\n"+length+"\r\n\r\n")
			if !strings.HasPrefix(answer, "HTTP/1.1 "+want) {
				t.Errorf("%s, %s: %q", request, length, answer)
			}
		}
	}
}

// What slow callers may have in memory is bounded for all of them together, and is
// given back when they end, whichever way.
func TestBodiesThatArriveSlowlyHaveOneBound(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) { cfg.MaxBody, cfg.MaxBodies = 8, 10 })
	whole := func() string {
		return s.raw(t, "POST /m HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8\r\n\r\n12345678")
	}
	for name, end := range map[string]func(net.Conn){
		"answered": func(conn net.Conn) {
			_, _ = io.WriteString(conn, "12")
			if answer, err := io.ReadAll(conn); err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 200 ") {
				t.Errorf("%q, %v", answer, err)
			}
		},
		"gone": func(conn net.Conn) { _ = conn.Close() },
	} {
		var slow net.Conn
		patience.Eventually(t, "there is no room", func() bool {
			slow = s.dial(t)
			if _, err := io.WriteString(slow, "POST /m HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 8\r\n\r\n123456"); err != nil {
				t.Fatal(err)
			}
			for range 10 {
				answer := whole()
				if strings.HasPrefix(answer, "HTTP/1.1 503 ") && strings.Contains(answer, `"reason":"gateway_limit"`) && strings.Contains(answer, "Retry-After: 1") {
					return true
				}
			}
			_ = slow.Close() // it was the slow one that found no room, or it is slow indeed
			return false
		})
		end(slow)
		patience.Eventually(t, "there is room after one is "+name, func() bool { return strings.HasPrefix(whole(), "HTTP/1.1 200 ") })
	}
}

// Whatever a request names, if it is no path it has no route, and nothing is called.
func TestTargetThatIsNoPathHasNoRoute(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) {
		for _, method := range []string{"GET", "POST", "OPTIONS", "PRI"} {
			cfg.Routes = append(cfg.Routes, gateway.Route{Pattern: method + " /{any...}", Method: "m"}, gateway.Route{Pattern: method + " /{$}", Method: "m"})
		}
	})
	for _, line := range []string{
		"GET *", "POST *", "CONNECT m:80", "CONNECT /m", "TRACE /m", "GET http://x", "GET http:m", "GET m", "GET ", "PRI *",
	} {
		answer := s.raw(t, line+" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
		if !strings.HasPrefix(answer, "HTTP/1.1 4") || strings.Contains(answer, "Warren-Call-Id") || strings.Count(answer, "\r\n\r\n") != 1 {
			t.Errorf("%s: %q", line, answer)
		}
	}
	if answer := s.raw(t, "OPTIONS * HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 200 ") || strings.Contains(answer, "Warren-Call-Id") {
		t.Errorf("OPTIONS *: %q", answer)
	}
	// An absolute one names the path too; whose host it is makes no difference.
	if answer := s.raw(t, "GET http://elsewhere/m HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"); !strings.HasPrefix(answer, "HTTP/1.1 200 ") {
		t.Errorf("%q", answer)
	}
}

func TestBodyIsNotAskedForIfItWillBeRefused(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{}, func(cfg *gateway.Config) { cfg.MaxBody = 4 })
	expect := func(length int) string {
		return fmt.Sprintf("POST /m HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", length)
	}
	if answer := s.raw(t, expect(5)); !strings.HasPrefix(answer, "HTTP/1.1 413 ") {
		t.Errorf("%q", answer)
	}
	conn := s.dial(t)
	if _, err := io.WriteString(conn, expect(4)); err != nil {
		t.Fatal(err)
	}
	reader := bufio.NewReader(conn)
	if line, err := reader.ReadString('\n'); err != nil || line != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("%q, %v", line, err)
	}
	_, _ = io.WriteString(conn, "1234")
	if answer, err := io.ReadAll(reader); err != nil || !strings.Contains(string(answer), "HTTP/1.1 200 ") {
		t.Errorf("%q, %v", answer, err)
	}
}

func TestStopDrainsWhatIsAtWork(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{})
	answered := make(chan string, 1)
	go func() { answered <- s.raw(t, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n") }()
	<-s.gate.Entered
	s.stop()
	patience.Eventually(t, "no connection is accepted", func() bool {
		conn, err := net.Dial("tcp", s.addr)
		if err == nil {
			_ = conn.Close()
		}
		return err != nil
	})
	select {
	case err := <-s.done:
		t.Fatalf("it ended with a request at work: %v", err)
	default:
	}
	close(s.gate.Release)
	if answer := <-answered; !strings.HasPrefix(answer, "HTTP/1.1 204 ") {
		t.Errorf("%q", answer)
	}
	if err := <-s.done; err != nil {
		t.Error(err)
	}
}

func TestStopCutsOffWhatDoesNotEnd(t *testing.T) {
	t.Parallel()
	s := run(t, gateway.ServerConfig{DrainTimeout: 20 * time.Millisecond, DrainDelay: 5 * time.Millisecond})
	go func() {
		conn := s.dial(t)
		_, _ = io.WriteString(conn, "GET /gate HTTP/1.1\r\nHost: x\r\n\r\n")
	}()
	<-s.gate.Entered
	s.stop()
	if err := <-s.done; err == nil || !strings.Contains(err.Error(), "cut off") {
		t.Error(err)
	}
	close(s.gate.Release)
	patience.Eventually(t, "the call has ended", func() bool { return s.g.Stats().AtWork == 0 })
}

func TestHTTP2IsSpokenOverTLSAndByOptionWithout(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(cert)
	secure := run(t, gateway.ServerConfig{TLS: &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}})
	bare := run(t, gateway.ServerConfig{H2C: true})
	for _, c := range []struct {
		url       string
		cleartext bool
		proto     string
	}{
		{"https://" + secure.addr, false, "HTTP/2.0"}, {"http://" + bare.addr, true, "HTTP/2.0"}, {"http://" + bare.addr, false, "HTTP/1.1"},
	} {
		protocols := new(http.Protocols)
		protocols.SetHTTP1(!c.cleartext)
		protocols.SetHTTP2(true)
		protocols.SetUnencryptedHTTP2(c.cleartext)
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, Protocols: protocols}
		resp, err := (&http.Client{Transport: transport}).Post(c.url+"/m", "text/plain", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		if m := wantMirrored(t, response{resp.StatusCode, resp.Header, string(text)}); m.Body != "x" || resp.Proto != c.proto {
			t.Errorf("%s: %s, %+v", c.url, resp.Proto, m)
		}
		transport.CloseIdleConnections()
	}
	old := &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11}
	if conn, err := tls.Dial("tcp", secure.addr, old); err == nil {
		_ = conn.Close()
		t.Error("TLS 1.1 is spoken")
	}
}

func TestServerConfigOutOfBoundsIsRefused(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]gateway.ServerConfig{
		"gateway: server.header_timeout: is 2h0m0s; it must be from 1ms to 1h0m0s": {HeaderTimeout: 2 * time.Hour},
		"gateway: server.idle_timeout: is -1ns; it must be from 1ms to 24h0m0s":    {IdleTimeout: -1},
		"gateway: server.max_header_bytes: is 1; it must be from 4096 to 1048576":  {MaxHeaderBytes: 1},
		"gateway: server.drain_delay: is 1h0m0s; it must be from 0s to 10m0s":      {DrainDelay: time.Hour},
		"gateway: server.drain_timeout: is 1ns; it must be from 1ms to 1h0m0s":     {DrainTimeout: 1},
		"gateway: server.tls: has no certificate":                                  {TLS: &tls.Config{}},
	} {
		if s, err := gateway.NewServer(http.NotFoundHandler(), cfg); err == nil || err.Error() != want || s != nil {
			t.Errorf("%v; want %s", err, want)
		}
	}
}
