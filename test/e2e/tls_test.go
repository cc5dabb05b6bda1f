package e2e

import (
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
	"testing"
	"time"

	"github.com/warren-rpc/warren"
	"github.com/warren-rpc/warren/client"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
	"github.com/warren-rpc/warren/test/rig"
)

// certificate makes a self-signed one for 127.0.0.1, writes it and its key into
// PEM files, and returns their paths and the pool that trusts it.
func certificate(t *testing.T) (certFile, keyFile string, pool *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "broker"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	for file, block := range map[string]*pem.Block{
		certFile: {Type: "CERTIFICATE", Bytes: der}, keyFile: {Type: "PRIVATE KEY", Bytes: keyDER},
	} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pool = x509.NewCertPool()
	pool.AppendCertsFromPEM(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return certFile, keyFile, pool
}

func TestCallsOverTLSAreAnsweredAndStrangersAreNotTrusted(t *testing.T) {
	t.Parallel()
	certFile, keyFile, pool := certificate(t)
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	node := rabbit.New(t, rabbit.Options{Config: []string{
		"listeners.ssl.1 = " + addr, "ssl_options.certfile = " + certFile, "ssl_options.keyfile = " + keyFile,
		"ssl_options.verify = verify_none",
	}})
	newServer(t, node.URL(), serveEcho("echo"))
	url := fmt.Sprintf("amqps://guest:guest@%s/", addr)
	c := newClient(t, url, func(cfg *client.Config) { cfg.Broker.TLS = &tls.Config{RootCAs: pool} })
	body := strings.Repeat("x", 200_000)
	if reply, err := c.Call(testContext(t), "echo", []byte(body)); err != nil || string(reply.Body) != body {
		t.Fatalf("%v, %v", reply, err)
	}
	// Without the pool the broker is a stranger.
	wary := newClient(t, url)
	patience.Eventually(t, "the broker is not trusted", func() bool {
		_, err = wary.Call(testContext(t), "echo", nil, client.WithTimeout(patience.Brief))
		e, _ := warren.AsError(err)
		return e != nil && strings.Contains(e.Message, "certificate")
	})
	rig.WantError(t, err, warren.CodeDeadlineExceeded, warren.ReasonNotConnected, warren.NotExecuted)
}
