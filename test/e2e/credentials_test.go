package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/server"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// issued returns the file of a new authority's certificate, and n client
// certificates that it has signed.
func issued(t *testing.T, n int) (authorityFile string, clients []tls.Certificate) {
	t.Helper()
	template := func(serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: fmt.Sprint("client ", serial)},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
		}
	}
	authority := template(100)
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	signer, signed := newKey(t), []byte(nil)
	for i := range n + 1 {
		of, key := authority, signer
		if i > 0 {
			of, key = template(int64(i)), newKey(t)
		}
		der, err := x509.CreateCertificate(rand.Reader, of, authority, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			signed = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
			continue
		}
		clients = append(clients, tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key})
	}
	authorityFile = filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authorityFile, signed, 0o600); err != nil {
		t.Fatal(err)
	}
	return authorityFile, clients
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// Passwords and certificates are changed while a service runs. It asks for them at
// each connection, and whoever waits meanwhile is told what the broker says.
func TestCredentialsAreAskedForAtEachConnection(t *testing.T) {
	t.Parallel()
	serverCert, serverKey, pool := certificate(t)
	authority, clients := issued(t, 2)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	node := rabbit.New(t, rabbit.Options{Config: []string{
		"listeners.ssl.1 = " + addr, "ssl_options.certfile = " + serverCert, "ssl_options.keyfile = " + serverKey,
		"ssl_options.cacertfile = " + authority, "ssl_options.verify = verify_peer",
		"ssl_options.fail_if_no_peer_cert = true",
	}})
	ctx := testContext(t)
	if err := node.AddUser(ctx, "shop", "first", "/", ".*", ".*", ".*"); err != nil {
		t.Fatal(err)
	}
	var password atomic.Pointer[string]
	var certificate atomic.Pointer[tls.Certificate]
	var asked, shown atomic.Int64
	set := func(text string) { password.Store(&text) }
	set("wrong")
	settings := warren.Broker{
		URLs: []string{"amqps://ignored:" + "nobody@" + addr + "/"}, Heartbeat: 2 * time.Second, DialTimeout: 10 * time.Second,
		Credentials: func(ctx context.Context) (string, string, error) {
			asked.Add(1)
			return "shop", *password.Load(), ctx.Err()
		},
		TLS: &tls.Config{RootCAs: pool, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			shown.Add(1)
			if c := certificate.Load(); c != nil {
				return c, nil
			}
			return &tls.Certificate{}, nil
		}},
	}
	with := func(cfg *client.Config) { cfg.Broker, cfg.NoServer = settings, client.Wait }
	c := newClient(t, "", with)
	// unconnected waits until a call says why there is no connection.
	unconnected := func(want string) {
		t.Helper()
		patience.Eventually(t, "a call says "+want, func() bool {
			_, err := c.Call(testContext(t), "echo", nil, client.WithTimeout(300*time.Millisecond))
			e := rig.WantError(t, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
			return strings.Contains(e.Message, want)
		})
	}
	unconnected("certificate required")
	certificate.Store(&clients[0])
	unconnected("ACCESS_REFUSED - Login was refused")
	set("first")
	s, err := server.New(server.Config{Broker: settings, Logger: rig.Logger(t)})
	if err != nil {
		t.Fatal(err)
	}
	if err := serveEcho("echo")(s); err != nil {
		t.Fatal(err)
	}
	if err := s.Start(testContext(t)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { rig.Stop(t, s) })
	answered := func() {
		t.Helper()
		if reply, err := c.Call(testContext(t), "echo", []byte("x"), client.Idempotent(), client.WithTimeout(patience.Soon)); err != nil || string(reply.Body) != "x" {
			t.Fatalf("%+v, %v", reply, err)
		}
	}
	answered()
	// Both are changed, and then the connections are lost.
	if err := node.SetPassword(ctx, "shop", "second"); err != nil {
		t.Fatal(err)
	}
	set("second")
	certificate.Store(&clients[1])
	before, beforeShown := asked.Load(), shown.Load()
	if err := node.CloseConnections(ctx, "for the test"); err != nil {
		t.Fatal(err)
	}
	patience.Eventually(t, "all four connections are made again", func() bool {
		return asked.Load() >= before+4 && shown.Load() >= beforeShown+4 && c.Stats().Reconnects >= 2 && s.Stats().Reconnects >= 2
	})
	answered()
}
