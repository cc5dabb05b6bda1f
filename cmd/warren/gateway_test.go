package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

const gatewayExample = "../../docs/examples/gateway.yaml"

// startGateway starts `warren gateway` on a free port and returns its address.
func startGateway(t *testing.T, url string, args ...string) (*tool, string) {
	t.Helper()
	return startGatewayIn(t, nil, url, args...)
}

// startGatewayIn is startGateway with variables of the environment.
func startGatewayIn(t *testing.T, env []string, url string, args ...string) (*tool, string) {
	t.Helper()
	r := command(url, append([]string{"gateway", "--json", "--listen", "127.0.0.1:0"}, args...)...)
	r.cmd.Env = append(r.cmd.Env, env...)
	r.start(t)
	patience.Eventually(t, "the gateway is ready", func() bool {
		select {
		case <-r.done:
			t.Fatalf("the gateway has ended with %d: %s", r.code, r.stderr.String())
		default:
		}
		return strings.Contains(r.stdout.String(), "\n")
	})
	ready := wantKeys(t, r.object(t), "ready", "listen")
	listen, ok := ready["listen"].(string)
	if !ok || ready["ready"] != true {
		t.Fatalf("%v", ready)
	}
	return r, listen
}

// web makes a request on a connection of its own and returns status and body.
func web(t *testing.T, transport *http.Transport, method, url string, header http.Header) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		req.Header = header
	}
	resp, err := (&http.Client{Transport: transport, Timeout: patience.Soon}).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	return web(t, &http.Transport{}, http.MethodGet, url, nil)
}

func TestGatewayServesTheExampleAndDrainsOnSIGTERM(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serveSamples(t, url)
	r, addr := startGateway(t, url, "--config", gatewayExample)
	if status, body := get(t, "http://"+addr+"/fib/30"); status != 200 || body != "832040" {
		t.Errorf("%d, %s", status, body)
	}
	if status, _ := get(t, "http://"+addr+"/readyz"); status != 200 {
		t.Errorf("ready: %d", status)
	}
	if status, body := get(t, "http://"+addr+"/openapi.json"); status != 200 || !strings.Contains(body, `"/users/{id}/email"`) {
		t.Errorf("%d, %s", status, body)
	}
	answered := make(chan string, 1)
	go func() {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			answered <- err.Error()
			return
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, "POST /sleep/4000 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
		text, _ := io.ReadAll(conn)
		answered <- string(text)
	}()
	patience.Eventually(t, "the call is under way", func() bool { return queue(t, url, "sample.sleep").Unacked > 0 })
	if err := r.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if text := <-answered; !strings.HasPrefix(text, "HTTP/1.1 200 ") {
		t.Errorf("the request at work got %q", text)
	}
	r.wait(t).want(t, 0)
	if log := r.stderr.String(); !strings.Contains(log, `route="GET /fib/{n}"`) || strings.Count(log, "msg=request") != 4 {
		t.Errorf("access log: %s", log)
	}
}

// listening starts `warren gateway` and returns its URL once the port is open.
func listening(t *testing.T, url string, args ...string) (*tool, string) {
	t.Helper()
	r := command(url, append([]string{"gateway", "--json", "--listen", "127.0.0.1:0"}, args...)...).start(t)
	var address string
	var found bool
	patience.Eventually(t, "the port is open", func() bool {
		_, address, found = strings.Cut(r.stderr.String(), "listening at ")
		return found && strings.Contains(address, "\n")
	})
	address, _, _ = strings.Cut(address, "\n")
	return r, address
}

func TestGatewayAnswersBeforeItsBrokerIsThere(t *testing.T) {
	t.Parallel()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	broker := free.Addr().String()
	_ = free.Close()
	config := write(t, filepath.Join(t.TempDir(), "gateway.yaml"), "routes: {GET /a: {method: m}}")
	r, address := listening(t, "amqp://guest:guest@"+broker+"/", "--config", config, "--connect-timeout", "0")
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 503, "/openapi.json": 200} {
		if status, body := get(t, address+path); status != want {
			t.Errorf("%s without a broker: %d, %s", path, status, body)
		}
	}
	send(t, r, syscall.SIGHUP) // there is nothing to read again
	if text := r.stdout.String(); text != "" {
		t.Errorf("it is ready without a broker: %s", text)
	}
	command("", "broker", "--listen", broker).start(t)
	patience.Eventually(t, "it is ready", func() bool { return strings.Contains(r.stdout.String(), "\n") })
	if ready := wantKeys(t, r.object(t), "ready", "listen"); ready["listen"] != strings.TrimPrefix(address, "http://") {
		t.Errorf("%v; it listens at %s", ready, address)
	}
	if status, body := get(t, address+"/readyz"); status != 200 {
		t.Errorf("%d, %s", status, body)
	}
	send(t, r, syscall.SIGHUP)
	if status, body := get(t, address+"/a"); status != 503 || !strings.Contains(body, "no_route") {
		t.Errorf("%d, %s", status, body)
	}
	send(t, r, syscall.SIGTERM)
	r.wait(t).want(t, 0)
}

func TestGatewayThatWaitsForItsBrokerObeysSIGTERM(t *testing.T) {
	t.Parallel()
	config := write(t, filepath.Join(t.TempDir(), "gateway.yaml"), "server: {drain_delay: 100ms}\nroutes: {GET /a: {method: m}}")
	r, _ := listening(t, "amqp://127.0.0.1:1/", "--config", config, "--connect-timeout", "0")
	send(t, r, syscall.SIGTERM)
	r.wait(t).want(t, 0)
	if text := r.stdout.String(); text != "" {
		t.Errorf("it was never ready: %s", text)
	}
}

// A route's bounds are what counts, not those that a client has by itself.
func TestGatewayTakesBodiesAsLargeAsItsRoutesSay(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.VHost(t), t.TempDir()
	serveSamples(t, url, "--method", "sample.echo")
	config := write(t, filepath.Join(dir, "gateway.json"), `{"max_bodies": "200MiB", "routes": {"POST \/echo": {"method": "sample.echo", "max_body": "100MiB", "timeout": "2m"}}}`)
	_, addr := startGateway(t, url, "--config", config, "--quiet")
	// The sample servers take 1 MiB: it is they who refuse.
	for _, size := range []int{2 << 20, 70 << 20} {
		resp, err := http.Post("http://"+addr+"/echo", "text/plain", strings.NewReader(strings.Repeat("x", size)))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err != nil || resp.StatusCode != http.StatusRequestEntityTooLarge || !strings.Contains(string(body), `"call_id"`) {
			t.Errorf("%d bytes: %d, %s, %v", size, resp.StatusCode, body, err)
		}
	}
}

func TestGatewayKnowsCallersByTheirTokensOverTLS(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.VHost(t), t.TempDir()
	serveSamples(t, url, "--method", "sample.echo")
	sum := sha256.Sum256([]byte("t0ken"))
	cert, key, pool := selfSigned(t, dir)
	write(t, filepath.Join(dir, "tokens.txt"), "ada "+hex.EncodeToString(sum[:])+"\n")
	write(t, filepath.Join(dir, "secret.txt"), "0123456789abcdef\n")
	config := write(t, filepath.Join(dir, "gateway.json"), `{"auth": {"tokens": "tokens.txt"}, "key_secret": "secret.txt", "routes": {"GET /echo/{x}": {"method": "sample.echo", "payload": "x"}}}`)
	_, addr := startGateway(t, url, "--config", config, "--tls-cert", cert, "--tls-key", key, "--quiet", "--user-id", "guest")
	for token, want := range map[string]int{"t0ken": 200, "other": 401} {
		transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true}
		status, body := web(t, transport, http.MethodGet, "https://"+addr+"/echo/hi", http.Header{"Authorization": {"Bearer " + token}})
		if status != want || want == 200 && body != "hi" {
			t.Errorf("%s: %d, %s", token, status, body)
		}
	}
}

// The broker refuses requests of whom it cannot vouch for.
func TestGatewayCallsAsTheUserOfItsFileOrEnvironment(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.VHost(t), t.TempDir()
	serveSamples(t, url, "--method", "sample.echo")
	routes := write(t, filepath.Join(dir, "gateway.yaml"), "routes:\n  GET /echo/{x}: {method: sample.echo, payload: x, timeout: 2s}\n")
	file := "WARREN_CONFIG=" + write(t, filepath.Join(dir, "config.yaml"), "user_id: somebody\n")
	for want, env := range map[bool][]string{false: {file}, true: {file, "WARREN_USER_ID=guest"}} {
		_, addr := startGatewayIn(t, env, url, "--config", routes, "--quiet")
		if status, body := get(t, "http://"+addr+"/echo/hi"); (status == 200) != want {
			t.Errorf("%q: %d, %s", env, status, body)
		}
	}
}

func TestGatewayFollowsItsFileOfPolicies(t *testing.T) {
	t.Parallel()
	url, dir := rabbit.VHost(t), t.TempDir()
	serveSamples(t, url, "--method", "sample.sleep")
	config := write(t, filepath.Join(dir, "gateway.yaml"), "routes:\n  GET /sleep/{ms}: {method: sample.sleep, payload: ms}\n")
	policies := write(t, filepath.Join(dir, "policy.yaml"), "methods: {sample.*: {timeout: 100ms, breaker: off}}\n")
	_, addr := startGateway(t, url, "--config", config, "--policies", policies)
	if status, body := get(t, "http://"+addr+"/sleep/1000"); status != 504 {
		t.Errorf("%d, %s", status, body)
	}
	write(t, policies, "methods: {sample.*: {timeout: 30s, breaker: off}}\n")
	patience.Eventually(t, "the new policies count", func() bool {
		status, _ := get(t, "http://"+addr+"/sleep/1000")
		return status == 200
	})
}

func TestGatewayRefusesWhatCannotWorkOnOneLine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	good := write(t, filepath.Join(dir, "good.yaml"), "routes: {GET /a: {method: m}}")
	wrong := write(t, filepath.Join(dir, "wrong.yaml"), "routes:\n  GET /a:\n    metod: m\n")
	short := write(t, filepath.Join(dir, "short.yaml"), "key_secret: tokens\nroutes: {GET /a: {method: m}}")
	secret := write(t, filepath.Join(dir, "secret.yaml"), "auth: {tokens: tokens}\nkey_secret: tokens\nroutes: {GET /a: {method: m}}")
	write(t, filepath.Join(dir, "tokens"), "ada s3cr3t\n")
	const nowhere = "amqp://user:s3cr3t@127.0.0.1:1/"
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{nil, exitUsage, "--config is missing"},
		{[]string{"--config", filepath.Join(dir, "none")}, exitUsage, "no such file"},
		{[]string{"--config", wrong}, exitUsage, wrong + ":3:5: routes.GET /a.metod: is not known; did you mean method?"},
		{[]string{"--config", secret}, exitUsage, "tokens:1:1: must be a subject"},
		{[]string{"--config", short}, exitUsage, "tokens:1:1: has 10 bytes; a secret must have 16 to 1024"},
		{[]string{"--config", good, "extra"}, exitUsage, "unexpected argument"},
		{[]string{"--config", good, "--policies", wrong}, exitUsage, "wrong.yaml:1:1"},
		{[]string{"--config", good, "--tls-cert", good}, exitUsage, "--tls-cert and --tls-key go together"},
		{[]string{"--config", good, "--tls-cert", good, "--tls-key", good}, exitUsage, "--tls-cert"},
		{[]string{"--config", good, "--connect-timeout", "-1s"}, exitUsage, "--connect-timeout"},
		{[]string{"--config", good, "--listen", busy.Addr().String()}, exitUsage, "--listen"},
		{[]string{"--config", good, "--listen", "127.0.0.1:0", "--connect-timeout", "300ms"}, exitBroker, "127.0.0.1:1"},
		{[]string{"--config", good, "--url", "localhost"}, exitUsage, "URL"},
	} {
		r := invoke(t, nowhere, append([]string{"gateway", "--quiet"}, c.args...)...).want(t, c.code)
		if text := r.wantLine(t); !strings.Contains(text, c.want) || strings.Contains(text, "s3cr3t") || r.stdout.String() != "" {
			t.Errorf("%v: %s, %s", c.args, text, r.stdout.String())
		}
	}
	help := invoke(t, "", "gateway", "--help").want(t, 0).stdout.String()
	for _, want := range []string{"warren gateway", "Examples:", "--config FILE", "--listen ADDRESS", "WARREN_URL", "WARREN_USER_ID", "WARREN_CONFIG"} {
		if !strings.Contains(help, want) {
			t.Errorf("no %q in %s", want, help)
		}
	}
}

func write(t *testing.T, path, text string) string {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// selfSigned makes a certificate for this machine.
func selfSigned(t *testing.T, dir string) (cert, key string, pool *x509.CertPool) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	cert = write(t, filepath.Join(dir, "cert.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	key = write(t, filepath.Join(dir, "key.pem"), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})))
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return cert, key, pool
}
