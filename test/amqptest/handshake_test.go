package amqptest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/warren-rpc/warren/internal/amqp/codec"
	"github.com/warren-rpc/warren/test/patience"
)

func TestHandshakeThatNeverEndsIsCutOff(t *testing.T) {
	t.Parallel()
	steps := []func(*peer){
		func(*peer) {},
		func(p *peer) { p.raw([]byte("AMQP")) },
		func(p *peer) { p.raw([]byte(protocolHeader)); expect[*codec.ConnectionStart](p, 0) },
		func(p *peer) {
			p.raw([]byte(protocolHeader))
			expect[*codec.ConnectionStart](p, 0)
			p.send(0, &codec.ConnectionStartOk{Mechanism: "PLAIN", Response: "\x00guest\x00guest"})
			tune := expect[*codec.ConnectionTune](p, 0)
			// Heartbeats do not make up for the rest.
			p.send(0, &codec.ConnectionTuneOk{ChannelMax: tune.ChannelMax, FrameMax: tune.FrameMax, Heartbeat: 1})
		},
	}
	for _, step := range steps {
		synctest.Test(t, func(t *testing.T) {
			b := New(t, Options{Listen: "none", HandshakeTimeout: 2 * time.Second})
			p := connect(t, b)
			began := time.Now()
			step(p)
			p.ends()
			if took := time.Since(began); took > 3*time.Second || took < 2*time.Second {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestUsersHaveTheirPermissions(t *testing.T) {
	t.Parallel()
	b := New(t, Options{Users: map[string]User{
		"all":   {Password: "a"},
		"some":  {Password: "s", VHosts: []string{"theirs"}, Configure: "^mine", Write: "^mine", Read: ".*"},
		"guest": {Password: "another one"},
	}, VHosts: []string{"/", "theirs"}})
	for url, ok := range map[string]bool{
		b.URL():                             true,
		b.URLAs("all", "a", "theirs"):       true,
		b.URLAs("all", "b", "theirs"):       false,
		b.URLAs("some", "s", "theirs"):      true,
		b.URLAs("some", "s", "/"):           false,
		b.URLAs("nobody", "s", "/"):         false,
		b.URLAs("guest", "guest", "/"):      false,
		b.URLAs("all", "a", "elsewhere"):    false,
		b.AddVHost("with/slash and space"):  true,
		b.URLAs("guest", "another one", ""): true, // the client reads no path as "/"
	} {
		conn, err := amqp.Dial(url)
		if (err == nil) != ok {
			t.Errorf("%s: %v", url, err)
		}
		if err == nil {
			_ = conn.Close()
		}
	}
	conn, err := amqp.Dial(b.URLAs("some", "s", "theirs"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for name, want := range map[string]string{"mine": "", "yours": "ACCESS_REFUSED"} {
		ch, err := conn.Channel()
		if err != nil {
			t.Fatal(err)
		}
		_, err = ch.QueueDeclare(name, false, false, false, false, nil)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("declare %s: %v", name, err)
		}
	}
	if err := b.AddUser("wrong", User{Read: "("}); err == nil {
		t.Error("a permission that is no expression was taken")
	}
}

func TestCertificateIsAUsersName(t *testing.T) {
	t.Parallel()
	ca, server, client := certificates(t)
	b := New(t, Options{
		TLS:   &tls.Config{Certificates: []tls.Certificate{server}, ClientCAs: ca, ClientAuth: tls.VerifyClientCertIfGiven},
		Users: map[string]User{"alice": {Password: "unused"}},
	})
	if !strings.HasPrefix(b.URL(), "amqps://") {
		t.Error(b.URL())
	}
	config := &tls.Config{RootCAs: ca, Certificates: []tls.Certificate{client}}
	conn, err := amqp.DialConfig(b.URL(), amqp.Config{TLSClientConfig: config, SASL: []amqp.Authentication{&amqp.ExternalAuth{}}})
	if err != nil {
		t.Fatal(err)
	}
	if list := b.Connections(); len(list) != 1 || list[0].User != "alice" {
		t.Errorf("%+v", list)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
	anonymous := &tls.Config{RootCAs: ca}
	if _, err := amqp.DialConfig(b.URL(), amqp.Config{TLSClientConfig: anonymous, SASL: []amqp.Authentication{&amqp.ExternalAuth{}}}); err == nil {
		t.Error("nobody was let in")
	}
	conn, err = amqp.DialTLS(b.URL(), anonymous)
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(); err != nil {
		t.Error(err)
	}
}

// certificates are those of an authority, of a server on the loopback interface, and of alice.
func certificates(t *testing.T) (pool *x509.CertPool, server, client tls.Certificate) {
	t.Helper()
	made := func(name string, parent *x509.Certificate, signer *ecdsa.PrivateKey) (tls.Certificate, *ecdsa.PrivateKey) {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{"localhost"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
			IsCA: parent == nil, BasicConstraintsValid: true,
			KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		}
		template.IPAddresses = append(template.IPAddresses, []byte{127, 0, 0, 1})
		if parent == nil {
			parent, signer = template, key
		}
		der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
		if err != nil {
			t.Fatal(err)
		}
		leaf, err := x509.ParseCertificate(der)
		if err != nil {
			t.Fatal(err)
		}
		return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, key
	}
	ca, key := made("authority", nil, nil)
	server, _ = made("localhost", ca.Leaf, key)
	client, _ = made("alice", ca.Leaf, key)
	pool = x509.NewCertPool()
	pool.AddCert(ca.Leaf)
	return pool, server, client
}

func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	b := New(t, Options{MaxConnections: 2})
	login(t, b)
	second := login(t, b)
	connect(t, b).ends()
	if _, err := b.Dial(context.Background(), "", ""); err == nil {
		t.Error("a third connection was taken over a pipe")
	}
	_ = second.nc.Close()
	patience.Eventually(t, "there is room", func() bool { return len(b.Connections()) == 1 })
	login(t, b)
}

func TestOptionsOutOfTheirBoundsAreRefused(t *testing.T) {
	t.Parallel()
	for name, options := range map[string]Options{
		"frame size":  {FrameMax: 4095},
		"heartbeat":   {Heartbeat: 20 * time.Hour},
		"memory":      {MemoryLimit: -1},
		"permissions": {Users: map[string]User{"x": {Write: "["}}},
		"address":     {Listen: "nowhere.invalid:1"},
	} {
		if b, err := Start(options); err == nil {
			_ = b.Close()
			t.Errorf("%s: accepted", name)
		}
	}
}

// The client, that is: an end right behind the close-ok would race it.
func TestWhoClosesIsLeftTimeToEndTheConnection(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := login(t, New(t, Options{Listen: "none"}))
		p.send(0, &codec.ConnectionClose{ReplyCode: 200})
		expect[*codec.ConnectionCloseOk](p, 0)
		began := time.Now()
		p.ends()
		if took := time.Since(began); took != closeTimeout {
			t.Errorf("the broker waited for %v, want %v", took, closeTimeout)
		}
	})
}
