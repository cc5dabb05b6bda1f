package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/amqptest"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

// configText writes a tool's file and returns its path.
func configText(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// setting returns what `warren config --json` says of a setting, and where it is
// from.
func settingOf(t *testing.T, object map[string]any, name string) (value, from string) {
	t.Helper()
	for _, s := range as[[]any](t, object["settings"]) {
		if s := as[map[string]any](t, s); s["name"] == name {
			return as[string](t, s["value"]), as[string](t, s["from"])
		}
	}
	t.Fatalf("no setting %s in %v", name, object)
	return "", ""
}

func TestSettingsComeFromFlagsThenTheEnvironmentThenTheFile(t *testing.T) {
	t.Parallel()
	path := configText(t, "# of the test\nurl:\n  - amqp://file:s3cr3t@one/\n  - amqp://file:s3cr3t@two/\nuser_id: file\ntimeout: 2s\n"+
		"management: https://m:s3cr3t@api:15671/x\n")
	run := func(environment []string, args ...string) map[string]any {
		r := command("", append([]string{"config", "--json"}, args...)...)
		r.cmd.Env = append(r.cmd.Env, environment...)
		r.start(t).wait(t).want(t, 0)
		if strings.Contains(r.stdout.String(), "s3cr3t") {
			t.Errorf("a password is told: %s", r.stdout.String())
		}
		return wantKeys(t, r.object(t), "file", "found", "settings")
	}
	fromFile := run(nil, "--config", path)
	fromEnvironment := run([]string{
		"WARREN_CONFIG=" + path, "WARREN_URL=amqp://env:s3cr3t@three/v", "WARREN_USER_ID=env", "WARREN_TIMEOUT=3s",
	})
	fromFlags := run([]string{"WARREN_CONFIG=/no/such/file", "WARREN_URL=amqp://env:s3cr3t@three/v", "WARREN_TIMEOUT=3s"},
		"--config", path, "--url", "amqp://flag:s3cr3t@four", "--timeout", "4s", "--user-id", "flag")
	neither := run(nil)
	for _, c := range []struct {
		object            map[string]any
		name, value, from string
	}{
		{fromFile, "url", "amqp://file:***@one/,amqp://file:***@two/", path + ":2"},
		{fromFile, "user_id", "file", path + ":5"},
		{fromFile, "timeout", "2s", path + ":6"},
		{fromFile, "management", "https://m:***@api:15671/x", path + ":7"},
		{fromFile, "auth", "plain", "default"},
		{fromEnvironment, "url", "amqp://env:***@three/v", "$WARREN_URL"},
		{fromEnvironment, "user_id", "env", "$WARREN_USER_ID"},
		{fromEnvironment, "timeout", "3s", "$WARREN_TIMEOUT"},
		{fromEnvironment, "management", "https://m:***@api:15671/x", path + ":7"},
		{fromFlags, "url", "amqp://flag:***@four", "--url"},
		{fromFlags, "user_id", "flag", "--user-id"},
		{fromFlags, "timeout", "4s", "--timeout"},
		{neither, "url", "amqp://guest:***@localhost:5672/", "default"},
		{neither, "timeout", "10s", "default"},
	} {
		if value, from := settingOf(t, c.object, c.name); value != c.value || from != c.from {
			t.Errorf("%s is %q from %q; want %q from %q", c.name, value, from, c.value, c.from)
		}
	}
	if fromFile["file"] != path || fromFile["found"] != true || neither["found"] != false {
		t.Errorf("the files are %v and %v", fromFile["file"], neither)
	}
	out := invoke(t, "", "config", "--config", path).want(t, 0).stdout.String()
	if !strings.HasPrefix(out, "file "+path+"\n\nSETTING ") || !strings.Contains(out, "user_id          file ") || strings.Contains(out, "s3cr3t") {
		t.Errorf("it prints\n%s", out)
	}
}

func TestFileOfSettingsThatIsWrongIsOneLineWithItsPlace(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"url: amqp://u:s3cr3t@localhost/\nurls: x\n": `:2:1: urls: is not known; did you mean url?`,
		"tls:\n  cafile: x\n":                        `:2:3: tls.cafile: is not known; it may have ca, cert, key, server_name`,
		"tls: x\n":                                   `:1:1: tls: is "x"; it must be a mapping`,
		"routes:\n  GET /: {method: a}\n":            `:1:1: routes: is not known: this is the file of a gateway's routes`,
		"timeout: 5\n":                               `:1:10: timeout: must be a duration from 1ms to 24h`,
		"timeout: 25h\n":                             `:1:10: timeout: must be a duration from 1ms to 24h`,
		"url: http://u:s3cr3t@localhost/\n":          `:1:6: url: the scheme must be amqp or amqps`,
		"url: [amqp://a/, {x: s3cr3t}]\n":            `:1:18: url: is empty or no text; write a URL, or a list of URLs`,
		"url: ''\n":                                  `:1:6: url: is empty or no text`,
		"auth: kerberos\n":                           `:1:7: auth: must be plain or external`,
		"management: localhost:15672\n":              `:1:13: management: the scheme must be http or https`,
		"url: amqp://a/\nurl: amqp://b/\n":           `:2:1: url: is there twice, first on line 1`,
		"url: amqp://u:s3cr3t@h/\n\tx: y\n":          `:2:1: is not YAML: there is a tab; indent with spaces`,
		"amqp://u:s3cr3t@h/\n":                       `: is "amqp://***"; it must be a mapping`,
	} {
		path := configText(t, text)
		r := invoke(t, "", "ping", "--config", path, "x").want(t, exitUsage)
		if told := r.wantLine(t); !strings.Contains(told, want) || !strings.Contains(told, path) && !strings.Contains(want, "***") || strings.Contains(told, "s3cr3t") {
			t.Errorf("of %q it says %s", text, told)
		}
	}
	for _, line := range [][]string{
		{"call", "--config", "/no/such/file", "x"},
		{"config", "extra"},
		{"config", "--broker-auth", "kerberos"},
		{"config", "--broker-auth", "external", "--url", "amqp://localhost/"},
		{"config", "--broker-ca", "/no/such/file"},
		{"config", "--broker-ca", configText(t, "no certificate")},
		{"config", "--broker-cert", "cert.pem"},
		{"config", "--management", "localhost"},
		{"config", "--timeout", "0s"},
	} {
		invoke(t, "", line...).want(t, exitUsage).wantLine(t)
	}
	// Nothing but comments is a file too.
	invoke(t, "", "config", "--config", configText(t, "# url: amqp://localhost/\n\n")).want(t, 0)
	wrong := command("", "ping", "x")
	wrong.cmd.Env = append(wrong.cmd.Env, "WARREN_TIMEOUT=soon")
	if told := wrong.start(t).wait(t).want(t, exitUsage).wantLine(t); !strings.Contains(told, "WARREN_TIMEOUT") {
		t.Errorf("of a wrong variable it says %s", told)
	}
}

// A broker that is known from the default place of the file alone, over TLS, with a
// certificate for a password: each way by which the tool connects takes it.
func TestFileOfSettingsIsEnoughToReachABrokerOverTLS(t *testing.T) {
	t.Parallel()
	home := t.TempDir()
	folder := filepath.Join(home, "warren")
	if err := os.Mkdir(folder, 0o700); err != nil {
		t.Fatal(err)
	}
	pair, pool := brokerCertificate(t, folder)
	b := amqptest.New(t, amqptest.Options{
		TLS:   &tls.Config{Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.VerifyClientCertIfGiven},
		Users: map[string]amqptest.User{"alice": {Password: "unused"}},
	})
	const text = "auth: external\ntls: {ca: cert.pem, cert: cert.pem, key: key.pem, server_name: broker.example}\n"
	if err := os.WriteFile(filepath.Join(folder, "config.yaml"), []byte("url: "+b.URL()+"\n"+text), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) *tool {
		r := command("", args...)
		r.cmd.Env = append(r.cmd.Env, "XDG_CONFIG_HOME="+home)
		return r.start(t)
	}
	server := run("serve", "--json", "--method", "rpc_queue")
	patience.Eventually(t, "the server is ready", func() bool { return strings.Contains(server.stdout.String(), "\n") })
	if out := run("call", "rpc_queue", "30").wait(t).want(t, 0).stdout.String(); out != "832040" {
		t.Errorf("it answers %q", out)
	}
	run("ping", "rpc_queue").wait(t).want(t, 0)
	run("queues", "rpc_queue").wait(t).want(t, 0)
	run("dead", "list", "rpc_queue").wait(t).want(t, exitNoServer)
	for _, c := range b.Connections() {
		if c.User != "alice" {
			t.Errorf("a connection of %q", c.User)
		}
	}
	// Without the certificates it does not get in.
	run("queues", "--broker-server-name", "localhost", "rpc_queue").wait(t).want(t, exitBroker)
	run("call", "--timeout", "500ms", "--broker-server-name", "localhost", "rpc_queue", "30").wait(t).want(t, exitBroker)
}

// brokerCertificate makes a certificate for the server broker.example and the user
// alice, which vouches for itself, and leaves it in cert.pem and key.pem.
func brokerCertificate(t *testing.T, dir string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "alice"}, DNSNames: []string{"broker.example"},
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	certText := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	keyText := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	for name, text := range map[string][]byte{"cert.pem": certText, "key.pem": keyText} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pair, err := tls.X509KeyPair(certText, keyText)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certText)
	return pair, pool
}

func TestConfigSaysThatOthersMayReadAPassword(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		text string
		mode os.FileMode
		want bool
	}{
		{"url: amqp://user:s3cret@h/\n", 0o644, true}, {"management: http://user:s3cret@h/\n", 0o640, true},
		{"url: amqp://user:s3cret@h/\n", 0o600, false}, {"url: amqp://h/\n", 0o644, false},
	} {
		path := configText(t, c.text)
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		r := invoke(t, "", "config", "--config", path).want(t, 0)
		if said := r.stderr.String(); strings.Contains(said, "chmod 600") != c.want || strings.Contains(said, "s3cret") || !c.want && said != "" {
			t.Errorf("%q with mode %o: %s", c.text, c.mode, said)
		}
	}
}

func TestCallIsMadeAsTheUserThatTheBrokerKnows(t *testing.T) {
	t.Parallel()
	url := rabbit.VHost(t)
	serveSamples(t, url, "--method", "sample.echo")
	invoke(t, url, "call", "--user-id", "guest", "sample.echo", "x").want(t, 0)
	r := invoke(t, url, "call", "--user-id", "somebody", "--timeout", "2s", "sample.echo", "x")
	if r.code == 0 {
		t.Error("the broker vouches for anybody")
	}
	r.wantLine(t)
}
