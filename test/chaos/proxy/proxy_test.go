package proxy_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"reflect"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/warren-rpc/warren/test/chaos/proxy"
	"github.com/warren-rpc/warren/test/patience"
)

func TestBytesAndEndsPassBothWays(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{Buffer: 7}) // smaller than what is sent
	send(t, p.client, "a question of some length")
	wantText(t, p.target, "a question of some length")
	if err := p.client.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if _, err := p.target.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("the target reads %v; want the end", err)
	}
	send(t, p.target, "an answer")
	wantText(t, p.client, "an answer")
	_ = p.target.Close()
	patience.Eventually(t, "the connection is over", func() bool { return p.proxy.Stats().Open == 0 })
	stats := p.proxy.Stats()
	want := proxy.Stats{Accepted: 1, Forwarded: [2]int64{25, 9}}
	if stats != want {
		t.Errorf("stats %+v; want %+v", stats, want)
	}
}

func TestCutIsSeenAsWhatItIs(t *testing.T) {
	t.Parallel()
	for how, want := range map[proxy.How]error{proxy.RST: syscall.ECONNRESET, proxy.FIN: io.EOF} {
		p := newPair(t, proxy.Options{})
		if n := p.proxy.Cut(how); n != 1 {
			t.Errorf("cut %d connections; want 1", n)
		}
		for _, c := range []net.Conn{p.client, p.target} {
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, want) {
				t.Errorf("after %v a side reads %v; want %v", how, err, want)
			}
		}
		if p.conn.Cut(how) {
			t.Error("cut twice")
		}
	}
}

func TestAResetOfOneSideResetsTheOther(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	_ = p.target.SetLinger(0)
	_ = p.target.Close()
	if _, err := p.client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v; want a reset", err)
	}
}

func TestHalfOpenTellsOneSideAlone(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	if !p.conn.CloseHalf(proxy.Target, proxy.RST) || p.conn.CloseHalf(proxy.Target, proxy.RST) {
		t.Error("a half is closed once")
	}
	if _, err := p.target.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target reads %v; want a reset", err)
	}
	for range 3 { // the client's bytes are taken, and nothing comes back
		send(t, p.client, "is anybody there?")
		wantSilence(t, p.client)
	}
	patience.Eventually(t, "the bytes are dropped", func() bool { return p.proxy.Stats().Dropped[proxy.Up] == 3*17 })
	p.conn.Cut(proxy.RST)
	if _, err := p.client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after the cut the client reads %v; want a reset", err)
	}
}

func TestStallHoldsOneDirection(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	p.proxy.Shape(proxy.Up, proxy.Shape{Stall: true})
	send(t, p.client, "held")
	_ = p.client.CloseWrite()
	wantSilence(t, p.target)
	send(t, p.target, "not held")
	wantText(t, p.client, "not held")
	p.proxy.Shape(proxy.Both, proxy.Shape{})
	wantText(t, p.target, "held")
	if _, err := p.target.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
		t.Errorf("then the target reads %v; want the end", err)
	}
}

func TestStallHoldsNoMoreThanItsBuffer(t *testing.T) {
	t.Parallel()
	const buffer = 10_000
	p := newPair(t, proxy.Options{Buffer: buffer})
	p.conn.Shape(proxy.Up, proxy.Shape{Stall: true})
	// The kernel's buffers are bounded too: the writer must block in the end.
	block := bytes.Repeat([]byte("x"), 1<<20)
	sent := 0
	for n := 1; n > 0 && sent < 1<<30; sent += n {
		_ = p.client.SetWriteDeadline(time.Now().Add(500 * time.Millisecond))
		n, _ = p.client.Write(block)
	}
	if sent >= 1<<30 {
		t.Fatal("a stalled proxy took a gigabyte")
	}
	if held := p.conn.Held(proxy.Up); held != buffer {
		t.Errorf("%d bytes are held; want %d", held, buffer)
	}
	p.conn.Shape(proxy.Up, proxy.Shape{})
	_ = p.client.CloseWrite()
	if n, err := io.Copy(io.Discard, p.target); n != int64(sent) || err != nil {
		t.Errorf("%d bytes came, %v; %d were sent", n, err, sent)
	}
}

func TestDropLosesOneDirectionAndEndsTheConnection(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	p.proxy.Shape(proxy.Down, proxy.Shape{Drop: true})
	send(t, p.target, "lost")
	wantSilence(t, p.client)
	send(t, p.client, "heard")
	wantText(t, p.target, "heard")
	patience.Eventually(t, "the bytes are dropped", func() bool { return p.proxy.Stats().Dropped[proxy.Down] == 4 })
	p.proxy.Shape(proxy.Down, proxy.Shape{})
	if _, err := p.client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a connection with a hole reads %v; want a reset", err)
	}
}

func TestDropOfNothingLeavesTheConnection(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	p.proxy.Shape(proxy.Down, proxy.Shape{Drop: true})
	p.proxy.Shape(proxy.Down, proxy.Shape{})
	send(t, p.target, "whole")
	wantText(t, p.client, "whole")
}

func TestSlicesAreSmallAndInOrder(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	p.proxy.Shape(proxy.Up, proxy.Shape{Slice: 3, Delay: time.Millisecond, Jitter: time.Millisecond})
	text := strings.Repeat("0123456789", 50)
	send(t, p.client, text)
	wantText(t, p.target, text)
	p.proxy.Shape(proxy.Up, proxy.Shape{})
	send(t, p.client, text)
	wantText(t, p.target, text)
}

// What is slowed may be later still on a busy machine, and never earlier.
func TestDelayAndBandwidthHoldBytesBack(t *testing.T) {
	t.Parallel()
	for name, shape := range map[string]proxy.Shape{
		"delay":     {Delay: 200 * time.Millisecond},
		"bandwidth": {Bandwidth: 5000},
	} {
		p := newPair(t, proxy.Options{})
		p.conn.Shape(proxy.Down, shape)
		began := time.Now()
		text := strings.Repeat("x", 1050)
		send(t, p.target, text)
		wantText(t, p.client, text)
		if took := time.Since(began); took < 200*time.Millisecond {
			t.Errorf("%s: it took %v; want at least 200 ms", name, took)
		}
	}
}

func TestTheEndOfADelayFreesWhatWaits(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	p.conn.Shape(proxy.Up, proxy.Shape{Delay: time.Hour})
	send(t, p.client, "long")
	wantSilence(t, p.target)
	p.conn.Shape(proxy.Up, proxy.Shape{})
	wantText(t, p.target, "long")
}

func TestNewConnectionsAreRefusedOrShaped(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	p.proxy.Refuse(true)
	wantReset(t, p.proxy)
	send(t, p.client, "still here")
	wantText(t, p.target, "still here")
	patience.Eventually(t, "1 is refused, 1 open", func() bool {
		stats := p.proxy.Stats()
		return stats.Refused == 1 && stats.Open == 1
	})
}

func TestATargetThatIsDownResetsTheClient(t *testing.T) {
	t.Parallel()
	p := newProxy(t, "127.0.0.1:1", proxy.Options{})
	wantReset(t, p)
}

// wantReset demands that a new connection is reset, be it within the dial.
func wantReset(t *testing.T, p *proxy.Proxy) {
	t.Helper()
	c, err := net.Dial("tcp", p.Addr())
	if err == nil {
		defer c.Close()
		_, err = c.Read(make([]byte, 1))
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a client sees %v; want a reset", err)
	}
}

func TestCloseEndsAllAndIsLegalTwice(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	p.proxy.Shape(proxy.Both, proxy.Shape{Stall: true})
	for range 2 {
		if err := p.proxy.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := p.client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client reads %v; want a reset", err)
	}
	if c, err := net.Dial("tcp", p.proxy.Addr()); err == nil {
		_ = c.Close()
		t.Error("a closed proxy listens")
	}
}

func TestBadOptionsAreRefused(t *testing.T) {
	t.Parallel()
	if _, err := proxy.New("127.0.0.1:1", proxy.Options{Buffer: -1}); err == nil {
		t.Error("a negative buffer is accepted")
	}
	if _, err := proxy.New("127.0.0.1:1", proxy.Options{Listen: "nonsense"}); err == nil {
		t.Error("listens on nonsense")
	}
}

func TestTheSameSeedMakesTheSameFaults(t *testing.T) {
	t.Parallel()
	a, b := proxy.Random(7, 200, time.Second), proxy.Random(7, 200, time.Second)
	if !reflect.DeepEqual(a, b) {
		t.Error("one seed made two scripts")
	}
	if reflect.DeepEqual(a, proxy.Random(8, 200, time.Second)) {
		t.Error("two seeds made one script")
	}
	seen := map[proxy.Kind]bool{}
	for _, f := range a {
		seen[f.Kind] = true
		if f.String() == "" || f.After < 100*time.Millisecond || f.For > 2*time.Second {
			t.Errorf("fault %+v is out of bounds", f)
		}
	}
	if len(seen) != len(proxy.Kinds) {
		t.Errorf("200 faults are of %d kinds; want all %d", len(seen), len(proxy.Kinds))
	}
}

func TestAScriptThatIsCancelledEndsItsFault(t *testing.T) {
	t.Parallel()
	p := newPair(t, proxy.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var told []bool
	err := p.proxy.Run(ctx, []proxy.Fault{{Kind: proxy.Stall, Direction: proxy.Both, For: time.Hour}},
		func(_ proxy.Fault, begins bool) {
			told = append(told, begins)
			cancel()
		})
	if !errors.Is(err, context.Canceled) || !reflect.DeepEqual(told, []bool{true, false}) {
		t.Errorf("error %v, told %v", err, told)
	}
	send(t, p.client, "flows")
	wantText(t, p.target, "flows")
}
