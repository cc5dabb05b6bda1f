package proxy_test

import (
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
	"github.com/warren-rpc/warren/test/rabbit"
)

func TestMain(m *testing.M) { os.Exit(rabbit.Main(m, func() error { return goleak.Find() })) }

var silent = slog.New(slog.DiscardHandler)

// pair is a proxy, a client's connection through it, and the target's end of it.
type pair struct {
	proxy          *proxy.Proxy
	client, target *net.TCPConn
	conn           *proxy.Conn
}

func newPair(t *testing.T, options proxy.Options) *pair {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	p := newProxy(t, l.Addr().String(), options)
	client, err := net.Dial("tcp", p.Addr())
	if err != nil {
		t.Fatal(err)
	}
	target, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []net.Conn{client, target} {
		_ = c.SetDeadline(time.Now().Add(patience.Soon))
		t.Cleanup(func() { _ = c.Close() })
	}
	patience.Eventually(t, "the connection is listed", func() bool { return len(p.Conns()) == 1 })
	return &pair{p, client.(*net.TCPConn), target.(*net.TCPConn), p.Conns()[0]} //nolint:errcheck // both are TCP
}

func newProxy(t *testing.T, target string, options proxy.Options) *proxy.Proxy {
	t.Helper()
	p, err := proxy.New(target, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Close() })
	return p
}

func send(t *testing.T, c net.Conn, text string) {
	t.Helper()
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
}

func wantText(t *testing.T, c net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != text {
		t.Fatalf("read %q, %v; want %q", got, err, text)
	}
}

// wantSilence demands that nothing comes, and that the connection is not ended,
// for as long as a proxy without a fault would need many times over.
func wantSilence(t *testing.T, c net.Conn) {
	t.Helper()
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	defer func() { _ = c.SetReadDeadline(time.Now().Add(patience.Soon)) }()
	n, err := c.Read(make([]byte, 1))
	if e, ok := err.(net.Error); n > 0 || !ok || !e.Timeout() { //nolint:errorlint // a read's own
		t.Fatalf("read %d bytes, %v; want neither a byte nor an end", n, err)
	}
}
